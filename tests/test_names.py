"""One name has one meaning: no class and no type alias of the package is defined twice."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import rlfn

ROOT = Path(rlfn.__file__).parent


def type_names(path: Path) -> list[str]:
    """Return the public classes of a module and its type aliases, which are assigned names that begin as classes do."""
    names = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return [name for name in names if name[0].isupper() and not name.isupper()]


def test_no_name_has_two_meanings() -> None:
    places = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for name in type_names(path):
            places[name].append(path.relative_to(ROOT).as_posix())
    assert {"Recipe", "Upscaler", "SampleBatch"} <= places.keys()
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
