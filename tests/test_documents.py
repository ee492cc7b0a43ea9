"""Documents say what the package holds, and what they point to exists."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rlfn.models import catalog

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
DOCUMENTS = [*PAGES, *sorted(ROOT.glob("*.md")), *sorted((ROOT / "examples").glob("*.md"))]
FOLDERS = ("benchmarks", "constraints", "docs", "examples", "runs", "scripts", "src", "tests")
WRITERS = {"model_tables.py": None, "api_reference.py": "griffe", "proof_tables.py": "torch"}
"""The scripts that write documents, each with the module that it needs beyond the package."""


@pytest.mark.parametrize("script", WRITERS)
def test_what_scripts_write_is_current(script: str) -> None:
    if WRITERS[script]:
        pytest.importorskip(WRITERS[script])
    command = [sys.executable, str(ROOT / "scripts" / script), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_measurements_are_of_the_packaged_weights() -> None:
    """New weights: python scripts/measure.py --sets-dir BENCH_DIR, then python scripts/model_tables.py."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "measure.py"), "--stale"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"older than the weights: {done.stdout.split()}"


def test_every_argument_and_attribute_of_the_api_reference_is_one_name() -> None:
    page = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^- (`.*?`): ", page, re.MULTILINE)
    assert "`model`, `engine`, `precision`, `device`" in rows
    assert not [row for row in rows if not all(re.fullmatch(r"`[\w.*]+`", name) for name in row.split(", "))]


def test_what_int8_loses_at_most() -> None:
    lost = [
        model.scores[key]["psnr"] - scores["psnr"]
        for model in catalog.models().values()
        for file in model.files
        if file.precision == "int8"
        for key, scores in file.scores.items()
    ]
    most = f"at most {math.ceil(max(lost) * 100) / 100:.2f} dB"
    for name in ("README.md", "CHANGELOG.md"):
        assert most in (ROOT / name).read_text(encoding="utf-8"), f"{name} does not say {most}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document: Path) -> None:
    wrong = []
    for link in links(document):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists():
            wrong.append(f"{link}: there is no {target}")
        elif anchor and anchor not in anchors(target):
            wrong.append(f"{link}: {target.name} has no such heading; it has: {', '.join(sorted(anchors(target)))}")
        elif document in PAGES and not target.is_relative_to(DOCS):
            wrong.append(f"{link}: the site holds docs/ alone; name the file without a link")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_that_is_named_exists(document: Path) -> None:
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`", document.read_text(encoding="utf-8"))
    made = "runs/"  # also where 'rlfn train' writes
    assert not [path for path in named if not (ROOT / path).exists() and not path.startswith(made)]


def test_the_site_shows_every_page_once() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    assert sorted(listed(nav)) == [page.relative_to(DOCS).as_posix() for page in PAGES]


def test_every_image_is_shown_by_a_page() -> None:
    shown = {(page.parent / link).resolve() for page in DOCUMENTS for link in links(page)}
    assert not set((DOCS / "images").iterdir()) - shown


def listed(nav: list[dict[str, object]]) -> Iterator[str]:
    """Return every page of the site's navigation."""
    for entry in nav:
        for value in entry.values():
            yield from listed(value) if isinstance(value, list) else [str(value)]


@cache
def tokens(document: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(document.read_text(encoding="utf-8"))


def links(document: Path) -> list[str]:
    """Return the targets of a document's links and images; code is left alone."""
    inner = [child for token in tokens(document) for child in token.children or ()]
    return [str(child.attrs[key]) for child in inner for key in ("href", "src") if key in child.attrs]


@cache
def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as the site and GitHub both make them."""
    found: list[tuple[str, str]] = []
    for token, content in zip(tokens(document), tokens(document)[1:], strict=False):
        if token.type == "heading_open":
            text = "".join(child.content for child in content.children or ())
            plain = re.sub(r"[^\w\s-]", "", text).strip().lower()
            found.append((plain.replace(" ", "-"), re.sub(r"[\s-]+", "-", plain)))
    return {github for github, site in found if github == site and found.count((github, site)) == 1}
