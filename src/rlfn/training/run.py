"""A training run and its setup, from scratch or from a checkpoint."""

from __future__ import annotations

import fnmatch
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from rlfn.data.store import DataSource, PictureStore
from rlfn.errors import ModelError, OptionError
from rlfn.networks.build import build
from rlfn.training.checkpoint import Checkpoints
from rlfn.training.clock import StepClock
from rlfn.training.cost import describe_pictures, estimate
from rlfn.training.devices import Devices, start_fabric
from rlfn.training.feeding import Feeder, make_feeder
from rlfn.training.guard import Guard
from rlfn.training.precision import resolve_precision
from rlfn.training.preflight import check_run, open_data
from rlfn.training.provenance import origins
from rlfn.training.recipe import Recipe, Stage
from rlfn.training.recipe_files import apply_override, check_recipe, mistaken, parse_recipe
from rlfn.training.reporting import Reporter
from rlfn.training.resuming import describe_data, explain_other_version, known_data, other_version
from rlfn.training.signals import StopRequest
from rlfn.training.state import TrainingState
from rlfn.training.validation import Validator, make_validator
from rlfn.wording import duration, listing


@dataclass
class Timer:
    """Tells when something is due: every N iterations, at milestones, or N minutes after the last time."""

    every: int | None
    minutes: float | None
    milestones: int | None = None
    done: float = field(default_factory=time.monotonic)

    def due(self, iteration: int) -> bool:
        """Return whether it is time, after ``iteration`` steps of the run."""
        by_count = any(step is not None and iteration % step == 0 for step in (self.every, self.milestones))
        by_time = self.minutes is not None and time.monotonic() - self.done >= 60.0 * self.minutes
        return by_count or by_time


@dataclass
class TrainingRun:
    """A run: its fixed parts, and ``state``, which changes with every step."""

    fabric: Fabric
    recipe: Recipe
    out: Path
    sources: tuple[DataSource, ...]
    pictures: PictureStore
    feeder: Feeder
    trained_on: dict[str, Any]
    origins: dict[str, str]
    checkpoints: Checkpoints
    validator: Validator | None
    reporter: Reporter
    validation_timer: Timer
    checkpoint_timer: Timer
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
    data: Sequence[DataSource],
    devices: Devices,
    stop: StopRequest,
    now: Callable[[], float],
    saved: dict[str, Any] | None = None,
) -> TrainingRun:
    """Check everything, open the data and start the devices.

    Args:
        recipe: the resolved recipe.
        out: the run's folder.
        data: packs or folders, instead of the recipe's own.
        devices: the devices.
        stop: may ask the run to stop.
        now: the clock of stages in hours.
        saved: the checkpoint to resume from.
    """
    recipe = recipe.model_copy(update={"precision": resolve_precision(recipe.precision, devices.accelerator)})
    begun = -1 if saved is None else int(saved["state"]["stage"])
    check_run(recipe, data=data, devices=devices, out=out if saved is None else None, begun=begun)
    pictures = open_data(recipe, data)
    scale = recipe.scale
    trained_on = describe_data(pictures, scale) if saved is None else known_data(saved, pictures, scale, out)
    fabric = start_fabric(recipe, devices)
    fabric.launch()
    return TrainingRun(
        fabric=fabric,
        recipe=recipe,
        out=out,
        sources=tuple(data) or recipe.data.sources(),
        pictures=pictures,
        feeder=make_feeder(recipe, pictures, fabric.device),
        trained_on=trained_on,
        origins=origins(recipe, saved and saved["origins"]),
        checkpoints=Checkpoints(out / "checkpoints", recipe.saving.keep, recipe.saving.milestones),
        validator=make_validator(recipe, pictures) if fabric.is_global_zero else None,
        reporter=Reporter(out, on=fabric.is_global_zero),
        validation_timer=Timer(recipe.validation.every, recipe.validation.minutes),
        checkpoint_timer=Timer(recipe.saving.every, recipe.saving.minutes, recipe.saving.milestones),
        stop=stop,
        state=TrainingState(Guard(recipe.guard.spike, recipe.guard.max_skipped), StepClock(now)),
    )


def summary_lines(run: TrainingRun) -> list[str]:
    """Return lines that summarize the run before it starts."""
    recipe, pictures = run.recipe, run.pictures
    parameters = sum(parameter.numel() for parameter in build(recipe.network, recipe.scale).parameters())
    device = run.fabric.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    many = f", {run.fabric.world_size} processes" if run.fabric.world_size > 1 else ""
    shown = ", ".join(f"{each.name} ({len(each.samples)})" for each in run.validator.sets) if run.validator else "none"
    lengths = [f"{stage.iterations:,} steps" if stage.iterations else f"{stage.hours:g} h" for stage in recipe.stages]
    return [
        f"network     {recipe.network.name} x{recipe.scale}, {parameters:,} parameters",
        f"device      {device} ({name}){many}, precision {recipe.precision}",
        f"data        {describe_pictures(recipe, pictures)}",
        f"validation  {shown}",
        f"length      {' + '.join(lengths)}{_expected(run)}",
    ]


def _expected(run: TrainingRun) -> str:
    """Return how long the run will take in training steps, as far as that can be known before the first one."""
    stages = run.recipe.stages
    if all(stage.hours is not None for stage in stages):
        return f": {duration(3600.0 * sum(stage.hours or 0.0 for stage in stages))} of training steps"
    if run.fabric.device.type != "cpu":
        return ": how long that takes is said after the first steps"
    seconds = sum(cost.seconds for cost in estimate(run.recipe))
    others = any(stage.uses_contrastive or stage.teacher is not None for stage in stages)
    left_out = ", the losses' own networks left out" if others else ""
    return f": about {duration(seconds)} of training steps{left_out}"


def settings_of_run(out: str | Path, overrides: Iterable[str] = ()) -> tuple[Recipe, tuple[DataSource, ...]]:
    """Return what the newest whole checkpoint of the run in ``out`` holds: the resolved recipe, and what it trains on.

    Args:
        out: the run's folder.
        overrides: changes of the recipe; only the keys of :data:`CHANGEABLE` may change.

    Raises:
        ModelError: there is no run, or none of its checkpoints is whole.
        OptionError: an override changes what must stay.
    """
    out = Path(out)
    if not (out / "checkpoints").is_dir():
        raise ModelError(f"{out} holds no run. Give the folder of a run.")
    saved, _ = Checkpoints(out / "checkpoints", 2).load_last()
    with explain_other_version(saved, out):
        sources = tuple(DataSource(Path(path), weight) for path, weight in saved["data"])
        raw, made = json.loads(saved["recipe"]), saved["versions"]["rlfn"]
    before, mistakes = parse_recipe(raw)
    if any(line.startswith("extensions: ") for line in mistakes):
        raise mistaken(str(out), mistakes)
    if before is None or mistakes:
        lines = "".join(f"\n  {line}" for line in mistakes)
        raise ModelError(
            f"The run in {out} was made by {other_version(made)}, whose recipes this one does not read, or with an "
            f"extension that is not installed any more. Resume it with what made it, or start another run.{lines}"
        )
    for override in overrides:
        apply_override(raw, override)
    recipe = check_recipe(raw, str(out))
    changed = _differences(before.model_dump(), recipe.model_dump())
    fixed = [key for key in changed if not any(fnmatch.fnmatch(key, pattern) for pattern in CHANGEABLE)]
    if fixed:
        raise OptionError(
            f"A resumed run cannot change {listing(fixed)}. Allowed: {listing(CHANGEABLE)}. "
            "For the others start another run."
        )
    for key in changed:
        if key.endswith(".vgg19"):
            number = int(key.split(".")[1])
            if "random" in (stage.contrastive.vgg19 for stage in (before.stages[number], recipe.stages[number])):
                raise OptionError(f"{key}: a resumed run cannot change between random weights and those of a file.")
    done = int(saved["state"]["stage"])
    late = [key for key in changed if key.startswith("stages.") and int(key.split(".")[1]) < done]
    if late:
        raise OptionError(f"{listing(late)} cannot change: that stage is finished. The run is in stages.{done}.")
    return recipe, sources


CHANGEABLE = (
    "stages.*.iterations",
    "stages.*.hours",
    "stages.*.optimizer.lr",
    "stages.*.optimizer.adam_lr",
    "stages.*.optimizer.weight_decay",
    "stages.*.optimizer.clip",
    "stages.*.schedule.*",
    "stages.*.batch",
    "stages.*.accumulate",
    "stages.*.contrastive.vgg19",
    "stages.*.phases*",
    "validation.*",
    "saving.*",
    "guard.*",
    "log_every",
    "compile",
    "precision",
)
"""The keys that a resumed run may change; devices are not part of a recipe."""


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Return the places at which two recipes' plain data differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [
            found for key in keys for found in _differences(old.get(key), new.get(key), f"{where}.{key}".strip("."))
        ]
    if isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [found for n, (a, b) in pairs for found in _differences(a, b, f"{where}.{n}".strip("."))]
    return [] if old == new else [where]
