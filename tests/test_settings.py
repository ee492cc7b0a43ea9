"""Messages below the faces name settings, never flags: each face words a setting in its own way."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import rlfn

ROOT = Path(rlfn.__file__).parent
FACES = ("cli", "serve")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*|(?<![\w-])-[a-z](?![\w-])")
COMMAND = re.compile(r"`(?:rlfn|python) [^`]*|^-[a-z]$")
"""What may hold a flag: a whole command in backquotes, and an argument that is passed to a process."""


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every string, those parts of f-strings included; strings that document nothing."""
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.lineno, node.value


def flags(source: str) -> list[tuple[int, str]]:
    return [(line, flag) for line, text in texts(ast.parse(source)) for flag in FLAG.findall(COMMAND.sub("", text))]


def test_no_message_below_the_faces_names_a_flag() -> None:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        if path.relative_to(ROOT).parts[0] not in FACES:
            found += [f"{path.relative_to(ROOT)}:{line}: {flag}" for line, flag in flags(path.read_text("utf-8"))]
    assert not found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("'use --tile'", []),  # a docstring
        ("say('use --tile')", ["--tile"]),
        ("say(f'use {x} or --max-pixels {y}')", ["--max-pixels"]),
        ("say('choose another -o.')", ["-o"]),
        ("say('run `rlfn data pack -o x`, not -o')", ["-o"]),
        ("run(['-c', code])", []),
        ("say('a -- b, c--d, --, a-b, -1')", []),
    ],
)
def test_the_search_finds_flags(source: str, found: list[str]) -> None:
    assert [flag for _, flag in flags(source)] == found
