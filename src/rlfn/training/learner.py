"""One stage's network, optimiser, loss and average: what a training step does, and what a checkpoint holds of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from rlfn.networks.build import build
from rlfn.networks.dormant import recycle
from rlfn.networks.plain import set_leak
from rlfn.networks.prune import zero_weakest
from rlfn.training.blockwise_loss import make_blockwise
from rlfn.training.centring import Centring
from rlfn.training.ema import EMA
from rlfn.training.guard import Guard, Verdict
from rlfn.training.objective import BLOCKWISE
from rlfn.training.optim import make_optimizer, set_rate
from rlfn.training.quantization import FakeQuantizer
from rlfn.training.recipe import Recipe
from rlfn.training.schedules import rate_factor
from rlfn.training.stages import freeze, make_objective, run_network, start_network, trained_range
from rlfn.wording import listing

_LAG = 8  # steps for which a GPU may run ahead of the guard


@dataclass(frozen=True)
class Step:
    """The outcome of one step: a mean loss over all devices, its parts here, the rate, and the guard's verdict.

    ``loss`` and ``verdict`` are those of an earlier step where the learner runs ahead of its guard.
    """

    loss: float
    parts: dict[str, Tensor]
    rate: float
    verdict: Verdict


def _placed(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, its weights in channels_last.

    Buffers stay contiguous: DDP cannot broadcast a network's only buffer in other strides than it makes itself.
    """
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for buffer in network.buffers():
        buffer.data = buffer.clone(memory_format=torch.contiguous_format)
    return network


class Learner:
    """The network, optimiser, loss and average of one stage.

    On a GPU the loss of a step is not waited for: a bad one has its gradients zeroed there, and the guard sees
    it ``lag`` steps later.

    Args:
        fabric: devices and precision.
        recipe: the run's recipe.
        stage_number: the stage's index.
        network: the network to train, taking the range of :func:`rlfn.training.stages.trained_range`.
    """

    def __init__(self, fabric: Fabric, recipe: Recipe, stage_number: int, network: nn.Module) -> None:
        self.fabric = fabric
        self.stage = stage = recipe.stages[stage_number]
        self.network = _placed(network, fabric.device)
        self.value_range = trained_range(network)
        self.objective = make_objective(recipe, stage).to(fabric.device)
        self.ema = EMA(self.network, stage.ema)
        freeze(self.network, stage.freeze)
        set_leak(self.network, stage.leak)
        self.fake_quantizer = FakeQuantizer(self.network) if stage.int8 else None
        self.centring = Centring(self.network) if stage.centred else None
        self.optimizer = make_optimizer(self.network, stage.optimizer)
        self.blockwise = make_blockwise(self.network, recipe, stage)
        trained = self.network if self.blockwise is None else self.blockwise.to(fabric.device)
        ready = torch.compile(trained) if recipe.compile else trained
        self.model, self.fabric_optimizer = fabric.setup(ready, self.optimizer)  # type: ignore[arg-type]
        self.lag = _LAG if fabric.device.type == "cuda" else 0
        self._unjudged: deque[Tensor] = deque()

    @classmethod
    def start(
        cls,
        fabric: Fabric,
        recipe: Recipe,
        stage_number: int,
        before: Learner | None,
        log: Callable[[str], None] = lambda text: None,
        samples: Callable[[], Tensor] | None = None,
    ) -> Learner:
        """Begin a stage as its ``init`` says.

        Args:
            fabric: devices and precision.
            recipe: the run's recipe.
            stage_number: the stage's index.
            before: the learner of the stage before, if there was one.
            log: called with the weights of a partial checkpoint that do not fit, and with the units that are recycled.
            samples: returns lr (N, 3, h, w) in [0, 1], the same on every device, by which units are recycled and
                blockwise training chooses its unit.
        """
        stage = recipe.stages[stage_number]
        torch.manual_seed(recipe.seed + stage_number)
        carried = before is not None and stage.carry_optimizer
        if before is not None:
            before._release()
        previous = None if before is None else before.network if carried else before.ema.network
        network = start_network(recipe, stage, previous, log)
        if stage.recycle:
            assert samples is not None
            value_range = trained_range(network)
            lr = samples().to(next(network.parameters()).device) * value_range
            log(_recycled(recycle(network, lr, stage.recycle, value_range, recipe.seed + stage_number)))
        learner = cls(fabric, recipe, stage_number, network)
        if learner.blockwise is not None:
            assert samples is not None
            trained = stage.init == "previous" or stage.starts_from_file
            learner.blockwise.measure(samples().to(fabric.device) * learner.value_range, trained)
        if carried and before is not None:
            learner._load_optimizer(before.optimizer.state_dict())
        return learner

    @classmethod
    def restore(cls, fabric: Fabric, recipe: Recipe, stage_number: int, state: dict[str, Any]) -> Learner:
        """Go on in a stage with what :meth:`dump` returned."""
        learner = cls(fabric, recipe, stage_number, build(recipe.network, recipe.scale).train())
        learner.load(state)
        return learner

    def _release(self) -> None:
        """Take what this stage has put on the network off again."""
        for attached in (self.fake_quantizer, self.centring):
            if attached is not None:
                attached.remove()

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        """Load an optimiser's state, but keep this stage's rates."""
        options = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state)
        for group, own in zip(self.optimizer.param_groups, options, strict=True):
            group.update(own)

    def step(self, lr: Tensor, hr: Tensor, progress: float, lr_scale: float, guard: Guard) -> Step:
        """Make one step, unless the guard objects to its loss.

        Args:
            lr: (N, 3, h, w) in [0, 1], this device's share of the batch.
            hr: (N, 3, h scale, w scale) in [0, 1].
            progress: of the stage, in [0, 1].
            lr_scale: a factor on the learning rate.
            guard: judges the loss, the same on every device.
        """
        rate = set_rate(self.optimizer, rate_factor(progress, self.stage.schedule) * lr_scale)
        waits = self.lag == 0 and self.stage.accumulate == 1
        loss, parts = self._loss(lr, hr, backward=not waits)
        everywhere = self.fabric.all_reduce(loss.detach(), reduce_op="mean")
        assert isinstance(everywhere, Tensor)
        self._unjudged.append(everywhere)
        mean, verdict = math.nan, Verdict.STEP
        if len(self._unjudged) > self.lag:
            mean = float(self._unjudged.popleft())
            verdict = guard.judge(mean)
        if verdict is Verdict.STEP or self.lag:
            if waits:
                self.fabric.backward(loss)
            if self.lag:
                self._drop_bad_gradients(everywhere <= guard.limit)
            self._optimize()
            self._soft_prune(progress)
            self.ema.update(self.network)
        self.fabric_optimizer.zero_grad(set_to_none=True)
        return Step(mean, parts, rate, verdict)

    def _optimize(self) -> None:
        """Make the optimiser's step."""
        if self.centring is None:
            self.fabric_optimizer.step()
            return
        self.centring.before_step(lambda means: self.fabric.all_reduce(means, reduce_op="mean"))  # type: ignore[arg-type, return-value]
        self.fabric_optimizer.step()
        self.centring.after_step()

    def _loss(self, lr: Tensor, hr: Tensor, backward: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its parts, the batch taken in as many parts as the stage says."""
        count = self.stage.accumulate
        total = lr.new_zeros((), dtype=torch.float32)
        sums: dict[str, Tensor] = {}
        for number, (small, big) in enumerate(zip(lr.chunk(count), hr.chunk(count), strict=True), 1):
            loss, parts = self._batch_loss(small, big)
            if not backward:
                return loss, parts
            with self.fabric.no_backward_sync(self.model, enabled=number < count):
                self.fabric.backward(loss / count)
            total = total + loss.detach() / count
            sums = {name: sums.get(name, torch.zeros_like(part)) + part / count for name, part in parts.items()}
        return total, sums

    def _batch_loss(self, lr: Tensor, hr: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if self.blockwise is None:
            loss, parts = self.objective(lr, run_network(self.model, lr, self.value_range), hr)
            return loss, parts
        errors: Tensor = self.model(lr * self.value_range)
        names = self.blockwise.network.part_names()
        return self.stage.loss[BLOCKWISE] * errors.mean(), dict(zip(names, errors.detach(), strict=True))

    def _drop_bad_gradients(self, good: Tensor) -> None:
        """Zero the gradients unless ``good``, a truth value on the device, is true; nothing waits for it."""
        for parameter in self.network.parameters():
            if parameter.grad is not None:
                parameter.grad = torch.where(good, parameter.grad, 0.0)

    def catch_up(self, guard: Guard) -> None:
        """Pass every pending loss to the guard."""
        while self._unjudged:
            guard.judge(float(self._unjudged.popleft()))

    def _soft_prune(self, progress: float) -> None:
        """Zero the weakest channels when the stage's soft pruning says so."""
        wanted = self.stage.soft_prune
        due = progress >= wanted.hold or self.ema.count % wanted.every == 0
        if due and (wanted.channels or wanted.mid):
            zero_weakest(self.network, channels=wanted.channels, mid=wanted.mid)

    def dump(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "ema": self.ema.network.state_dict(),
            "ema_count": self.ema.count,
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "ranges": self.fake_quantizer.ranges if self.fake_quantizer is not None else {},
            "teacher": self.blockwise.dump() if self.blockwise is not None else {},
            "centring": self.centring.dump() if self.centring is not None else {},
            "random": torch.get_rng_state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`dump` returned, except the rates, which are the recipe's."""
        self._unjudged.clear()
        self.network.load_state_dict(state["network"])
        self.ema.network.load_state_dict(state["ema"])
        self.ema.count = int(state["ema_count"])
        self._load_optimizer(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.fake_quantizer is not None:
            self.fake_quantizer.ranges = dict(state["ranges"])
        if self.blockwise is not None:
            self.blockwise.load(state["teacher"])
        if self.centring is not None:
            self.centring.load(state["centring"])
        torch.set_rng_state(state["random"])


def _recycled(layers: dict[str, tuple[int, int]]) -> str:
    """Say how many units of which layers have new weights."""
    named = [f"{name} {new} of {units}" for name, (new, units) in layers.items() if new]
    return f"Units with new weights: {listing(named) if named else 'none'}."
