"""What a run consists of, and how it is set up: devices, data, clocks, and the checks before the first step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lightning_fabric import Fabric

from rlfn.errors import DataError, ModelError, OptionError, listing
from rlfn.networks.build import ARCHITECTURES
from rlfn.training.checkpoint import Checkpoints
from rlfn.training.clock import StepClock
from rlfn.training.guard import Guard
from rlfn.training.learner import Position
from rlfn.training.pack import Pack
from rlfn.training.precision import resolve_precision
from rlfn.training.recipe import Recipe, Stage
from rlfn.training.reporting import Reporter
from rlfn.training.signals import StopRequest
from rlfn.training.validation import Validator, make_validator
from rlfn.variants import get_variant


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
class Run:
    """What stays while a run goes on."""

    fabric: Fabric
    recipe: Recipe
    out: Path
    pack: Pack
    checkpoints: Checkpoints
    validator: Validator | None
    reporter: Reporter
    clock: StepClock
    guard: Guard
    look: Timer
    keep: Timer
    stop: StopRequest
    position: Position = field(default_factory=Position)
    best: float = float("-inf")

    @property
    def stage(self) -> Stage:
        """The stage that is being trained."""
        return self.recipe.stages[self.position.stage]

    @property
    def progress(self) -> float:
        """The share of the stage that is done."""
        return self.position.progress(self.stage)


def setup(recipe: Recipe, out: Path, data: Path | None, where: Devices, resume: bool, now: Callable[[], float]) -> Run:
    """Open the data and start the devices; check what can be checked before the first step.

    The recipe of the run that is returned says in which precision it computes, whatever the machine it is resumed on.
    """
    precision = resolve_precision(recipe.precision, where.accelerator)
    recipe = recipe.model_copy(update={"precision": precision})
    fabric = Fabric(
        accelerator=where.accelerator,
        devices=where.devices,
        num_nodes=where.nodes,
        strategy=where.strategy,
        precision=precision,
    )
    fabric.launch()
    source = data or (Path(recipe.data.train) if recipe.data.train else None)
    if source is None:
        raise DataError("The recipe names no data. Give a pack: rlfn train ... --data PACK (made by rlfn data pack).")
    pack = Pack.open(source)
    _check(recipe, pack, fabric.world_size)
    checkpoints = Checkpoints(out / "checkpoints", recipe.saving.keep, recipe.saving.milestones)
    if checkpoints.paths() and not resume:
        raise OptionError(f"{out} holds a run already. Go on with --resume {out}, or choose another --out.")
    return Run(
        fabric=fabric,
        recipe=recipe,
        out=out,
        pack=pack,
        checkpoints=checkpoints,
        validator=make_validator(recipe, pack) if fabric.is_global_zero else None,
        reporter=Reporter(out, on=fabric.is_global_zero),
        clock=StepClock(now),
        guard=Guard(recipe.guard.spike, recipe.guard.streak),
        look=Timer(recipe.validation.every, recipe.validation.minutes),
        keep=Timer(recipe.saving.every, recipe.saving.minutes),
        stop=StopRequest(),
    )


def _check(recipe: Recipe, pack: Pack, world: int) -> None:
    """Find what would fail hours later: patches too small or too large, batches that cannot be shared out."""
    if recipe.scale not in pack.scales:
        raise DataError(
            f"The pack {pack.path} has no x{recipe.scale} pictures; it has: {listing(pack.scales)}. "
            f"Make them with: rlfn data pack ... --scale {recipe.scale}"
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
        raise ModelError(f"{out} holds no run. Give the folder that rlfn train --out wrote.")
    state, _ = Checkpoints(out / "checkpoints", 2).load_last()
    return Recipe.model_validate_json(state["recipe"]), Path(state["data"])
