"""Studies in miniature: networks so small that every arm can be trained with several seeds.

All arms of a seed start from the same initial weights and see the same samples, step by step. What two arms have in
common is trained once: an arm that is the continuation of another takes up that one's last checkpoint, with the next
samples of the stream, as if it had been trained in one go. Runs lie beside the study's folder, in ``mini-runs``, under
a hash of all that they depend on, so that studies share them and nothing is trained twice.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from rlfn.data.crops import sample_batch
from rlfn.data.pack import INDEX
from rlfn.networks.checkpoints import fold_range, load_checkpoint
from rlfn.studies.arms import Arm, MiniStudy
from rlfn.studies.request import StudyRequest
from rlfn.studies.runs import PlanFile, RunFolder, Trained, open_pack, write_recipe
from rlfn.studies.shares import weight_for_share
from rlfn.studies.trainings import step_seconds
from rlfn.training.recipe import Recipe
from rlfn.training.recipe_files import check_recipe, load_recipe, merge
from rlfn.training.stages import FILE_RANGE, make_objective, trained_range

RUNS = "mini-runs"
"""The folder of the runs, beside those of the studies."""

SHIFT = 1000
"""What a null arm's seed has more than the others' of its number."""

_BATCHES = 8  # by which a share of the gradient is measured
_TURNS = 5  # in which the arms' steps are timed


class MiniPlan:
    """The runs of a study in miniature.

    Args:
        study: the arms.
        request: the data, the budget and the folder.
    """

    def __init__(self, study: MiniStudy, request: StudyRequest) -> None:
        self.study = study
        self.request = request
        self.pack = open_pack(request)
        self.arms = {arm.name: arm for arm in study.arms}
        self.base = load_recipe(request.budget.mini)
        self.iterations = int(request.budget.iterations or 0)
        self._data = hashlib.sha256((self.pack.path / INDEX).read_bytes()).hexdigest()
        self._weights: dict[tuple[str, int], float] = {}
        self._plan = PlanFile(request.out)
        asked = {"budget": str(request.budget), "data": self._data}  # the number of seeds may grow
        if self._plan.read_for(asked, shown=("budget",)) is None:
            self._plan.write(asked)

    @property
    def rows(self) -> list[Arm]:
        """The arms that the table shows."""
        return [arm for arm in self.study.arms if arm.shown]

    def length(self, arm: Arm) -> float:
        """Return the stages of an arm, those included that it starts from."""
        before = arm.after or arm.start
        own = self._timed_length(arm) if arm.as_long_as else sum(part.length for part in arm.parts)
        return own + (self.length(self.arms[before]) if before else 0.0)

    def recipe(self, arm: Arm, seed: int) -> Recipe:
        """Return the resolved recipe of an arm; what it starts from must have been trained."""
        shared = self.base.stages[0].model_dump()
        stages: list[dict[str, Any]] = []
        if arm.after is not None:
            stages = [stage.model_dump() for stage in self.recipe(self.arms[arm.after], seed).stages]
        for part in arm.parts:
            init = "previous" if stages else shared["init"]
            stage = merge({**shared, "name": "", "init": init}, dict(part.settings))
            length = self._timed_length(arm) if arm.as_long_as else part.length
            stages.append(stage | {"iterations": max(1, round(self.iterations * length))})
        if arm.start is not None:
            stages[0]["init"] = str(self.model(self.arms[arm.start], seed).resolve())
        if arm.share:
            stages[-1] |= {"loss": {"l1": 1.0, "contrastive": self.weight(arm, seed)}, "contrastive": arm.contrastive}
        raw = self.base.model_dump() | {
            "name": self.request.budget.mini,
            "variant": arm.variant,
            "scale": arm.scale,
            "seed": seed + SHIFT * arm.shifted,
            "stages": stages,
        }
        return check_recipe(raw, arm.name)

    def weight(self, arm: Arm, seed: int) -> float:
        """Return the weight of the contrastive loss that has the arm's share of L1's gradient as its stage begins."""
        key = (arm.name, seed)
        if key not in self._weights:
            assert arm.after is not None
            before = self.arms[arm.after]
            recipe = self.recipe(before, seed)
            network = load_checkpoint(self.model(before, seed)).network
            if trained_range(network) != FILE_RANGE:
                fold_range(network, FILE_RANGE, trained_range(network))
            last = recipe.stages[-1].model_dump()
            stage = type(recipe.stages[-1]).model_validate(
                last | {"loss": {"contrastive": 1.0}, "contrastive": arm.contrastive}
            )
            objective = make_objective(recipe, stage)
            first = sum(each.iterations or 0 for each in recipe.stages)
            batches = [self._batch(recipe, first + number) for number in range(_BATCHES)]
            self._weights[key] = weight_for_share(network, objective, batches, arm.share)
        return self._weights[key]

    def run_of(self, arm: Arm, seed: int) -> RunFolder:
        """Return the folder of an arm's run: named by a hash of its recipe and its data."""
        recipe = self.recipe(arm, seed)
        key = hashlib.sha256((recipe.model_dump_json() + self._data).encode()).hexdigest()[:16]
        return RunFolder(self.request.out.parent / RUNS / f"{arm.variant}-x{arm.scale}-{key}")

    def model(self, arm: Arm, seed: int) -> Path:
        """Return the file of an arm's trained weights."""
        return self.run_of(arm, seed).model

    def finished(self, arm: Arm, seed: int) -> bool:
        """Return whether an arm has been trained."""
        before = arm.after or arm.start
        return (before is None or self.finished(self.arms[before], seed)) and self.run_of(arm, seed).finished

    def run(self, arm: Arm, seed: int) -> bool:
        """Train an arm unless that is done; return False where it was asked to stop."""
        if self.finished(arm, seed):
            return True
        recipe = self.recipe(arm, seed)
        write_recipe(self.request.out, arm.name, seed, recipe)
        before = None if arm.after is None else self.run_of(self.arms[arm.after], seed)
        return self.run_of(arm, seed).train(recipe, self.request, after=before)

    def trained(self, arm: Arm, seed: int) -> Trained:
        """Return what a finished run left."""
        return self.run_of(arm, seed).trained()

    @cached_property
    def step_times(self) -> dict[str, float]:
        """Seconds of a step of each arm whose length goes by the time, and of those that they are compared with.

        They are measured in turn, once, and kept in ``plan.json``.
        """
        kept = self._plan.read() or {}
        if "step_seconds" not in kept:
            wanted = {arm.variant: arm for arm in self.study.arms if arm.as_long_as}
            wanted |= {self.arms[arm.as_long_as].variant: arm for arm in wanted.values() if arm.as_long_as}
            times = {variant: float("inf") for variant in wanted}
            for variant in list(wanted) * _TURNS:
                recipe = self.base.model_copy(update={"variant": variant})
                times[variant] = min(times[variant], step_seconds(recipe, recipe.stages[0]))
            kept["step_seconds"] = times
            self._plan.write(kept)
        found: dict[str, float] = kept["step_seconds"]
        return found

    def _timed_length(self, arm: Arm) -> float:
        assert arm.as_long_as is not None
        return self.step_times[self.arms[arm.as_long_as].variant] / self.step_times[arm.variant]

    def _batch(self, recipe: Recipe, iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
        patch, count = recipe.stages[-1].sizes(0.0, recipe.scale)
        halves = sample_batch(
            self.pack,
            seed=recipe.seed,
            iteration=iteration,
            first=0,
            count=count,
            scale=recipe.scale,
            patch=patch,
            pictures=self.pack.split(recipe.data.held_out, "train"),
            degradation=recipe.data.make_degradation(),
        )
        lr, hr = (torch.from_numpy(half).float().div_(255.0) for half in halves)
        return lr, hr
