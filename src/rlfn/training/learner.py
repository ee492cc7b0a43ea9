"""One stage's network, optimiser, loss and average: what a training step does, and what a checkpoint holds of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from rlfn.errors import OptionError
from rlfn.networks.build import build
from rlfn.networks.prune import zero_weakest
from rlfn.training.ema import EMA
from rlfn.training.guard import Guard, Verdict
from rlfn.training.objective import Objective
from rlfn.training.optim import make_optimizer, set_rate
from rlfn.training.recipe import Recipe, Stage
from rlfn.training.rounding import Rounding
from rlfn.training.schedules import rate_factor
from rlfn.training.stages import make_objective, run_network, start_network, trained_range
from rlfn.variants import get_variant

_SECONDS_AN_HOUR = 3600.0


@dataclass
class Position:
    """Where a run is.

    Attributes:
        stage: the stage's index.
        iteration: steps done in the stage, skipped ones included.
        total: steps done in all stages.
        seconds: spent in this stage's training steps.
        earlier_seconds: spent in those of the stages before.
        pixels: LR px seen, on all devices.
        rate: the factor on the learning rate, below 1 after a roll-back.
        roll_backs: how often the run was rolled back; it also shifts the stream of samples.
    """

    stage: int = 0
    iteration: int = 0
    total: int = 0
    seconds: float = 0.0
    earlier_seconds: float = 0.0
    pixels: int = 0
    rate: float = 1.0
    roll_backs: int = 0

    def progress(self, stage: Stage, iteration: int | None = None) -> float:
        """Return the share of ``stage`` that is done, in [0, 1], now or after ``iteration`` of its steps."""
        if stage.hours is not None:
            return min(1.0, self.seconds / (stage.hours * _SECONDS_AN_HOUR))
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
        self.earlier_seconds += self.seconds
        self.seconds = 0.0
        self.rate = 1.0


@dataclass(frozen=True)
class Step:
    """What came of one step: the mean loss over all devices, its parts here, the rate, and the guard's verdict."""

    loss: float
    parts: dict[str, Tensor]
    rate: float
    verdict: Verdict


class Learner:
    """What learns in one stage.

    Args:
        fabric: devices and precision.
        stage: the stage's options.
        network: the network to train, taking the range of :func:`rlfn.training.stages.trained_range`.
        objective: the loss.
    """

    def __init__(self, fabric: Fabric, stage: Stage, network: nn.Module, objective: Objective) -> None:
        self.fabric = fabric
        self.stage = stage
        self.network = network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.value_range = trained_range(network)
        self.objective = objective.to(fabric.device)
        self.ema = EMA(self.network, stage.ema)
        self.rounding = Rounding(self.network) if stage.int8 else None
        self.optimizer = make_optimizer(self.network, stage.optimizer)
        self.model, self.wrapped = fabric.setup(self.network, self.optimizer)

    @classmethod
    def start(cls, fabric: Fabric, recipe: Recipe, stage_number: int, before: Learner | None) -> Learner:
        """Begin a stage as its ``init`` says; ``before`` is the learner of the stage before, if there was one."""
        stage = recipe.stages[stage_number]
        torch.manual_seed(recipe.seed + stage_number)
        carried = before is not None and stage.carry_optimizer
        if before is not None and before.rounding is not None:
            before.rounding.remove()
        previous = None if before is None else before.network if carried else before.ema.network
        learner = cls(fabric, stage, start_network(recipe, stage, previous), make_objective(recipe, stage))
        if carried and before is not None:
            learner._carry(before)
        return learner

    @classmethod
    def restore(cls, fabric: Fabric, recipe: Recipe, stage_number: int, state: dict[str, Any]) -> Learner:
        """Go on in a stage with what :meth:`state` returned."""
        network = build(get_variant(recipe.variant), recipe.scale).train()
        stage = recipe.stages[stage_number]
        learner = cls(fabric, stage, network, make_objective(recipe, stage))
        learner.load(state)
        return learner

    def _carry(self, before: Learner) -> None:
        """Take over the optimiser's state, but not its rates."""
        if before.stage.optimizer.name != self.stage.optimizer.name:
            raise OptionError(
                f"carry_optimizer cannot carry the state of {before.stage.optimizer.name} into "
                f"{self.stage.optimizer.name}. Use the same optimiser in both stages."
            )
        options = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(before.optimizer.state_dict())
        for group, own in zip(self.optimizer.param_groups, options, strict=True):
            group.update(own)

    def step(self, lr: Tensor, hr: Tensor, progress: float, slower: float, guard: Guard) -> Step:
        """Make one step, unless the guard objects to its loss.

        Args:
            lr: (N, 3, h, w) in [0, 1], this device's share of the batch.
            hr: (N, 3, h scale, w scale) in [0, 1].
            progress: of the stage, in [0, 1].
            slower: a factor on the learning rate.
            guard: judges the loss, the same on every device.
        """
        rate = set_rate(self.optimizer, rate_factor(progress, self.stage.schedule) * slower)
        loss, parts = self.objective(lr, run_network(self.model, lr, self.value_range), hr)
        everywhere = self.fabric.all_reduce(loss.detach(), reduce_op="mean")
        assert isinstance(everywhere, Tensor)
        mean = float(everywhere)
        verdict = guard.judge(mean)
        if verdict is Verdict.STEP:
            self.fabric.backward(loss)
            self.wrapped.step()
            self.wrapped.zero_grad(set_to_none=True)
            self._soften(progress)
            self.ema.update(self.network)
        return Step(mean, parts, rate, verdict)

    def _soften(self, progress: float) -> None:
        """Zero the weakest channels when the stage's soft pruning says so."""
        wanted = self.stage.soft_prune
        due = progress >= wanted.hold or self.ema.count % wanted.every == 0
        if due and (wanted.channels or wanted.mid):
            zero_weakest(self.network, channels=wanted.channels, mid=wanted.mid)

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "ema": self.ema.network.state_dict(),
            "ema_count": self.ema.count,
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "ranges": self.rounding.ranges if self.rounding is not None else {},
            "random": torch.get_rng_state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned."""
        self.network.load_state_dict(state["network"])
        self.ema.network.load_state_dict(state["ema"])
        self.ema.count = int(state["ema_count"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.rounding is not None:
            self.rounding.ranges = dict(state["ranges"])
        torch.set_rng_state(state["random"])
