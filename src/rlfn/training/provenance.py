"""The provenance of a model in publishable form: file names and SHA-256, never folders."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from rlfn.training.extractors import VGG19_WEIGHTS
from rlfn.training.recipe import HELD_OUT, Recipe
from rlfn.training.weight_files import weights_file


def origins(recipe: Recipe, known: dict[str, str] | None = None) -> dict[str, str]:
    """Return a name for each file that a recipe starts from, learns from or runs: ``a.pth (sha256 12ab...)``.

    Args:
        recipe: the recipe.
        known: names that were found before, for files that may be gone by now.
    """
    files = [stage.init for stage in recipe.stages if stage.starts_from_file]
    files += [stage.teacher for stage in recipe.stages if stage.teacher is not None]
    files += [stage.contrastive.vgg19 for stage in recipe.stages if stage.contrastive.vgg19 not in VGG19_WEIGHTS]
    named = dict(known or {})
    for file in (*files, *recipe.extensions):
        if file not in named:
            named[file] = name_of(weights_file(file))
    return named


def name_of(path: Path) -> str:
    """Return a file's name and its SHA-256, or its name alone where it is no file."""
    if not path.is_file():
        return path.name
    with path.open("rb") as stream:
        return f"{path.name} (sha256 {hashlib.file_digest(stream, 'sha256').hexdigest()})"


def publishable(recipe: Recipe, named: dict[str, str]) -> dict[str, Any]:
    """Return a recipe's plain data in which files and folders have names instead of paths."""
    raw = recipe.model_dump(mode="json")
    raw["extensions"] = [named.get(file, Path(file).name) for file in recipe.extensions]
    for data in raw["data"]["train"]:
        data["path"] = Path(data["path"]).name
    raw["validation"]["sets"] = [which if which == HELD_OUT else Path(which).name for which in recipe.validation.sets]
    for stage in raw["stages"]:
        for place, key in ((stage, "init"), (stage, "teacher"), (stage["contrastive"], "vgg19")):
            if place[key] is not None:
                place[key] = named.get(place[key], place[key])
    return raw
