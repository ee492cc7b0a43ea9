"""What a run consists of, and how it is set up: devices, data, clocks, and the checks before the first step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lightning_fabric import Fabric

from rlfn.data.pack import Pack
from rlfn.errors import DataError, ModelError, OptionError, listing, setting
from rlfn.models.variants import get_variant
from rlfn.networks.build import ARCHITECTURES
from rlfn.training.checkpoint import Checkpoints
from rlfn.training.clock import StepClock
from rlfn.training.guard import Guard
from rlfn.training.recipe import Recipe, Stage
from rlfn.training.reporting import Reporter
from rlfn.training.signals import StopRequest
from rlfn.training.state import TrainingState
from rlfn.training.validation import Validator, make_validator


@dataclass(frozen=True)
class Devices:
    """Where a run computes, in Lightning Fabric's words."""

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"


@dataclass
class Timer:
    """Says when something is due: after so many iterations or minutes since it was done last."""

    every: int | None
    minutes: float | None
    done: float = field(default_factory=time.monotonic)

    def due(self, iteration: int) -> bool:
        """Return whether it is time, after ``iteration`` steps of the run."""
        by_count = self.every is not None and iteration % self.every == 0
        by_time = self.minutes is not None and time.monotonic() - self.done >= 60.0 * self.minutes
        return by_count or by_time


@dataclass
class TrainingRun:
    """A run: what stays while it goes on, and ``state``, which changes with every step."""

    fabric: Fabric
    recipe: Recipe
    out: Path
    pack: Pack
    checkpoints: Checkpoints
    validator: Validator | None
    reporter: Reporter
    look: Timer
    keep: Timer
    stop: StopRequest
    state: TrainingState

    @property
    def stage(self) -> Stage:
        """The stage that is being trained."""
        return self.recipe.stages[self.state.stage]

    @property
    def progress(self) -> float:
        """The share of the stage that is done."""
        return self.state.progress(self.stage)


def setup(
    recipe: Recipe,
    out: Path,
    data: Path | None,
    where: Devices,
    resume: bool,
    stop: StopRequest,
    now: Callable[[], float],
) -> TrainingRun:
    """Open the data and start the devices; check what can be checked before the first step."""
    fabric = Fabric(
        accelerator=where.accelerator,
        devices=where.devices,
        num_nodes=where.nodes,
        strategy=where.strategy,
        precision=recipe.precision,
    )
    fabric.launch()
    source = data or (Path(recipe.data.train) if recipe.data.train else None)
    if source is None:
        raise DataError(
            f"The recipe names no data. Give a pack, made by rlfn data pack, as {setting('data')} or data.train."
        )
    pack = Pack.open(source)
    _check(recipe, pack, fabric.world_size)
    checkpoints = Checkpoints(out / "checkpoints", recipe.saving.keep, recipe.saving.milestones)
    if checkpoints.paths() and not resume:
        raise OptionError(f"{out} holds a run already. Go on with {setting('resume', out)}, or choose another folder.")
    return TrainingRun(
        fabric=fabric,
        recipe=recipe,
        out=out,
        pack=pack,
        checkpoints=checkpoints,
        validator=make_validator(recipe, pack) if fabric.is_global_zero else None,
        reporter=Reporter(out, on=fabric.is_global_zero),
        look=Timer(recipe.validation.every, recipe.validation.minutes),
        keep=Timer(recipe.saving.every, recipe.saving.minutes),
        stop=stop,
        state=TrainingState(Guard(recipe.guard.spike, recipe.guard.streak), StepClock(now)),
    )


def _check(recipe: Recipe, pack: Pack, world: int) -> None:
    """Find what would fail hours later: patches too small or too large, batches that cannot be shared out."""
    if recipe.scale not in pack.scales:
        raise DataError(
            f"The pack {pack.path} has no x{recipe.scale} pictures; it has: {listing(pack.scales)}. "
            f"Make a pack that has them: 'rlfn data pack' with {setting('scale', recipe.scale)}."
        )
    least = ARCHITECTURES[get_variant(recipe.variant).architecture].min_side
    largest = 0
    for number, stage in enumerate(recipe.stages):
        for at in (0.0, *(phase.at for phase in stage.phases)):
            patch, batch = stage.sizes(at, recipe.scale)
            largest = max(largest, patch)
            if patch < least:
                raise OptionError(
                    f"stages.{number}: a patch of {patch} px is too small. {recipe.variant} needs {least}."
                )
            if batch % world:
                raise OptionError(f"stages.{number}: a batch of {batch} cannot be shared evenly by {world} devices.")
    pack.check_patch(largest * recipe.scale, pack.split(recipe.data.held_out, "train"))


def settings_of_run(out: Path) -> tuple[Recipe, Path]:
    """Return the resolved recipe and the pack's path that the newest whole checkpoint of the run in ``out`` holds.

    Raises:
        ModelError: there is no run, or none of its checkpoints is whole.
    """
    if not (out / "checkpoints").is_dir():
        raise ModelError(f"{out} holds no run. Give the folder that 'rlfn train' wrote.")
    state, _ = Checkpoints(out / "checkpoints", 2).load_last()
    return Recipe.model_validate_json(state["recipe"]), Path(state["data"])
