"""ExecuTorch for phones and embedded devices: one .pte file of a fixed shape, with XNNPACK's kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError
from rlfn.export.prepare import facts_text, prepare
from rlfn.export.request import ExportRequest
from rlfn.networks import Checkpoint
from rlfn.networks.agreement import LoadedExport
from rlfn.networks.quiet import quiet

FACTS_METHOD = "rlfn"
"""The program's second method, which returns the metadata of the ONNX files as JSON."""


def write_executorch(checkpoint: Checkpoint, request: ExportRequest, path: Path) -> None:
    """Write a .pte file of the fixed shape of ``request``: ExecuTorch plans all memory for it in advance.

    Raises:
        MissingExtraError: executorch is not installed.
    """
    try:
        with quiet():
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower
    except ImportError:
        raise MissingExtraError("The export format executorch", "executorch") from None
    network, example = prepare(checkpoint, request)
    with quiet():
        program = to_edge_transform_and_lower(
            torch.export.export(network, (example,)),
            partitioner=[XnnpackPartitioner()],
            constant_methods={FACTS_METHOD: facts_text(checkpoint, request)},
        ).to_executorch()
    path.write_bytes(program.buffer)


def load_executorch(path: Path) -> LoadedExport:
    """Load a .pte file into ExecuTorch's runtime on the CPU.

    Raises:
        MissingExtraError: executorch is not installed.
    """
    try:
        with quiet():
            from executorch.runtime import Runtime
    except ImportError:
        raise MissingExtraError("Checking an export to executorch", "executorch") from None
    with quiet():  # its messages about the processor are printed through Python's streams
        program = Runtime.get().load_program(path.read_bytes())

    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        with quiet():
            # called through the program, because a method does not keep the bytes of its file alive
            method = program.load_method("forward")
            found: NDArray[Any] = method.execute([torch.from_numpy(pictures)])[0].numpy().copy()
        return found

    return run
