"""What the studies that train keep on disk: the plan of a study, its recipes, and a folder for each training's run."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlfn.atomic import make_folder, write_bytes
from rlfn.data.pack import Pack
from rlfn.errors import DataError, OptionError
from rlfn.evaluation.sets import STANDARD, find_set, sets_present
from rlfn.networks.checkpoints import read_state
from rlfn.studies.request import StudyRequest
from rlfn.training.checkpoint import Checkpoints
from rlfn.training.loop import train
from rlfn.training.recipe import Recipe
from rlfn.wording import listing, setting

_SCALES = (2, 3, 4)

_OTHERS = {
    "budget": "another budget",
    "seeds": "other seeds",
    "data": "other data",
    "trainings": "other trainings",
}
"""How a message names the keys of a plan that differ."""


@dataclass(frozen=True)
class Trained:
    """A finished training: its model's file, the steps it took, its time in steps in seconds, and its held-out PSNR."""

    model: Path
    iterations: int
    seconds: float
    held_out: float


@dataclass(frozen=True)
class RunFolder:
    """The folder of one training's run."""

    path: Path

    @property
    def model(self) -> Path:
        """The file of the trained weights, which is there when the training has finished."""
        return self.path / "model.safetensors"

    @property
    def finished(self) -> bool:
        """Whether the training has finished."""
        return self.model.is_file()

    def trained(self) -> Trained:
        """Return what the finished training left."""
        _, facts = read_state(self.model)
        hours, psnr = float(facts["hours"]), float(facts["validation_psnr"])
        return Trained(self.model, int(facts["iterations"]), hours * 3600.0, psnr)

    def train(self, recipe: Recipe, request: StudyRequest, after: RunFolder | None = None) -> bool:
        """Train, or go on with what an earlier call began; return False where it was asked to stop.

        Args:
            recipe: the resolved recipe.
            request: the data, and what may ask to stop.
            after: the finished run of which this one is the continuation: it takes up that one's last checkpoint.
        """
        own = self._checkpoints(recipe)
        if after is not None and not own.paths():
            newest = after._checkpoints(recipe).paths()[-1]
            make_folder(own.folder)
            write_bytes(own.folder / newest.name, newest.read_bytes())
        ended = train(recipe, self.path, data=request.data, resume=bool(own.paths()), stop=request.stop)
        return ended and not request.stop.asked

    def _checkpoints(self, recipe: Recipe) -> Checkpoints:
        return Checkpoints(self.path / "checkpoints", recipe.saving.keep)


class PlanFile:
    """``plan.json`` of a study's folder: what was asked for, and what was measured before the first step.

    Args:
        out: the study's folder, created if it is missing.
    """

    def __init__(self, out: Path) -> None:
        make_folder(out)
        self.out = out
        self.path = out / "plan.json"

    def read(self) -> dict[str, Any] | None:
        """Return the plan, or None if the folder has none.

        Raises:
            OptionError: it is damaged.
        """
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self.damaged()
        return found

    def read_for(self, asked: Mapping[str, Any], shown: Collection[str]) -> dict[str, Any] | None:
        """Return the plan, or None if the folder has none; refuse a folder that holds the study with other settings.

        Args:
            asked: the settings that must be those of the plan.
            shown: which of them the message shows.

        Raises:
            OptionError: the plan is damaged, or was made for other settings.
        """
        found = self.read()
        if found is None:
            return None
        differing = [key for key, value in asked.items() if found.get(key) != value]
        if differing:
            others = [_OTHERS[key] + (f" ({found.get(key)})" if key in shown else "") for key in differing]
            raise OptionError(
                f"{self.out} holds this study with {listing(others)}. "
                f"Repeat those to go on, or choose another {setting('output')}."
            )
        return found

    def write(self, plan: Mapping[str, Any]) -> None:
        """Write the plan."""
        write_bytes(self.path, (json.dumps(plan, indent=2) + "\n").encode())

    def damaged(self) -> OptionError:
        """Return the error of a damaged plan."""
        return OptionError(f"{self.path} is damaged. Remove {self.out}, or choose another {setting('output')}.")


def open_pack(request: StudyRequest, scales: Iterable[int]) -> Pack:
    """Open the pack that a study trains on, and check the sets that it will score its models of ``scales`` on.

    Raises:
        DataError: no pack was given, or it cannot be read; a set that was named cannot be found.
    """
    if request.data is None:
        raise DataError(f"This study trains. Give it a pack: {setting('data', 'PACK')} (made by 'rlfn data pack').")
    for scale in sorted(set(scales)):
        for which in request.sets:
            find_set(which, scale, request.sets_dir)
    return Pack.open(request.data)


def check_sets_folder(request: StudyRequest) -> None:
    """Refuse a folder of sets that was named and has none; without one, a study scores on what it finds.

    Raises:
        DataError: none of the standard sets is there.
    """
    folder = request.sets_dir
    if folder is not None and not request.sets and not any(sets_present(scale, folder) for scale in _SCALES):
        raise DataError(
            f"{folder} has none of {listing(STANDARD)}. Name the folder that contains them with "
            f"{setting('sets_dir')}, or folders of pictures with {setting('sets')}."
        )


def write_recipe(out: Path, name: str, seed: int, recipe: Recipe) -> None:
    """Write the resolved recipe of a training into a study's folder."""
    make_folder(out / "recipes")
    write_bytes(out / "recipes" / f"{name}-seed{seed}.json", (recipe.model_dump_json(indent=2) + "\n").encode())
