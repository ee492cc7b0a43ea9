"""The guard against runs that explode: it judges each step by its loss before the step is made."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass
from enum import Enum

_LIMITS = ("spike", "max_skipped", "settle")


class Verdict(Enum):
    """What to do with a step."""

    STEP = "step"
    SKIP = "skip"
    ROLL_BACK = "roll back"
    STOP = "stop"


@dataclass
class Guard:
    """Skips steps whose loss is far above its running mean; too many in a row roll the run back once, then stop it.

    Args:
        spike: a loss above ``spike`` times its running mean is skipped, and so is one that is not finite; 0 turns the
            judgement by size off.
        max_skipped: after this many skipped steps in a row the run rolls back to its last good checkpoint, and also
            when the running mean itself has risen to ``spike`` times its lowest value.
        settle: steps that are not judged by size, until the mean is known.
    """

    spike: float = 4.0
    max_skipped: int = 10
    settle: int = 20

    mean: float = 0.0
    lowest: float = math.inf
    count: int = 0
    in_a_row: int = 0
    skipped: int = 0
    rolled_back: bool = False

    @property
    def limit(self) -> float:
        """The loss above which a step is skipped; the largest number until the mean is known, or if ``spike`` is 0."""
        return self.spike * self.mean if self.spike and self.count >= self.settle else sys.float_info.max

    def judge(self, loss: float) -> Verdict:
        """Return what to do with the step whose loss, the mean over all devices, is ``loss``."""
        settled = self.count >= self.settle
        if not math.isfinite(loss) or loss > self.limit:
            self.skipped += 1
            self.in_a_row += 1
            return self._trouble() if self.in_a_row >= self.max_skipped else Verdict.SKIP
        self.in_a_row = 0
        self.count += 1
        self.mean += (loss - self.mean) * max(0.01, 1.0 / self.count)
        if settled:
            self.lowest = min(self.lowest, self.mean)
            if self.spike and self.mean > self.spike * self.lowest:
                return self._trouble()
        return Verdict.STEP

    def _trouble(self) -> Verdict:
        return Verdict.STOP if self.rolled_back else Verdict.ROLL_BACK

    def after_roll_back(self) -> None:
        """Start judging afresh; the next roll-back stops the run."""
        self.new_stage()
        self.rolled_back = True

    def new_stage(self) -> None:
        """Forget the mean, since another stage has another loss."""
        self.mean, self.lowest, self.count, self.in_a_row, self.rolled_back = 0.0, math.inf, 0, 0, False

    def dump(self) -> dict[str, float]:
        """Return what it has seen as plain numbers, for a checkpoint; its limits are the recipe's."""
        return {name: value for name, value in asdict(self).items() if name not in _LIMITS}

    def load(self, seen: dict[str, float]) -> None:
        """Restore what :meth:`dump` returned."""
        for name, value in seen.items():
            setattr(self, name, value)
