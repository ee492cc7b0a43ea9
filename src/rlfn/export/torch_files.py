"""torch's own formats: TorchScript for libtorch in C++, and torch.export programs for compilers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from rlfn.export.prepare import facts_text, prepare
from rlfn.export.request import ExportRequest
from rlfn.networks import Checkpoint
from rlfn.networks.agreement import LoadedExport
from rlfn.networks.quiet import quiet

METADATA_FILE = "rlfn.json"
"""The file inside the archive with the metadata of the ONNX files."""


def write_torchscript(checkpoint: Checkpoint, request: ExportRequest, path: Path, *, grow: bool = True) -> None:
    """Write a traced TorchScript file. Sizes are dynamic unless ``request`` has a fixed shape.

    Pictures below the network's smallest size are padded inside, unless ``grow`` is false.
    """
    network, example = prepare(checkpoint, request, grow=grow)
    with quiet(), torch.inference_mode():
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        stream = io.BytesIO()  # torch ends the process if a disk is full
        torch.jit.save(traced, stream, _extra_files={METADATA_FILE: facts_text(checkpoint, request)})
    path.write_bytes(stream.getbuffer())


def load_torchscript(path: Path) -> LoadedExport:
    """Load a TorchScript file."""
    with quiet():
        return _runner(torch.jit.load(str(path)))  # type: ignore[no-untyped-call]


def write_torch_export(checkpoint: Checkpoint, request: ExportRequest, path: Path) -> None:
    """Write a ``torch.export`` program. Sizes are dynamic unless ``request`` has a fixed shape."""
    network, example = prepare(checkpoint, request)
    shapes = None
    if request.shape is None:
        places = (0, 1, 2) if request.image_io else (0, 2, 3)
        shapes = (dict.fromkeys(places, torch.export.Dim.AUTO),)
    with quiet():
        program = torch.export.export(network, (example,), dynamic_shapes=shapes)
        stream = io.BytesIO()
        torch.export.save(program, stream, extra_files={METADATA_FILE: facts_text(checkpoint, request)})
    path.write_bytes(stream.getbuffer())


def load_torch_export(path: Path) -> LoadedExport:
    """Load a ``torch.export`` program."""
    with quiet():
        return _runner(torch.export.load(path).module())


def _runner(module: Callable[[torch.Tensor], torch.Tensor]) -> LoadedExport:
    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        with torch.inference_mode():
            found: NDArray[Any] = module(torch.from_numpy(pictures)).numpy()
        return found

    return run
