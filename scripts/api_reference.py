"""Write docs/reference/api.md from the docstrings of the public modules. Nothing of the package is imported for it.

    python scripts/api_reference.py [--check]

With --check nothing is written; an outdated page is an error.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "api.md"

MODULES = (
    "rlfn",
    "rlfn.errors",
    "rlfn.images.resize",
    "rlfn.evaluation.metrics",
    "rlfn.models.catalog",
    "rlfn.networks",
    "rlfn.training.losses",
    "rlfn.integrations.huggingface",
    "rlfn.integrations.spandrel",
)
"""The documented modules: the names in ``__all__``, otherwise every public name that they define."""

LINE = 100


def page() -> str:
    """Return the page."""
    package = griffe.load(
        "rlfn",
        search_paths=[ROOT / "src"],
        docstring_parser="google",
        docstring_options={"returns_multiple_items": False, "warnings": False},
    )
    modules = package.modules_collection
    lines = ["# Python API", "", "Written by `python scripts/api_reference.py` from the docstrings.", ""]
    shown = set()
    for path in MODULES:
        lines += [f"## `{path}`", "", *_docstring(modules[path])]
        for name in _public(modules[path]):
            if name not in shown:
                lines += _object(modules[name], name.rsplit(".", 1)[-1], 3)
            shown.add(name)
    return "\n".join(lines).rstrip("\n") + "\n"


def _public(module: griffe.Object) -> Iterator[str]:
    """Yield the path at which each public name of a module is defined."""
    if module.exports is not None:
        for name in sorted((str(name) for name in module.exports), key=str.lower):
            if not name.startswith("__"):
                yield module.imports.get(name, f"{module.path}.{name}")
        return
    for name, found in module.members.items():
        if not name.startswith("_") and not found.is_alias:
            yield f"{module.path}.{name}"


def _object(found: griffe.Object, title: str, level: int) -> list[str]:
    """Return an object's heading, signature and docstring, and those of a class's public methods and properties."""
    if found.is_attribute and found.docstring is None:
        return []
    signature = _signature(found)
    code = ["```python", signature, "```", ""] if signature else []
    lines = [f"{'#' * level} `{title}`", "", *code, *_docstring(found)]
    if found.is_class:
        for name, member in found.members.items():
            shown = member.is_function or "property" in member.labels
            if shown and not member.is_alias and (name == "__call__" or not name.startswith("_")):
                lines += _object(member, f"{title}.{name}", level + 1)
    return lines


def _signature(found: griffe.Object) -> str:
    if isinstance(found, griffe.Class):
        bases = ", ".join(str(base).rsplit(".", 1)[-1] for base in found.bases)
        heads = [f"class {found.name}({bases})" if bases else f"class {found.name}"]
        made = found.members.get("__init__")
        if isinstance(made, griffe.Function):
            heads.append(_call(found.name, made, returns=False))
        elif "dataclass" in found.labels:
            fields = [item for item in found.members.values() if item.is_attribute and "property" not in item.labels]
            heads += [f"    {item.name}: {item.annotation}" for item in fields]
        return "\n".join(heads)
    if isinstance(found, griffe.Function):
        return _call(found.name, found)
    if "property" in found.labels and found.annotation is not None:
        return f"{found.name}: {found.annotation}"
    return ""


def _call(name: str, function: griffe.Function, returns: bool = True) -> str:
    """Return a function's signature, on one line per parameter if it is too long for one line."""
    parts, starred = [], False
    for parameter in function.parameters:
        if parameter.name == "self":
            continue
        keyword = parameter.kind is griffe.ParameterKind.keyword_only
        if keyword and not starred:
            parts.append("*")
            starred = True
        star = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}
        starred = starred or parameter.kind is griffe.ParameterKind.var_positional
        text = star.get(parameter.kind, "") + parameter.name
        text += f": {parameter.annotation}" if parameter.annotation is not None else ""
        if parameter.default is not None and parameter.kind not in star:
            text += f" = {parameter.default}"
        parts.append(text)
    end = f" -> {function.returns}" if returns and function.returns is not None else ""
    line = f"{name}({', '.join(parts)}){end}"
    if len(line) <= LINE:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"


def _docstring(found: griffe.Object) -> list[str]:
    lines: list[str] = []
    for section in found.docstring.parsed if found.docstring else ():
        match section:
            case griffe.DocstringSectionText(value=text):
                lines += [_markdown(text), ""]
            case griffe.DocstringSectionReturns(value=items) | griffe.DocstringSectionYields(value=items):
                lines += ["**Returns**", "", *(_line(item.description) for item in items), ""]
            case griffe.DocstringSectionRaises(value=items):
                lines += [
                    "**Raises**",
                    "",
                    *(f"- {_names(str(x.annotation).strip('()'))}: {_line(x.description)}" for x in items),
                    "",
                ]
            case griffe.DocstringSectionParameters(value=items) | griffe.DocstringSectionAttributes(value=items):
                title = "Attributes" if section.kind is griffe.DocstringSectionKind.attributes else "Arguments"
                rows = (f"- {_names(_all_names(x))}: {_line(x.description)}" for x in items)
                lines += [f"**{title}**", "", *rows, ""]
            case griffe.DocstringSectionExamples(value=items):
                for _, text in items:
                    lines += ["```python", text, "```", ""]
            case _:
                raise SystemExit(f"{found.path}: no rendering for a section of kind {section.kind.value}.")
    return lines


def _markdown(text: str) -> str:
    """Return a docstring's text in Markdown: examples as code, references as names."""
    blocks = []
    for block in text.strip("\n").split("\n\n"):
        if block.startswith((">>> ", "    ")):
            blocks.append(f"```python\n{textwrap.dedent(block)}\n```")
        else:
            blocks.append(re.sub(r":\w+:`~?([^`]+)`", r"`\1`", block).replace("``", "`"))
    return "\n\n".join(blocks).replace("\n```\n\n```python\n", "\n\n")


def _all_names(row: griffe.DocstringNamedElement) -> str:
    """Return the names of a row; of ``a, b:`` under "Attributes:", griffe takes what follows ``a,`` for a type."""
    return f"{row.name} {str(row.annotation).strip('()')}" if row.name.endswith(",") else row.name


def _names(text: str) -> str:
    """Return ``a, b`` as code, each name by itself."""
    return ", ".join(f"`{name}`" for name in text.split(", "))


def _line(text: str) -> str:
    return " ".join(_markdown(text).split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    new = page()
    if check and (not PAGE.exists() or PAGE.read_text(encoding="utf-8") != new):
        raise SystemExit(f"{PAGE.name} differs from the docstrings: run python scripts/api_reference.py")
    if not check:
        PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
