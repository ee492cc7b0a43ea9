"""Fusing the training form of a plain network into the plain network, and converting it back for another run.

The branches of a :class:`~rlfn.networks.plain.BranchedConv` are linear, so their kernels are summed, in double
precision; both forms compute the same output everywhere, borders included.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from rlfn.models.variants import PlainFields, Variant, variant_of
from rlfn.networks.build import build
from rlfn.networks.checkpoints import Checkpoint
from rlfn.networks.plain import BranchedConv, Plain


def has_branches(variant: Variant) -> bool:
    """Return whether a variant is a training form."""
    return isinstance(variant.fields, PlainFields) and variant.fields.expand > 0


def fused_variant(variant: Variant) -> Variant:
    """Return the variant into which ``variant`` fuses, or itself if it has no branches."""
    if not isinstance(variant.fields, PlainFields) or not variant.fields.expand:
        return variant
    fields = replace(variant.fields, expand=0)
    return variant_of(variant.architecture, fields)


def fuse(network: nn.Module) -> nn.Module:
    """Return the plain network equivalent to ``network``; a network without branches is returned unchanged.

    The value range and the mode (training or evaluation) are kept; the parameters are new and require no gradient.
    """
    if not isinstance(network, Plain) or not network.fields.expand:
        return network
    fused = Plain(replace(network.fields, expand=0), network.scale).requires_grad_(False)
    for old, new in zip(network.convs, fused.convs, strict=True):
        weight, bias = folded(old)
        new.load_state_dict({"weight": weight, "bias": bias})
    return fused.to(next(network.parameters()).device).train(network.training)


def fuse_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint in its deployed form: fused if it is a training form, otherwise unchanged."""
    if not has_branches(checkpoint.variant):
        return checkpoint
    variant = fused_variant(checkpoint.variant)
    return Checkpoint(fuse(checkpoint.network), variant, checkpoint.scale, dict(checkpoint.metadata))


def reform(checkpoint: Checkpoint, variant: Variant) -> Checkpoint | None:
    """Return ``checkpoint`` converted to ``variant`` if the two are forms of one network; otherwise None.

    The 3x3 branch receives the fused kernel minus the other branches; the trainable ones start at zero.
    """
    if checkpoint.variant == variant:
        return checkpoint
    fused = fuse_checkpoint(checkpoint)
    if fused.variant != fused_variant(variant):
        return None
    if not has_branches(variant):
        return fused
    network = build(variant, fused.scale).requires_grad_(False)
    assert isinstance(network, Plain)
    assert isinstance(fused.network, Plain)
    for new, old in zip(network.convs, fused.network.convs, strict=True):
        weight, bias = folded(old)
        if isinstance(new, BranchedConv):
            new.take(weight, bias)
        else:
            new.load_state_dict({"weight": weight, "bias": bias})
    return Checkpoint(network.eval(), variant, fused.scale, dict(checkpoint.metadata))


def folded(conv: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the kernel and the bias of a convolution, or of the sum of branches that acts as one."""
    if isinstance(conv, BranchedConv):
        with torch.no_grad():
            weight, conv = conv.kernel(torch.float64).float(), conv.conv3
    else:
        assert isinstance(conv, nn.Conv2d)
        weight = conv.weight
    assert conv.bias is not None
    return weight.detach(), conv.bias.detach()
