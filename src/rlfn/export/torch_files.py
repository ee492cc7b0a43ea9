"""Files of torch itself: TorchScript for libtorch in C++, and torch.export programs for what compiles them further."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from rlfn.export.checks import Run
from rlfn.export.request import Request
from rlfn.networks import Checkpoint
from rlfn.networks.graph import metadata
from rlfn.networks.quiet import quiet
from rlfn.networks.wrappers import ImageIo

METADATA_FILE = "rlfn.json"
"""The file inside the archive that holds what the ONNX metadata hold."""


def write_torchscript(checkpoint: Checkpoint, request: Request, path: Path) -> None:
    """Write a traced TorchScript file. Sizes stay free unless ``request`` fixes one."""
    network, example = prepare(checkpoint, request)
    with quiet(), torch.inference_mode():
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, str(path), _extra_files={METADATA_FILE: facts_text(checkpoint)})


def load_torchscript(path: Path) -> Run:
    """Load a TorchScript file."""
    with quiet():
        return _runner(torch.jit.load(str(path)))  # type: ignore[no-untyped-call]


def write_torch_export(checkpoint: Checkpoint, request: Request, path: Path) -> None:
    """Write a ``torch.export`` program. Sizes stay free unless ``request`` fixes one."""
    network, example = prepare(checkpoint, request)
    shapes = None
    if request.shape is None:
        places = (0, 1, 2) if request.image_io else (0, 2, 3)
        shapes = (dict.fromkeys(places, torch.export.Dim.AUTO),)
    with quiet():
        program = torch.export.export(network, (example,), dynamic_shapes=shapes)
        torch.export.save(program, path, extra_files={METADATA_FILE: facts_text(checkpoint)})


def load_torch_export(path: Path) -> Run:
    """Load a ``torch.export`` program."""
    with quiet():
        return _runner(torch.export.load(path).module())


def prepare(checkpoint: Checkpoint, request: Request) -> tuple[nn.Module, torch.Tensor]:
    """Return the module to convert, with 8-bit pictures if ``request`` says so, and an example of its input."""
    example = torch.rand(request.shape or (2, 3, 37, 41))
    if not request.image_io:
        return checkpoint.network, example
    return ImageIo(checkpoint.network).eval(), example.permute(0, 2, 3, 1).contiguous().byte()


def facts_text(checkpoint: Checkpoint) -> str:
    """Return what the ONNX metadata hold, as JSON."""
    return json.dumps(metadata(checkpoint, grid=False))


def _runner(module: Callable[[torch.Tensor], torch.Tensor]) -> Run:
    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        with torch.inference_mode():
            found: NDArray[Any] = module(torch.from_numpy(pictures)).numpy()
        return found

    return run
