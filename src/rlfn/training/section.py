"""What every part of a recipe is made of: strict, typed and frozen sections of keys."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from rlfn.errors import unknown


class Section(BaseModel):
    """A part of a recipe: strict, frozen, without unknown keys; its numbers are finite, because JSON has no others."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """Return ``name`` if it is one of ``names``.

    Raises:
        OptionError: it is not; the message lists the names and the nearest one.
    """
    names = list(names)
    if name not in names:
        raise unknown(kind, name, names)
    return name
