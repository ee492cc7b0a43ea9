"""Write the tables that depend on the weights into the documents, between their markers.

Tables of packaged models come from the manifest, others from the measurements that scripts/measure.py keeps. The
packaged models' rows in the tables of the study "results" are updated too.

    python scripts/model_tables.py [--check]

With --check nothing is written; an outdated document is an error.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from itertools import zip_longest
from pathlib import Path

from rlfn.evaluation.report import aligned
from rlfn.models import catalog

sys.path.insert(0, str(Path(__file__).parent))
from measure import kept

ROOT = Path(__file__).parents[1]
SETS = ("Set5", "Set14", "B100")
SPEED = {
    ("rlfn-s", 4): 1.0,
    ("rlfn-s", 3): 1.0,
    ("rlfn-s", 2): 1.0,
    ("rlfn-xs", 4): 5.0,
    ("rlfn-xs", 3): 5.6,
    ("rlfn-xs", 2): 6.2,
    ("rlfn-xxs", 2): 18.1,
}
"""What ``python benchmarks/models.py --rounds 15`` printed for ONNX Runtime, by variant and scale."""
SAME_NETWORK = {"rlfn-s-photo-x2": "rlfn-s-x2"}
"""Models that were not part of that run, and the measured model of the same network."""
STUDIES = "docs/reports/studies.md"
"""The document with a row for every packaged model, and with bicubic's scores."""


def ordered() -> dict[str, catalog.Model]:
    """Return the packaged models by name: family by family, the largest scale first."""
    return dict(sorted(catalog.models().items(), key=lambda item: (item[1].family, -item[1].scale)))


def short() -> list[list[str]]:
    """Return the table of the README: parameters, speed and scores."""
    models = ordered()
    scales = sorted({model.scale for model in models.values()}, reverse=True)
    defaults = {catalog.model_for_scale(scale).name for scale in scales}
    rows = [["model", "parameters", "speed", *SETS]]
    for name, model in models.items():
        title = f"`{name}` (default)" if name in defaults else f"`{name}`"
        rows.append([title, f"{model.parameters:,}", _speed(name, model), *(_both(model.scores[key]) for key in SETS)])
    bicubic = _bicubic()
    return rows + [[f"bicubic, x{scale}", "", "", *bicubic[scale]] for scale in scales]


def full() -> list[list[str]]:
    """Return the table with int8 beside it."""
    head, *rows = short()
    table = [[*head, *(f"int8: {key}" for key in SETS)]]
    for row, model in zip_longest(rows, ordered().values()):
        small = {} if model is None else _int8(model)
        missing = "" if model is None else "none"
        table.append([*row, *(f"{small[key]['psnr']:.2f}" if small else missing for key in SETS)])
    return table


def lost() -> list[list[str]]:
    """Return what int8 loses, a row for each model and set."""
    rows = [["model", "set", "fp32", "int8", "lost"]]
    for name, model in ordered().items():
        small = _int8(model)
        for number, key in enumerate(SETS if small else ()):
            before, after = model.scores[key]["psnr"], small[key]["psnr"]
            title = f"`{name}`" if number == 0 else ""
            rows.append([title, key, f"{before:.3f}", f"{after:.3f}", f"{before - after:.3f}"])
    return rows


def chains() -> list[list[str]]:
    """Return how each model was trained: its start, and its stages together."""
    rows = [["model", "start", "teacher", "stages", "iterations", "LR pixels", "minutes of steps"]]
    for name, model in ordered().items():
        if not model.chain:
            continue
        stages = [*model.chain, *model.int8_chain]
        iterations, pixels, seconds = (
            sum(stage[key] for stage in stages) for key in ("iterations", "lr_pixels", "seconds")
        )
        teachers = dict.fromkeys(stage["teacher"] for stage in stages if stage["teacher"])
        start = model.chain[0]["start"]
        count = f"{len(model.chain)}, {len(model.int8_chain)} for int8" if model.int8_chain else str(len(model.chain))
        numbers = [count, f"{iterations:,}", f"{pixels / 1e6:.1f} M", f"{seconds / 60:.0f}"]
        rows.append([f"`{name}`", start, ", ".join(teachers) or "none of its own", *numbers])
    return rows


TABLES: dict[str, dict[str, Callable[[], list[list[str]]]]] = {
    "README.md": {"models": short},
    "docs/reference/models.md": {"models": full, "chains": chains},
    "docs/guide/deploy.md": {"models": lost},
}
"""Each document's tables, by marker."""


def renewed(text: str, tables: dict[str, Callable[[], list[list[str]]]]) -> str:
    """Return a document's text with its tables updated, each between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""
    for name, table in tables.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        assert begin, f"the document has no marker <!-- {name} -->"
        assert end, f"the document has no marker <!-- /{name} -->"
        text = "".join([before, begin, *(f"{line}\n" for line in aligned(table())), end, after])
    return text


def remeasured(text: str) -> str:
    """Return a document's text with each table of ``<!-- measured: NAME -->`` to ``<!-- /measured -->`` updated."""

    def table(found: re.Match[str]) -> str:
        data = kept(found[1])
        assert data, f"there is no measurement {found[1]}: run python scripts/measure.py {found[1]}"
        versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
        said = f"`{data['command']}`, commit {data['commit'][:12]}, {data['processor']}, {versions}."
        lines = [found[0].splitlines()[0], *aligned(data["rows"]), "", said, "<!-- /measured -->"]
        return "\n".join(lines)

    return re.sub(r"<!-- measured: (\w+) -->\n.*?<!-- /measured -->", table, text, flags=re.DOTALL)


def restudied(text: str) -> str:
    """Return the studies' text with the scores of the packaged models updated."""
    models = catalog.models()
    found = set()

    def row(line: str) -> str:
        cells = line.split(" | ")
        if len(cells) < 2 * len(SETS) or cells[1] != "packaged":
            return line
        name = cells[0].removeprefix("| ")
        found.add(name)
        scores = models[name].scores
        last = [f"{scores[key][measure]:.{digits}f}" for key in SETS for measure, digits in (("psnr", 3), ("ssim", 4))]
        return " | ".join([*cells[: -len(last)], *last]) + " |"

    new = "\n".join(row(line) for line in text.split("\n"))
    assert found == models.keys(), f"the studies have no row of {', '.join(models.keys() - found)}"
    return new


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    texts: dict[str, Callable[[str], str]] = {name: partial(renewed, tables=tables) for name, tables in TABLES.items()}
    texts[STUDIES] = restudied
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        name = path.relative_to(ROOT).as_posix()
        old = path.read_text(encoding="utf-8")
        new = remeasured(texts.get(name, str)(old))
        if check and new != old:
            raise SystemExit(f"{name} has outdated tables: run python scripts/model_tables.py")
        if new != old:
            path.write_text(new, encoding="utf-8")


def _speed(name: str, model: catalog.Model) -> str:
    if name in SAME_NETWORK:
        return f"as `{SAME_NETWORK[name]}`"
    speed = SPEED.get((model.variant, model.scale))
    return f"{speed}x" if speed else "not measured"


def _bicubic() -> dict[int, list[str]]:
    """Return bicubic's scores by scale, from the tables of the study "results"."""
    found = {}
    scale = 0
    for line in (ROOT / STUDIES).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"x\d", cells[0]):
            scale = int(cells[0][1:])
        elif cells[0] == "bicubic" and scale:
            scores = cells[-2 * len(SETS) :]
            pairs = zip(scores[::2], scores[1::2], strict=True)
            found[scale] = [
                f"{Decimal(psnr).quantize(Decimal('0.01'), ROUND_HALF_UP)} / {ssim}" for psnr, ssim in pairs
            ]
    return found


def _both(score: dict[str, float]) -> str:
    return f"{score['psnr']:.2f} / {score['ssim']:.4f}"


def _int8(model: catalog.Model) -> dict[str, dict[str, float]]:
    return next((file.scores for file in model.files if file.precision == "int8"), {})


if __name__ == "__main__":
    main()
