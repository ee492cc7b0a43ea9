"""A study's trainings: what is trained from what, for how long, and with which scores at the end.

A :class:`Training` is a recipe that the study changes; it may start from another one's weights, so that rows branch
from common stages. Its length is counted in stages; how many steps a stage has follows from the budget, is written
down in ``plan.json`` before the first step, and is the same for every row.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from rlfn.errors import OptionError
from rlfn.studies.request import Budget, StudyRequest
from rlfn.studies.runs import PlanFile, RunFolder, Trained, open_pack, write_recipe
from rlfn.training.recipe import Recipe, Stage
from rlfn.training.recipe_files import check_recipe, load_recipe, merge
from rlfn.training.stages import make_objective, run_network, start_network, trained_range
from rlfn.wording import duration, setting

_LEAST = 10  # steps of a stage below which nothing can be learned
_TIMED = 2


@dataclass(frozen=True)
class Part:
    """One stage of a training: its length in stages, and the keys of the recipe's stage that it changes."""

    length: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """One training of a study.

    Attributes:
        name: also that of its folder.
        variant: the network.
        parts: its stages.
        scale: the upscaling factor.
        start: the training from whose averaged weights it starts; None for the recipe's own start.
    """

    name: str
    variant: str
    parts: tuple[Part, ...] = (Part(),)
    scale: int = 4
    start: str | None = None

    @property
    def length(self) -> float:
        """In stages."""
        return sum(part.length for part in self.parts)


def ancestry(trainings: Sequence[Training], name: str) -> list[Training]:
    """Return the training called ``name`` and those that it starts from, the first one first."""
    by_name = {training.name: training for training in trainings}
    chain = [by_name[name]]
    while chain[0].start is not None:
        chain.insert(0, by_name[chain[0].start])
    return chain


def total_length(trainings: Sequence[Training], name: str) -> float:
    """Return the length in stages of a training and of all that it starts from."""
    return sum(training.length for training in ancestry(trainings, name))


class StudyPlan:
    """The trainings of a study with their resolved recipes.

    Args:
        trainings: each one after that from which it starts.
        request: the data, the budget and the folder.
        small: keys of every stage that a budget below the paper's changes, where the networks or losses are slow.
    """

    def __init__(
        self, trainings: Sequence[Training], request: StudyRequest, small: Mapping[str, Any] | None = None
    ) -> None:
        self.pack = open_pack(request)
        self.trainings = tuple(trainings)
        self.request = request
        self.base = "paper" if request.budget.paper else "study"
        self.small = {} if request.budget.paper else dict(small or {})
        self.stage_iterations = self._settle()

    def recipe(self, training: Training, seed: int, iterations: int | None = None) -> Recipe:
        """Return the resolved recipe of a training."""
        each = iterations or self.stage_iterations
        base = load_recipe(self.base)
        shared = base.stages[0].model_dump()
        stages = []
        for number, part in enumerate(training.parts):
            settings = {"init": "previous" if number else shared["init"], **part.settings}
            stage = merge(merge({**shared, "name": ""}, self.small), settings)
            stage["iterations"] = max(1, round(each * part.length))
            stages.append(stage)
        if training.start is not None:
            stages[0]["init"] = str(self.model(training.start, seed).resolve())
        raw = base.model_dump() | {
            "name": training.name,
            "about": f"a training of the study in {self.request.out.resolve().name}",
            "variant": training.variant,
            "scale": training.scale,
            "seed": seed,
            "stages": stages,
        }
        raw["data"]["held_out"] = raw["data"]["held_out"] or 0.1  # what is chosen is chosen on pictures never seen
        return check_recipe(raw, training.name)

    def run_of(self, name: str, seed: int) -> RunFolder:
        """Return the folder of a training's run."""
        return RunFolder(self.request.out / "runs" / f"{name}-seed{seed}")

    def model(self, name: str, seed: int) -> Path:
        """Return the file of a finished training's weights."""
        return self.run_of(name, seed).model

    def run(self) -> bool:
        """Train everything that is not finished yet; return False where it was asked to stop."""
        request = self.request
        todo = [(training, seed) for seed in range(request.seeds) for training in self.trainings]
        for number, (training, seed) in enumerate(todo, 1):
            recipe = self.recipe(training, seed)
            write_recipe(request.out, training.name, seed, recipe)
            folder = self.run_of(training.name, seed)
            if folder.finished:
                continue
            request.log(f"{number} of {len(todo)}: {training.name}, seed {seed}")
            if not folder.train(recipe, request):
                return False
        return True

    def trained(self, name: str, seed: int) -> Trained:
        """Return what a finished training left."""
        return self.run_of(name, seed).trained()

    def facts(self) -> dict[str, str]:
        """Return what a page says about the budget."""
        lengths = sorted({training.length for training in self.trainings})
        stages = ", ".join(f"{length:g}" for length in lengths)
        spent = sum(self.trained(t.name, seed).seconds for t in self.trainings for seed in range(self.request.seeds))
        return {
            "budget": f"{self.request.budget}: {self.stage_iterations:,} iterations a stage",
            "trainings' lengths in stages": stages,
            "seeds": str(self.request.seeds),
            "recipe": f"{self.base}, changed as recipes/*.json show",
            "time in training steps": duration(spent),
        }

    def _settle(self) -> int:
        """Return the iterations of a stage: those of ``plan.json``, or what the budget gives, written there."""
        request = self.request
        plan = PlanFile(request.out)
        asked = {
            "budget": str(request.budget),
            "seeds": request.seeds,
            "data": str(Path(request.data or "").resolve()),
            "trainings": [[t.name, t.variant, t.scale, t.start, t.length] for t in self.trainings],
        }
        found = plan.read_for(asked, shown=("budget", "seeds", "data"))
        if found is not None:
            try:
                return int(found["iterations"])
            except (KeyError, TypeError, ValueError):
                raise plan.damaged() from None
        iterations = self._from_hours(request.budget)
        plan.write({**asked, "iterations": iterations})
        return iterations

    def _from_hours(self, budget: Budget) -> int:
        if budget.iterations is not None:
            return budget.iterations
        assert budget.hours is not None
        self.request.log("Timing a few steps of every training ...")
        costs: dict[str, float] = {}
        each = 0.0
        for training in self.trainings:
            recipe = self.recipe(training, 0, iterations=1)
            for part, stage in zip(training.parts, recipe.stages, strict=True):
                extractor = stage.contrastive.model_dump_json() if stage.uses_contrastive else ""
                key = f"{recipe.variant} x{recipe.scale} {extractor}"
                if key not in costs:
                    costs[key] = step_seconds(recipe, stage)
                each += costs[key] * part.length
        iterations = int(budget.hours * 3600.0 / (each * self.request.seeds))
        if iterations < _LEAST:
            raise OptionError(
                f"A budget of {budget.hours:g} hours gives {iterations} steps a stage, too few to show anything. "
                f"Give at least hours={_LEAST * each * self.request.seeds / 3600.0:.2g}, or fewer {setting('seeds')}."
            )
        return iterations


def step_seconds(recipe: Recipe, stage: Stage) -> float:
    """Return the seconds of a training step of one of a recipe's stages on this machine's CPU, timed briefly."""
    network = start_network(recipe, stage.model_copy(update={"init": "scratch"}), None)
    objective = make_objective(recipe, stage)
    patch, batch = stage.sizes(0.0, recipe.scale)
    lr = torch.rand(batch, 3, patch, patch)
    hr = torch.rand(batch, 3, patch * recipe.scale, patch * recipe.scale)
    best = float("inf")
    for _ in range(1 + _TIMED):
        began = time.perf_counter()
        loss, _ = objective(lr, run_network(network, lr, trained_range(network)), hr)
        loss.backward()
        best = min(best, time.perf_counter() - began)
    return best
