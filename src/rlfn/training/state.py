"""Everything besides the weights that a run carries from one step to the next: one object, saved and restored whole."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from rlfn.training.clock import StepClock
from rlfn.training.guard import Guard
from rlfn.training.recipe import Stage

_SECONDS_AN_HOUR = 3600.0


@dataclass
class TrainingState:
    """Where a run is and what it has seen.

    Attributes:
        guard: judges the losses.
        clock: counts the seconds of this stage's training steps.
        stage: the stage's index.
        iteration: steps done in the stage, skipped ones included.
        total: steps done in all stages.
        earlier_seconds: spent in the training steps of the stages before.
        pixels: LR px seen, on all devices.
        rate: the factor on the learning rate, below 1 after a roll-back.
        roll_backs: how often the run was rolled back; it also shifts the stream of samples.
        best: the best validation PSNR so far, in dB.
        best_on: what it was measured on.
    """

    guard: Guard
    clock: StepClock
    stage: int = 0
    iteration: int = 0
    total: int = 0
    earlier_seconds: float = 0.0
    pixels: int = 0
    rate: float = 1.0
    roll_backs: int = 0
    best: float = float("-inf")
    best_on: str = ""

    @property
    def seconds(self) -> float:
        """Spent in the training steps of all stages."""
        return self.earlier_seconds + self.clock.seconds

    def progress(self, stage: Stage, iteration: int | None = None) -> float:
        """Return the share of ``stage`` that is done, in [0, 1], now or after ``iteration`` of its steps."""
        if stage.hours is not None:
            return min(1.0, self.clock.seconds / (stage.hours * _SECONDS_AN_HOUR))
        return min(1.0, (self.iteration if iteration is None else iteration) / (stage.iterations or 1))

    def advance(self, pixels: int) -> None:
        """Count one step that saw ``pixels`` LR px."""
        self.iteration += 1
        self.total += 1
        self.pixels += pixels

    def next_stage(self) -> None:
        """Move to the beginning of the next stage."""
        self.stage += 1
        self.iteration = 0
        self.earlier_seconds = self.seconds
        self.clock.seconds = 0.0
        self.rate = 1.0
        self.guard.new_stage()

    def roll_back(self, saved: dict[str, Any], lr_factor: float) -> None:
        """Return to a state that was saved, at ``lr_factor`` times its rate; the time that was spent stays spent."""
        spent, best = self.clock.seconds, (self.best, self.best_on)
        self.load(saved)
        self.clock.seconds = max(spent, self.clock.seconds)
        self.best, self.best_on = best
        self.rate *= lr_factor
        self.roll_backs += 1
        self.guard.after_roll_back()

    def dump(self) -> dict[str, Any]:
        """Return everything as plain numbers, for a checkpoint."""
        plain = {name: getattr(self, name) for name in _plain()}
        return {**plain, "clock": self.clock.seconds, "guard": self.guard.dump()}

    def load(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`dump` returned."""
        for name in _plain():
            setattr(self, name, saved[name])
        self.clock.seconds = saved["clock"]
        self.guard.load(saved["guard"])


def _plain() -> list[str]:
    return [field.name for field in fields(TrainingState) if field.name not in ("guard", "clock")]
