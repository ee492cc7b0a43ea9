"""ncnn, for phones: a graph (.ncnn.param) and its weights (.ncnn.bin), converted by pnnx from TorchScript.

The network's input and output are called ``in0`` and ``out0``: RGB in [0, 255], as everywhere here.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError, ModelError
from rlfn.export.checks import Run
from rlfn.export.request import Request
from rlfn.export.torch_files import write_torchscript
from rlfn.networks import Checkpoint

_EXAMPLES = ((1, 3, 37, 41), (1, 3, 64, 97))
"""From two shapes pnnx sees which sizes are free."""


def write_ncnn(checkpoint: Checkpoint, request: Request, path: Path) -> None:
    """Write ``path`` (.ncnn.param) and its .ncnn.bin.

    Raises:
        MissingExtraError: pnnx is not installed.
        ModelError: pnnx fails; the message ends with what it said last.
    """
    try:
        import pnnx
    except ImportError:
        raise MissingExtraError("The export format ncnn", "ncnn") from None
    binary = _binary(path)
    shapes = [request.shape] if request.shape is not None else list(_EXAMPLES)
    texts = [f"[{','.join(map(str, shape))}]f32" for shape in shapes]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        traced = Path(folder) / "network.pt"
        write_torchscript(checkpoint, Request(shape=shapes[0]), traced)
        command = [pnnx.EXEC_PATH, traced.name, f"inputshape={texts[0]}"]
        command += [f"inputshape2={text}" for text in texts[1:]]
        command += [f"ncnnparam={path.resolve()}", f"ncnnbin={binary.resolve()}", "fp16=0"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not binary.is_file():
        said = " ".join((done.stderr or done.stdout).split())[-200:] or "no reason given"
        raise ModelError(f"pnnx cannot convert {checkpoint.variant.name} x{checkpoint.scale}: {said}.")


def load_ncnn(path: Path) -> Run:
    """Load an exported pair of files into ncnn on the CPU, computing in fp32.

    Raises:
        MissingExtraError: ncnn is not installed.
        ModelError: ncnn refuses the files.
    """
    try:
        import ncnn
    except ImportError:
        raise MissingExtraError("Checking an export to ncnn", "ncnn") from None
    net: Any = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(os.fspath(path)) != 0 or net.load_model(os.fspath(_binary(path))) != 0:
        raise ModelError(f"ncnn cannot load {path.name}. The versions of pnnx and ncnn may not fit each other.")

    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        (picture,) = pictures
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(np.ascontiguousarray(picture)).clone())
        failed, found = extractor.extract("out0")
        if failed:
            raise ModelError(f"ncnn cannot run {path.name} on {picture.shape[2]}x{picture.shape[1]} px.")
        return np.array(found)[None]

    return run


def _binary(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".param") + ".bin")
