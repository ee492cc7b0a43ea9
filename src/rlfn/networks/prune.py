"""Pruning an RLFN: channels of small norm are removed, as in the NTIRE 2022 entry, which went from 48 channels to 46.

A channel is the output of a filter together with the outputs of all filters that are added to it and all weights that
read it. Within one block the residual ties channels together; the 1x1 convolution at a block's end starts new ones, so
each block chooses its own. A channel whose producing filters are zero is zero itself: :func:`masked` and :func:`prune`
compute the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rlfn.errors import OptionError
from rlfn.models.variants import RLFNFields, variant_of
from rlfn.networks.build import build
from rlfn.networks.checkpoints import Checkpoint
from rlfn.networks.rlfn import RLFN
from rlfn.wording import setting


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are removed together.

    Attributes:
        width: the field that counts them, ``channels`` or ``mid``.
        makers: convolutions that produce them; the norms of their filters decide.
        gates: convolutions whose outputs only multiply them.
        takers: convolutions that read them.
    """

    width: str
    makers: tuple[str, ...]
    gates: tuple[str, ...]
    takers: tuple[str, ...]


def groups(fields: RLFNFields) -> list[ChannelGroup]:
    """Return all channel groups of an RLFN of these sizes."""
    found = [
        ChannelGroup(
            "channels", ("conv_1", "block_1.c3_r", "conv_2"), (), ("block_1.c1_r", "block_1.c5", "upsampler.0")
        )
    ]
    for number in range(1, fields.blocks + 1):
        here, after = f"block_{number}", f"block_{number + 1}"
        last = number == fields.blocks
        makers = (f"{here}.c5",) if last else (f"{here}.c5", f"{after}.c3_r")
        takers = ("conv_2",) if last else (f"{after}.c1_r", f"{after}.c5")
        found.append(ChannelGroup("channels", makers, (f"{here}.esa.conv4",), (f"{here}.esa.conv1", *takers)))
        found.append(ChannelGroup("mid", (f"{here}.c1_r",), (), (f"{here}.c2_r",)))
        found.append(ChannelGroup("mid", (f"{here}.c2_r",), (), (f"{here}.c3_r",)))
    return found


def masked(checkpoint: Checkpoint, *, channels: int | None = None, mid: int | None = None) -> Checkpoint:
    """Return a copy of the same width in which the channels that :func:`prune` would remove are zero.

    Raises:
        OptionError: see :func:`prune`.
    """
    network = copy.deepcopy(_network(checkpoint.network, checkpoint.variant.name))
    zero_weakest(network, channels=channels, mid=mid)
    return replace(checkpoint, network=network)


@torch.no_grad()
def zero_weakest(network: nn.Module, *, channels: int | None = None, mid: int | None = None) -> None:
    """Set the channels that :func:`prune` would remove to zero, in place; further training may change them again.

    Raises:
        OptionError: see :func:`prune`.
    """
    network = _network(network, type(network).__name__)
    for group, kept in _choices(network, _narrower(network.fields, channels, mid)):
        gone = torch.ones(getattr(network.fields, group.width), dtype=torch.bool)
        gone[kept] = False
        for name in group.makers:
            _parameters(network, name)[0][gone] = 0.0
            _parameters(network, name)[1][gone] = 0.0


def prune(checkpoint: Checkpoint, *, channels: int | None = None, mid: int | None = None) -> Checkpoint:
    """Return a narrower network that keeps, in every group, the channels of the largest norm.

    Args:
        checkpoint: an RLFN of any size.
        channels: how many channels to keep between the blocks; None for all.
        mid: how many to keep inside a block; None for all.

    Raises:
        OptionError: another architecture, a width that is not smaller, or nothing to remove.
    """
    network = _network(checkpoint.network, checkpoint.variant.name)
    fields = _narrower(network.fields, channels, mid)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for group, kept in _choices(network, fields):
        for name in (*group.makers, *group.gates):
            state[f"{name}.weight"] = state[f"{name}.weight"][kept]
            state[f"{name}.bias"] = state[f"{name}.bias"][kept]
        for name in group.takers:
            state[f"{name}.weight"] = state[f"{name}.weight"][:, kept]
    variant = variant_of("rlfn", fields)
    pruned = build(variant, checkpoint.scale)
    pruned.load_state_dict(state)
    origin = {"pruned_from": checkpoint.variant.name}
    own = ("variant", "scale", "architecture", "sizes")
    facts = {key: value for key, value in checkpoint.metadata.items() if key not in own}
    return Checkpoint(pruned.eval().requires_grad_(False), variant, checkpoint.scale, {**facts, **origin})


def _network(network: nn.Module, name: str) -> RLFN:
    if not isinstance(network, RLFN):
        raise OptionError(f"{name} is not an RLFN. Only RLFNs can be pruned.")
    return network


def _narrower(fields: RLFNFields, channels: int | None, mid: int | None) -> RLFNFields:
    for name, kept in (("channels", channels), ("mid", mid)):
        have = getattr(fields, name)
        if kept is not None and not 1 <= kept <= have:
            raise OptionError(f"The network has {have} {name}, so {kept} cannot be kept. Allowed: 1 to {have}.")
    narrower = replace(fields, channels=channels or fields.channels, mid=mid or fields.mid)
    if narrower == fields:
        widths = f"{setting('channels')} or {setting('mid')}"
        raise OptionError(f"Nothing would be removed. Say with {widths} how many channels to keep.")
    return narrower


def _choices(network: RLFN, fields: RLFNFields) -> Iterator[tuple[ChannelGroup, Tensor]]:
    """Yield every group that shrinks with the indices of the channels to keep, in order."""
    for group in groups(network.fields):
        count = getattr(fields, group.width)
        if count < getattr(network.fields, group.width):
            norms = sum(_parameters(network, name)[0].flatten(1).square().sum(1) for name in group.makers)
            assert isinstance(norms, Tensor)
            yield group, norms.topk(count).indices.sort().values


def _parameters(network: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    conv = network.get_submodule(name)
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    return conv.weight.data, conv.bias.data
