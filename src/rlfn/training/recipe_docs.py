"""The reference of recipes, written from the schema.

python -m rlfn.training.recipe_docs > docs/reference/recipes.md
"""

from __future__ import annotations

import json
import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rlfn.data.degradations import DEGRADATIONS
from rlfn.training.extractors import EXTRACTORS
from rlfn.training.objective import loss_names
from rlfn.training.optim import OPTIMIZERS
from rlfn.training.recipe import INITS, Recipe
from rlfn.training.recipe_files import shipped_recipes
from rlfn.training.schedules import SCHEDULES

_TABLES = {
    "losses": loss_names(),
    "extractors": EXTRACTORS,
    "optimisers": OPTIMIZERS,
    "schedules": SCHEDULES,
    "degradations": DEGRADATIONS,
    "starts of a stage, besides a checkpoint's path": INITS,
}


def reference() -> str:
    """Return every key of a recipe with its default and meaning, and every name that a key may have, in Markdown."""
    lines = ["# Recipe reference", "", "Written by `python -m rlfn.training.recipe_docs` from the schema.", ""]
    lines += [*_section(Recipe, ""), "## Names", "", "| table | names |", "|---|---|"]
    lines += [f"| {table} | {', '.join(f'`{name}`' for name in names)} |" for table, names in _TABLES.items()]
    lines += [f"| shipped recipes | {', '.join(f'`{name}`' for name in shipped_recipes())} |", ""]
    return "\n".join(lines)


def _section(model: type[BaseModel], where: str) -> list[str]:
    """Return the table of one section, then those of the sections inside it."""
    title = f"`{where}`" if where else "A recipe"
    about = (model.__doc__ or "").splitlines()[0]
    lines = [f"## {title}", "", about, "", "| key | default | meaning |", "|---|---|---|"]
    inner: list[str] = []
    for name, field in model.model_fields.items():
        nested, many = _nested(field)
        if nested is None:
            lines.append(f"| `{name}` | {_default(field)} | {' '.join((field.description or '').split())} |")
        else:
            path = f"{where}.{name}".lstrip(".") + (".N" if many else "")
            lines.append(f"| `{name}` | | see `{path}` |")
            inner += _section(nested, path)
    return [*lines, "", *inner]


def _nested(field: FieldInfo) -> tuple[type[BaseModel] | None, bool]:
    """Return the section that a field holds, if it holds any, and whether it holds a list of them."""
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return field.annotation, False
    inner = [kind for kind in typing.get_args(field.annotation) if isinstance(kind, type)]
    return next((kind for kind in inner if issubclass(kind, BaseModel)), None), True


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default in (None, "", (), {}):
        return ""
    return f"`{_toml(field.default)}`"


def _toml(value: Any) -> str:
    """Return a default as it would be written in a TOML file."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    print(reference(), end="")
