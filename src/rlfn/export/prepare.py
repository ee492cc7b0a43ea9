"""Preparation of a network for a converter."""

from __future__ import annotations

import json

import torch
from torch import nn

from rlfn.export.request import ExportRequest
from rlfn.networks import ARCHITECTURES, Checkpoint
from rlfn.networks.graph import EXAMPLE_SIZE, metadata
from rlfn.networks.wrappers import HalfInside, ImageIo, grown


def prepare(checkpoint: Checkpoint, request: ExportRequest, *, grow: bool = True) -> tuple[nn.Module, torch.Tensor]:
    """Return the module to convert and an example of its input.

    The module pads pictures below the network's smallest size (unless ``grow`` is false), and computes in fp16 or takes
    8-bit pictures as ``request`` says.
    """
    network = HalfInside(checkpoint.network) if request.precision == "fp16" else checkpoint.network
    if grow and needs_growing(checkpoint, request):
        network = grown(network, least_side(checkpoint))
    example = torch.rand(request.shape or (2, 3, *EXAMPLE_SIZE))
    if not request.image_io:
        return network.eval(), example
    return ImageIo(network).eval(), example.permute(0, 2, 3, 1).contiguous().byte()


def least_side(checkpoint: Checkpoint) -> int:
    """Return the smallest side in px that a checkpoint's network supports."""
    return ARCHITECTURES[checkpoint.variant.architecture].min_side


def needs_growing(checkpoint: Checkpoint, request: ExportRequest) -> bool:
    """Return whether ``request`` allows pictures below the network's smallest size."""
    return request.shape is None or min(request.shape[2:]) < least_side(checkpoint)


def facts(checkpoint: Checkpoint, request: ExportRequest) -> dict[str, str]:
    """Return the metadata of a single-input file: the network's traits and the SHA-256 of its weights.

    The smallest size is 1 px. A file with a fixed shape or 8-bit pictures has no margin and stride: rlfn cannot run it
    in tiles.
    """
    found = {**metadata(checkpoint, grid=False), "min_side": "1"}
    if request.image_io or request.shape is not None:
        found = {key: value for key, value in found.items() if key not in ("margin", "stride", "exact")}
    return found


def facts_text(checkpoint: Checkpoint, request: ExportRequest) -> str:
    """Return :func:`facts` as JSON."""
    return json.dumps(facts(checkpoint, request))
