"""ncnn, for phones: a graph (.ncnn.param) and its weights (.ncnn.bin), converted by pnnx from TorchScript.

The network's input and output are called ``in0`` and ``out0``: RGB in [0, 255], as in all of rlfn's files.
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
from rlfn.export.prepare import least_side, needs_growing
from rlfn.export.request import ExportRequest
from rlfn.export.torch_files import write_torchscript
from rlfn.networks import Checkpoint
from rlfn.networks.agreement import LoadedExport, distance

_EXAMPLES = ((1, 3, 37, 41), (1, 3, 64, 97))
"""pnnx infers the dynamic sizes from two example shapes."""


def write_ncnn(checkpoint: Checkpoint, request: ExportRequest, path: Path) -> None:
    """Write ``path`` (.ncnn.param) and its .ncnn.bin.

    Raises:
        MissingExtraError: pnnx is not installed.
        ModelError: pnnx fails; the message ends with the last line of its output.
    """
    try:
        import pnnx
    except ImportError:
        raise MissingExtraError("The export format ncnn", "ncnn") from None
    binary, least = _binary(path), least_side(checkpoint)
    shapes = list(_EXAMPLES)
    if request.shape is not None:
        shapes = [(1, 3, max(request.shape[2], least), max(request.shape[3], least))]
    texts = [f"[{','.join(map(str, shape))}]f32" for shape in shapes]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        traced = Path(folder) / "network.pt"
        write_torchscript(checkpoint, ExportRequest(shape=shapes[0]), traced, grow=False)
        command = [pnnx.EXEC_PATH, traced.name, f"inputshape={texts[0]}"]
        command += [f"inputshape2={text}" for text in texts[1:]]
        command += [f"ncnnparam={path.resolve()}", f"ncnnbin={binary.resolve()}", "fp16=0"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not binary.is_file():
        said = " ".join((done.stderr or done.stdout).split())[-200:] or "no reason given"
        raise ModelError(f"pnnx cannot convert {checkpoint.variant.name} x{checkpoint.scale}: {said}.")
    if needs_growing(checkpoint, request):
        path.write_text(grown_param(path.read_text(encoding="utf-8"), least, checkpoint.scale), encoding="utf-8")


def grown_param(text: str, least: int, scale: int) -> str:
    """Return a .ncnn.param whose network pads pictures of fewer than ``least`` px per side, and crops the result.

    ncnn writes out of bounds if the input of a pooling layer is smaller than its kernel. So the last row and column are
    repeated ``least`` - 1 times, and the excess over the larger of the picture and ``least`` is cropped again. The
    expressions are ncnn's: 1w is the second blob's width.
    """
    magic, counts, given, *layers = text.splitlines()
    more = least - 1
    first, second = (f"max(-(0{side},{more}),{least})" for side in "hw")
    grow = [
        "Split grow_split 1 2 in0 in0_network in0_size",
        f"Padding grow_pad 1 1 in0_network in0_wide 1={more} 3={more} 4=1",
        f'Crop grow_crop 1 1 in0_wide in0_grown 19="0,0" 20="{first},{second}" 21="1,2"',
    ]
    cut = f'Crop grow_cut 2 1 out0_whole in0_size out0 19="0,0" 20="*(1h,{scale}),*(1w,{scale})" 21="1,2"'
    renamed = {"in0": "in0_grown", "out0": "out0_whole"}
    body = []
    for line in layers:
        kind, name, inputs, outputs, *rest = line.split()
        blobs = int(inputs) + int(outputs)
        rest[:blobs] = [renamed.get(blob, blob) for blob in rest[:blobs]]
        body.append(" ".join([kind, name, inputs, outputs, *rest]))
    layer_count, blob_count = (int(number) for number in counts.split())
    lines = [magic, f"{layer_count + len(grow) + 1} {blob_count + 5}", given, *grow, *body, cut]
    return "\n".join(lines) + "\n"


def load_ncnn(path: Path) -> LoadedExport:
    """Load an exported pair of files into ncnn on the CPU, computing in fp32.

    Raises:
        MissingExtraError: ncnn is not installed.
        ModelError: ncnn refuses the files, or a picture that is too small for the network.
    """
    return _loaded(path, fp32=True)


def ncnn_notes(checkpoint: Checkpoint, request: ExportRequest, path: Path) -> tuple[str, ...]:
    """Return the difference from torch with ncnn's default options: fp16 if the processor supports it."""
    found = distance(_loaded(path, fp32=False), checkpoint, shape=request.shape)
    return (
        "ncnn turns fp16 on when it loads a network, unless use_fp16_packed, use_fp16_storage and use_fp16_arithmetic "
        f"of its options are false. With its defaults, on this processor: up to {found.worst:.2g} levels of 255 from "
        f"torch, PSNR {found.psnr:.1f} dB, on {found.on}.",
    )


def _loaded(path: Path, *, fp32: bool) -> LoadedExport:
    try:
        import ncnn
    except ImportError:
        raise MissingExtraError("Checking an export to ncnn", "ncnn") from None
    net: Any = ncnn.Net()
    net.opt.use_vulkan_compute = False
    if fp32:
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = False
    if net.load_param(os.fspath(path)) != 0 or net.load_model(os.fspath(_binary(path))) != 0:
        raise ModelError(f"ncnn cannot load {path.name}. The versions of pnnx and ncnn may be incompatible.")

    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        picture = np.ascontiguousarray(pictures[0])  # keep a reference: the Mat does not copy it
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(picture).clone())
        failed, found = extractor.extract("out0")
        if failed:
            raise ModelError(f"ncnn cannot run {path.name} on {picture.shape[2]}x{picture.shape[1]} px.")
        return np.array(found)[None]

    return run


def _binary(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".param") + ".bin")
