"""Blockwise distillation: each part of a network learns to do what the same part of its teacher does.

A part gets the teacher's input of that part and is compared with the teacher's output (as in Li et al., 2020,
arXiv 1911.13053). So each part has a small problem of its own with an exact target, and its gradient does not come
through the parts after it. The network as a whole is not trained, so a stage with an ordinary loss belongs after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from rlfn.errors import ModelError, OptionError
from rlfn.networks.checkpoints import fold_range
from rlfn.training.recipe import Recipe, Stage
from rlfn.training.stages import FILE_RANGE, load_teacher, trained_range

_LEAST = 1e-12
"""The least unit and variance: a part of the teacher may give the same everywhere."""


@runtime_checkable
class Parts(Protocol):
    """A network that is a sequence of parts.

    A part's output may need those of all parts before it. Where all outputs but the last are ``c`` times as large,
    a network with suitable weights gives the same picture.
    """

    def part_names(self) -> Sequence[str]:
        """Return the parts' names, in order."""

    def part_outputs(self, lr: Tensor, given: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return each part's output for ``lr`` (N, 3, h, w), from the outputs before it, or from ``given`` instead."""


class BlockwiseLoss(nn.Module):
    """A network beside its teacher.

    Args:
        network: the network to train, with :class:`Parts`.
        teacher: a network with the same parts that takes the same range; it is frozen.

    Raises:
        OptionError: the network has no parts.
        ModelError: the teacher's parts are others.
    """

    unit: Tensor
    variances: Tensor

    def __init__(self, network: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, Parts):
            raise OptionError(
                f"{type(network).__name__} does not say what its parts are, so it cannot be trained blockwise. RLFNs "
                "do; a network of your own can, with methods part_names and part_outputs."
            )
        if not isinstance(teacher, Parts) or _shapes(teacher) != _shapes(network):
            raise ModelError(
                "The teacher of a blockwise stage must have the same parts as the network, with as many channels "
                f"between them: {_listed(network)}. Give such a teacher, or use the loss distillation."
            )
        self.network = network
        self.teacher = teacher.eval().requires_grad_(False)
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("variances", torch.ones(len(network.part_names())))

    @torch.no_grad()
    def measure(self, lr: Tensor, trained: bool = False) -> None:
        """Measure the teacher's outputs: the ``unit`` that the network's have, and ``variances`` in squared units.

        In this unit the first part's outputs have a deviation of 1, which suits the usual initial weights and rates.

        Args:
            lr: (N, 3, h, w) in the range that the networks take, typical patches.
            trained: the network has been trained already, so the first part's outputs keep the size that they have.
        """
        ours = self.network.part_outputs(lr)[0].std() if trained else self.unit.new_ones(())
        self.unit.copy_((self.teacher.part_outputs(lr)[0].std() / ours.clamp(min=_LEAST)).clamp(min=_LEAST))
        self.variances.copy_(torch.stack([output.float().var() for output in self._wanted(lr)]).clamp(min=_LEAST))

    def dump(self) -> dict[str, Tensor]:
        """Return what was measured."""
        return {"unit": self.unit, "variances": self.variances}

    def load(self, measured: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`dump` returned."""
        self.unit.copy_(measured["unit"])
        self.variances.copy_(measured["variances"])

    def forward(self, lr: Tensor) -> Tensor:
        """Return each part's error, (parts,): its mean square, relative to the variance of the teacher's output.

        Args:
            lr: (N, 3, h, w) in the range that the networks take.
        """
        wanted = self._wanted(lr)
        outputs: list[Tensor] = self.network.part_outputs(lr, wanted)
        pairs = zip(outputs, wanted, strict=True)
        return torch.stack([(ours - theirs).float().square().mean() for ours, theirs in pairs]) / self.variances

    @torch.no_grad()
    def _wanted(self, lr: Tensor) -> list[Tensor]:
        *features, last = self.teacher.part_outputs(lr)
        return [*(output / self.unit for output in features), last]


def make_blockwise(network: nn.Module, recipe: Recipe, stage: Stage) -> BlockwiseLoss | None:
    """Return ``network`` beside the stage's teacher if the stage is trained blockwise, else None.

    Args:
        network: the network to train, taking the range of :func:`rlfn.training.stages.trained_range`.
        recipe: names the scale.
        stage: names the loss and the teacher.

    Raises:
        OptionError: the network has no parts.
        ModelError: the teacher cannot be read, upscales by another factor, or has other parts.
    """
    if not stage.blockwise:
        return None
    teacher = load_teacher(recipe, stage).network
    if trained_range(network) == trained_range(teacher) != FILE_RANGE:
        fold_range(teacher, FILE_RANGE, trained_range(network))
    return BlockwiseLoss(network, teacher)


@torch.no_grad()
def _shapes(network: Parts) -> list[tuple[str, int]]:
    weight = next(network.parameters())  # type: ignore[attr-defined]
    outputs = network.part_outputs(weight.new_zeros(1, 3, 32, 32))
    return [(name, output.shape[1]) for name, output in zip(network.part_names(), outputs, strict=True)]


def _listed(network: Parts) -> str:
    return ", ".join(f"{name} ({channels})" for name, channels in _shapes(network))
