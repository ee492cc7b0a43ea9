"""Reading recipes: TOML or JSON files, their bases, overrides from the command line, errors with the nearest key."""

from __future__ import annotations

import copy
import difflib
import json
import os
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rlfn.errors import OptionError, unknown
from rlfn.training.extensions import load_extensions
from rlfn.training.recipe import Recipe
from rlfn.training.recipe_checks import key_conflicts
from rlfn.wording import itemized, listing, setting

_SUFFIXES = (".toml", ".json")
_ATTEMPTS = 3
_STAND_INS = {"variant": "rlfn-s", "scale": 4}
_DEEPEST = 32
_EITHER = ({"iterations", "hours"}, {"patch", "hr_patch"})  # setting one takes the other's place


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes inside the package by name."""
    folder = Path(str(files("rlfn.training") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(source: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe with its bases, apply overrides and check everything.

    Args:
        source: the path of a ``.toml`` or ``.json`` file, or the name of a recipe inside the package.
        overrides: texts such as ``stages.0.loss.l1=1``; the value is parsed as TOML, otherwise taken as text.

    Raises:
        OptionError: there is no such recipe, or it is wrong; the message lists every mistake.
    """
    return check_recipe(read_raw(source, overrides), str(source))


def read_raw(source: str | os.PathLike[str], overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Read a recipe's plain data with its bases and overrides, see :func:`load_recipe`; keys are not checked.

    Raises:
        OptionError: there is no such recipe, it cannot be read, or an override is not of its form.
    """
    path = _find(str(source), shipped_recipes())
    raw = _read(path, ())
    raw.setdefault("name", path.stem)
    for override in overrides:
        apply_override(raw, override)
    return raw


def check_recipe(raw: Mapping[str, Any], source: str) -> Recipe:
    """Turn a recipe's plain data into a :class:`Recipe`.

    Raises:
        OptionError: something is wrong; the message has one line for every mistake.
    """
    recipe, mistakes = parse_recipe(raw)
    if recipe is None or mistakes:
        raise mistaken(source, mistakes)
    return recipe


def mistaken(source: str, mistakes: Sequence[str]) -> OptionError:
    """Return the error that lists the mistakes of a recipe."""
    count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "a mistake"
    return OptionError(f"The recipe {source} has {count}:{itemized(mistakes)}")


def parse_recipe(raw: Mapping[str, Any]) -> tuple[Recipe | None, list[str]]:
    """Return a recipe and a line for each of its mistakes.

    Where there are mistakes, the recipe is what is left without the wrong keys, so that the rest can be checked too; it
    is None where nothing useful is left.
    """
    raw = dict(raw)
    shared = raw.pop("stage", {})
    stages = raw.get("stages")
    if isinstance(shared, dict) and isinstance(stages, list | tuple):
        raw["stages"] = [merge(shared, stage) if isinstance(stage, dict) else stage for stage in stages]
    mistakes: list[str] = []
    extensions = raw.get("extensions", ())
    if isinstance(extensions, list | tuple):
        try:
            load_extensions(str(file) for file in extensions)
        except OptionError as error:
            mistakes.append(f"extensions: {error.template}")
    removed: set[tuple[int | str, ...]] = set()
    for attempt in range(_ATTEMPTS):
        try:
            recipe = Recipe.model_validate(raw)
        except ValidationError as error:
            wrong = [found for found in error.errors() if not _follows(found["loc"], found["type"], raw)]
            if attempt == 0:
                mistakes += [_explain(found["loc"], found["type"], found["msg"], raw) for found in wrong]
            raw = _without(raw, [found["loc"] for found in wrong])
            removed |= {found["loc"] for found in wrong}
        else:
            return recipe, mistakes + key_conflicts(recipe, removed)
    return None, mistakes


def _without(raw: dict[str, Any], wrong: Iterable[tuple[int | str, ...]]) -> dict[str, Any]:
    """Return a recipe's data without the keys at ``wrong``; what cannot be missing becomes something that is valid."""
    raw = copy.deepcopy(raw)
    for where in wrong:
        place: Any = raw
        parents: list[tuple[Any, int | str]] = []
        for part in where:
            try:
                inner = place[part]
            except (KeyError, IndexError, TypeError):
                break
            parents.append((place, part))
            place = inner
        if parents and isinstance(parents[-1][0], dict):
            parents[-1][0].pop(parents[-1][1], None)
    return {**_STAND_INS, **raw}


def _find(source: str, shipped: Mapping[str, Path]) -> Path:
    if source in shipped:
        return shipped[source]
    path = Path(source)
    if path.suffix in _SUFFIXES:
        if not path.is_file():
            raise OptionError(f"There is no recipe file {path}. Give a .toml or .json file, or: {listing(shipped)}.")
        return path
    raise unknown("recipe", source, shipped)


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    path = Path(os.path.realpath(path))
    if path in seen:
        raise OptionError(f"The recipe {path} is its own base: {listing(seen)}.")
    kind = path.suffix[1:].upper()
    try:
        text = path.read_text(encoding="utf-8")
        raw: dict[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise OptionError(f"The recipe {path} cannot be read: {error.strerror}. Check the file.") from None
    except ValueError as error:  # Python says so of numbers of thousands of digits too
        raise OptionError(f"The recipe {path} is not valid {kind}: {str(error).rstrip('.')}.") from None
    except RecursionError:
        raise OptionError(f"The recipe {path} is nested too deeply. Tables in tables need a few levels.") from None
    _check_sizes(raw, str(path))
    if not isinstance(raw, dict):
        raise OptionError(f"The recipe {path} is not a table of keys. Give a resolved recipe, as studies write them.")
    if isinstance(raw.get("extensions"), list):  # a path may be relative to the recipe's own folder
        places = [(path.parent / str(file), file) for file in raw["extensions"]]
        raw["extensions"] = [str(place) if place.is_file() else file for place, file in places]
    base = raw.pop("base", None)
    if base is None:
        return raw
    if not isinstance(base, str):
        raise OptionError(f"The recipe {path} has a base that is not text. Give a recipe's name or path.")
    beside = path.parent / base
    found = beside if beside.suffix in _SUFFIXES and beside.is_file() else _find(base, shipped_recipes())
    inherited = _read(found, (*seen, path))
    inherited.pop("name", None)
    return merge(inherited, raw)


def _check_sizes(value: Any, source: str) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        long = next((one for one in level if isinstance(one, int) and abs(one) >= 1 << 63), None)
        if long is not None:
            raise OptionError(f"The recipe {source} has a whole number of {long.bit_length()} bits. At most 63 fit.")
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    if level:
        raise OptionError(f"The recipe {source} is nested too deeply. At most {_DEEPEST} levels are allowed.")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the keys of ``over``: tables are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        for pair in _EITHER:
            if key in pair:
                for other in pair - {key}:
                    merged.pop(other, None)
        old = merged.get(key)
        merged[key] = (
            merge(old, value) if isinstance(old, dict) and isinstance(value, dict) and key != "variant" else value
        )
    for pair in _EITHER:  # both given in one table stays a mistake that is reported
        if pair <= over.keys():
            merged.update({key: over[key] for key in pair})
    return merged


def apply_override(raw: dict[str, Any], text: str) -> None:
    """Apply one ``path.to.key=value``."""
    where, equals, value = text.partition("=")
    if not equals or not where.strip():
        raise OptionError(f"{_given(text)} is not of the form key=value, for example stages.0.hours=0.5.")
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    _check_sizes(parsed, f"with {_given(where)}")
    *parents, last = where.strip().split(".")
    place: Any = raw
    for depth, key in enumerate(parents):
        if isinstance(place, list):
            place = _item(place, key, text)
        elif isinstance(place, dict):
            place = place.setdefault(key, {})
        else:
            raise OptionError(f"{_given(text)}: {'.'.join(parents[:depth])} is a value and has no keys.")
    if isinstance(place, list):
        _item(place, last, text)
        place[int(last)] = parsed
    elif isinstance(place, dict):
        place.update(merge(place, {last: parsed}))
        for pair in _EITHER:
            if last in pair:
                for other in pair - {last}:
                    place.pop(other, None)
                    _drop_shared(raw, parents, other)
    else:
        raise OptionError(f"{_given(text)}: {'.'.join(parents)} is a value and has no keys.")


def _drop_shared(raw: dict[str, Any], parents: list[str], key: str) -> None:
    """A stage's own ``hours`` also takes the place of ``iterations`` that all stages share; merging sees to that."""
    if parents == ["stage"]:
        for stage in raw.get("stages", []):
            if isinstance(stage, dict):
                stage.pop(key, None)


def _given(text: str) -> str:
    return setting("overrides", repr(text))


def _item(place: list[Any], key: str, text: str) -> Any:
    if not key.isdigit() or int(key) >= len(place):
        allowed = f"0 to {len(place) - 1}" if place else "none, the list is empty"
        raise OptionError(f"{_given(text)}: {key!r} is not an item of that list. Allowed: {allowed}.")
    return place[int(key)]


def _follows(where: tuple[int | str, ...], kind: str, raw: Mapping[str, Any]) -> bool:
    """Return whether a mistake only follows from others: a list counts as empty when all of its items are wrong."""
    return kind == "too_short" and where == ("stages",) and bool(raw.get("stages"))


def _explain(where: tuple[int | str, ...], kind: str, message: str, raw: Mapping[str, Any]) -> str:
    """Write one mistake as one line: the key, what is wrong, the nearest or the allowed names."""
    place = ".".join(str(part) for part in where) or "the recipe"
    if kind == "extra_forbidden":
        fields = _fields_at(where[:-1])
        near = difflib.get_close_matches(str(where[-1]), fields, n=1, cutoff=0.5)
        hint = f"Did you mean '{near[0]}'?" if near else f"Allowed: {listing(fields)}."
        return f"{place}: there is no such key. {hint}"
    if kind == "missing":
        return f"{place}: this key is required."
    message = message.removeprefix("Value error, ").replace("Input should", "it should")
    message = re.sub(r"a valid dictionary( or instance of \w+)?", "a table", message).replace("a valid tuple", "a list")
    given: Any = raw
    for part in where:
        try:
            given = given[part]
        except (KeyError, IndexError, TypeError):
            return f"{place}: {message}"
    said = f" (given: {repr(given)[:200]})" if not isinstance(given, dict | list) and kind != "value_error" else ""
    return f"{place}: {message}{said}"


def _fields_at(where: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the section at ``where`` allows."""
    model: type[BaseModel] = Recipe
    for part in where:
        if isinstance(part, str) and part in model.model_fields:
            model = next(iter(_sections(model.model_fields[part].annotation)), model)
    return list(model.model_fields)


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """Return the sections that occur in a field's type, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in typing.get_args(annotation) for found in _sections(inner)]
