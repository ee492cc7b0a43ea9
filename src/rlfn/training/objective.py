"""A stage's loss: the weighted sum that its recipe writes down."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rlfn.training.extractors import Extractor
from rlfn.training.losses import PIXEL_LOSSES, Ratio, bicubic_up, contrastive, l1

CONTRASTIVE = "contrastive"
DISTILLATION = "distillation"
BLOCKWISE = "blockwise"


def loss_names() -> tuple[str, ...]:
    """Return every name that a recipe's ``loss`` may weigh."""
    return (*PIXEL_LOSSES, CONTRASTIVE, DISTILLATION, BLOCKWISE)


class Objective(nn.Module):
    """The loss of one stage.

    Args:
        weights: a weight for each loss by name; names are those of :func:`loss_names`.
        scale: the upscaling factor, for the contrastive loss's negative.
        extractor: the features of the contrastive loss; needed where it has a weight.
        layer_weights: one for each of the extractor's layers; all 1 where empty.
        teacher: a frozen network that takes [0, 1]; needed where distillation has a weight.
        ratio: the contrastive loss's form, see :func:`rlfn.training.losses.contrastive`.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        scale: int,
        extractor: Extractor | None = None,
        layer_weights: tuple[float, ...] = (),
        teacher: nn.Module | None = None,
        ratio: Ratio = "sample",
    ) -> None:
        super().__init__()
        self.weights = {name: weight for name, weight in weights.items() if weight != 0.0}
        self.scale = scale
        self.extractor = extractor
        self.layer_weights = layer_weights or ((1.0,) * extractor.layers if extractor else ())
        self.teacher = teacher
        self.ratio: Ratio = ratio

    def forward(self, lr: Tensor, sr: Tensor, hr: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum and each loss before its weight.

        Args:
            lr: (N, 3, h, w) in [0, 1].
            sr: the network's answer, (N, 3, h scale, w scale).
            hr: the truth, of the same shape as ``sr``, in [0, 1].
        """
        parts = {name: self.part(name, lr, sr, hr) for name in self.weights}
        total = torch.stack([self.weights[name] * part.float() for name, part in parts.items()]).sum()
        return total, {name: part.detach() for name, part in parts.items()}

    def part(self, name: str, lr: Tensor, sr: Tensor, hr: Tensor) -> Tensor:
        """Return one of the losses before its weight; arguments as :meth:`forward`'s."""
        if name in PIXEL_LOSSES:
            return PIXEL_LOSSES[name](sr, hr)
        if name == CONTRASTIVE:
            assert self.extractor is not None
            with torch.no_grad():
                positive, negative = self.extractor(hr), self.extractor(bicubic_up(lr, self.scale))
            return contrastive(self.extractor(sr), positive, negative, self.layer_weights, self.ratio)
        assert self.teacher is not None
        with torch.no_grad():
            taught = self.teacher(lr)
        return l1(sr, taught)
