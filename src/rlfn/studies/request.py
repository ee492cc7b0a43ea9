"""What is asked of a study: its data, its budget, and where its results go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rlfn.errors import OptionError
from rlfn.training.signals import StopRequest
from rlfn.wording import listing

PAPER = "paper"
"""The budget that trains as long, and as, the paper does."""

PAPER_ITERATIONS = 1_000_000
"""Steps of one of the paper's stages."""

MINI_ITERATIONS = 4000
"""Steps of a stage in miniature."""

MINI_RECIPES = ("mini", "mini-muon")
"""The recipes with which a study runs in miniature, by the names of their budgets."""


@dataclass(frozen=True)
class Budget:
    """How long a study may train: ``hours`` for all of it, or ``iterations`` for each of its stages.

    With ``paper`` the stages also have the paper's patches, batches, optimiser and schedule; a small budget takes the
    shipped recipe ``study``, which makes the most of a few minutes. ``mini`` names the recipe of a study in miniature:
    tiny networks, several seeds, and verdicts (:mod:`rlfn.studies.mini`).
    """

    hours: float | None = None
    iterations: int | None = None
    paper: bool = False
    mini: str = ""

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``hours=H``, ``iterations=N``, ``mini``, ``mini=N`` (also ``mini-muon``) or ``paper``.

        Raises:
            OptionError: it is none of them, or not above zero.

        >>> Budget.parse("hours=0.5").hours
        0.5
        """
        kind, _, value = text.partition("=")
        try:
            if text == PAPER:
                return cls(iterations=PAPER_ITERATIONS, paper=True)
            if kind in MINI_RECIPES and (text == kind or int(value) > 0):
                return cls(iterations=int(value or MINI_ITERATIONS), mini=kind)
            if kind == "hours" and 0.0 < float(value) < float("inf"):
                return cls(hours=float(value))
            if kind == "iterations" and int(value) > 0:
                return cls(iterations=int(value))
        except ValueError:
            pass
        raise OptionError(
            f"'{text}' is not a budget. Give hours=H for all of the study, iterations=N for each stage, "
            f"{listing(MINI_RECIPES)} (or {MINI_RECIPES[0]}=N) for tiny networks and verdicts, or paper."
        )

    def __str__(self) -> str:
        if self.paper:
            return PAPER
        if self.mini:
            return f"{self.mini}={self.iterations}"
        return f"hours={self.hours:g}" if self.hours is not None else f"iterations={self.iterations}"


@dataclass(frozen=True)
class StudyRequest:
    """One call of a study.

    Attributes:
        out: the folder of its results; what is finished there is not done again.
        data: the pack to train on.
        sets_dir: the folder that holds the standard sets; None for that of :func:`rlfn.evaluation.sets.sets_folder`.
        sets: the sets to score on, by name or folder.
        budget: how long to train.
        seeds: how often each training is repeated, with the seeds 0, 1, ...
        models: further models to measure, where a study takes them.
        vgg19: the path of torchvision's VGG-19 weights; None to look where a download would lie.
        threads: CPU threads of the latency columns; None for all.
        log: called with each progress message.
        stop: may ask a training to save and stop.
        failures: what could not be scored, added by the study.
    """

    out: Path
    data: Path | None = None
    sets_dir: Path | None = None
    sets: tuple[str, ...] = ()
    budget: Budget = Budget(hours=1.0)
    seeds: int = 2
    models: tuple[str, ...] = ()
    vgg19: Path | None = None
    threads: int | None = None
    log: Callable[[str], None] = print
    stop: StopRequest = field(default_factory=StopRequest)
    failures: list[str] = field(default_factory=list)
