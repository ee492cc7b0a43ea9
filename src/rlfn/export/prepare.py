"""From a network and what is asked for to the module that a converter takes."""

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

    The module grows pictures that are smaller than the network takes (unless ``grow`` is false), computes in fp16 and
    takes 8-bit pictures if ``request`` says so.
    """
    network = HalfInside(checkpoint.network) if request.precision == "fp16" else checkpoint.network
    if grow and needs_growing(checkpoint, request):
        network = grown(network, least_side(checkpoint))
    example = torch.rand(request.shape or (2, 3, *EXAMPLE_SIZE))
    if not request.image_io:
        return network.eval(), example
    return ImageIo(network).eval(), example.permute(0, 2, 3, 1).contiguous().byte()


def least_side(checkpoint: Checkpoint) -> int:
    """Return the smallest side in px that a checkpoint's network takes."""
    return ARCHITECTURES[checkpoint.variant.architecture].min_side


def needs_growing(checkpoint: Checkpoint, request: ExportRequest) -> bool:
    """Tell whether the pictures that ``request`` allows may be smaller than the network takes."""
    return request.shape is None or min(request.shape[2:]) < least_side(checkpoint)


def facts(checkpoint: Checkpoint, request: ExportRequest) -> dict[str, str]:
    """Return what a single-input file says of its network: the traits and the SHA-256 of its weights.

    It takes pictures of any size from 1 px. A file of one fixed shape or with 8-bit pictures leaves the margin and the
    stride out: rlfn's own tiles cannot run it.
    """
    found = {**metadata(checkpoint, grid=False), "min_side": "1"}
    if request.image_io or request.shape is not None:
        found = {key: value for key, value in found.items() if key not in ("margin", "stride", "exact")}
    return found


def facts_text(checkpoint: Checkpoint, request: ExportRequest) -> str:
    """Return :func:`facts` as JSON."""
    return json.dumps(facts(checkpoint, request))
