"""The weight of the contrastive loss, given as a share of L1's gradient.

The ratio's own size means nothing: its gradient grows as SR comes near the bicubic picture and depends on the
extractor. The share does: 0.02 says that the contrastive loss pulls at the picture a fiftieth as hard as L1 does when
the stage begins, whatever the value range, the extractor and the network.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rlfn.training.losses import l1
from rlfn.training.objective import CONTRASTIVE, Objective
from rlfn.training.stages import run_network, trained_range


def weight_for_share(
    network: nn.Module, objective: Objective, batches: Iterable[tuple[Tensor, Tensor]], share: float
) -> float:
    """Return the weight at which the contrastive loss has ``share`` of L1's gradient, to three digits.

    The gradients are those with respect to SR; their sizes are Euclidean norms, averaged over the batches.

    Args:
        network: as it is trained, taking the range of :func:`rlfn.training.stages.trained_range`.
        objective: one that has the extractor; its weights do not matter.
        batches: (lr, hr) in [0, 1].
        share: above 0; 1 is as much as L1.
    """
    sizes = torch.zeros(2)
    for lr, hr in batches:
        with torch.no_grad():
            sr = run_network(network, lr, trained_range(network))
        sr.requires_grad_()
        for number, loss in enumerate((l1(sr, hr), objective.part(CONTRASTIVE, lr, sr, hr))):
            (gradient,) = torch.autograd.grad(loss, sr)
            sizes[number] += gradient.norm()
    return float(f"{share * float(sizes[0] / sizes[1]):.3g}")
