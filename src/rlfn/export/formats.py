"""The table of export formats, and the one way through which every export goes: write aside, compare, then appear.

A new format is a function that writes, a function that loads, and one row in :data:`FORMATS`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlfn.errors import ModelError, OptionError, OutputError, RlfnError, listing, setting, unknown
from rlfn.export.checks import Run, compare
from rlfn.export.executorch import load_executorch, write_executorch
from rlfn.export.ncnn import load_ncnn, write_ncnn
from rlfn.export.onnx import load_onnx, write_onnx
from rlfn.export.openvino import load_openvino, write_openvino
from rlfn.export.request import Report, Request
from rlfn.export.tflite import load_tflite, write_tflite
from rlfn.export.torch_files import load_torch_export, load_torchscript, write_torch_export, write_torchscript
from rlfn.networks import ARCHITECTURES, Checkpoint
from rlfn.networks.fuse import fuse_checkpoint

_TIMED_SIZE = (128, 128)


@dataclass(frozen=True)
class Format:
    """One row of the table.

    Attributes:
        about: what it is for, in a few words.
        suffixes: of its files; the first one is the main file's, which the user names.
        precisions: those it can be written in.
        write: writes the main file at a path, and the others beside it.
        load: loads the main file into the target's own runtime.
        least: the smallest side in px that its files of any size take, where that is more than the network's.
        batch: whether it takes several pictures at once.
        any_size: whether one file can take pictures of any size.
        image_io: whether it can take and return 8-bit pictures.
    """

    about: str
    suffixes: tuple[str, ...]
    precisions: tuple[str, ...]
    write: Callable[[Checkpoint, Request, Path], None]
    load: Callable[[Path], Run]
    least: int = 1
    batch: bool = True
    image_io: bool = True
    any_size: bool = True

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the paths of all files whose main one is ``path``."""
        stem = path.name.removesuffix(self.suffixes[0])
        return tuple(path.with_name(stem + suffix) for suffix in self.suffixes)


FORMATS: dict[str, Format] = {
    "onnx": Format("ONNX Runtime and most other tools", (".onnx",), ("fp32", "fp16", "int8"), write_onnx, load_onnx),
    "openvino": Format(
        "OpenVINO on Intel and AMD", (".xml", ".bin"), ("fp32", "fp16", "int8"), write_openvino, load_openvino
    ),
    "ncnn": Format(
        "ncnn on phones",
        (".ncnn.param", ".ncnn.bin"),
        ("fp32",),
        write_ncnn,
        load_ncnn,
        batch=False,
        image_io=False,
    ),
    "tflite": Format(
        "LiteRT on Android and small devices", (".tflite",), ("fp32",), write_tflite, load_tflite, any_size=False
    ),
    "executorch": Format(
        "ExecuTorch with XNNPACK on phones and embedded devices",
        (".pte",),
        ("fp32",),
        write_executorch,
        load_executorch,
        any_size=False,
        image_io=False,  # its runtime refuses the order of dimensions that the permutation to 8-bit pictures makes
    ),
    "torchscript": Format("libtorch in C++", (".pt",), ("fp32",), write_torchscript, load_torchscript),
    "torch-export": Format(
        "torch.export: AOTInductor and other compilers",
        (".pt2",),
        ("fp32",),
        write_torch_export,
        load_torch_export,
        least=21,  # below it ESA's pooled map is 1 px wide, which torch.export treats as another program
    ),
}
"""Every format by its name."""


def check_request(checkpoint: Checkpoint, to: str, path: Path, request: Request) -> Format:
    """Return the format's row.

    Raises:
        OptionError: there is no such format, or it has not what ``request`` asks for.
    """
    if to not in FORMATS:
        raise unknown("export format", to, FORMATS)
    row = FORMATS[to]
    if request.precision not in row.precisions:
        raise unknown(f"{to} export of precision", request.precision, row.precisions)
    if not path.name.endswith(row.suffixes[0]) or path.name == row.suffixes[0]:
        raise OptionError(f"{to} cannot be written to {path}. Its file ends in {row.suffixes[0]}.")
    if request.shape is None and not row.any_size:
        example = setting("shape", "1x3x180x320")
        raise OptionError(f"A {to} file takes pictures of one size. Give it, such as {example}.")
    if request.image_io and not row.image_io:
        have = listing(name for name, other in FORMATS.items() if other.image_io)
        raise OptionError(f"{to} has no 8-bit pictures in and out. These formats have: {have}.")
    if request.shape is not None and request.shape[0] > 1 and not row.batch:
        raise OptionError(f"{to} takes one picture at a time. Give a shape such as 1x3x180x320.")
    if request.calibration is not None and request.precision != "int8":
        raise OptionError(f"A calibration folder was given for {request.precision}. Only int8 is calibrated.")
    least = ARCHITECTURES[checkpoint.variant.architecture].min_side
    if request.shape is not None and min(request.shape[2:]) < least:
        raise OptionError(
            f"The shape {'x'.join(map(str, request.shape))} is too small for {checkpoint.variant.name}. "
            f"Both sides must be at least {least} px."
        )
    return row


def export(
    checkpoint: Checkpoint, to: str, path: str | Path, request: Request | None = None, *, seconds: float = 0.0
) -> Report:
    """Write ``checkpoint`` in a format of :data:`FORMATS`, compared with torch in the target's runtime first.

    Args:
        checkpoint: the network.
        to: the format's name.
        path: the main file; it and those beside it are replaced.
        request: precision, shape and input; None for fp32 of any size.
        seconds: time to spend on measuring the latency beside onnxruntime; 0 leaves that out.

    Raises:
        OptionError: the format has not what was asked for.
        MissingExtraError: the format's packages are not installed.
        ModelError: the network cannot be converted, or the export differs from torch by more than
            :data:`rlfn.export.checks.TOLERANCES` allow. Nothing is written.
        OutputError: the file cannot be written.
    """
    path, request = Path(path), request or Request()
    checkpoint = fuse_checkpoint(checkpoint)
    row = check_request(checkpoint, to, path, request)
    size = request.shape[2:] if request.shape is not None else _TIMED_SIZE
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent, ignore_cleanup_errors=True) as aside:
            written = Path(aside) / path.name
            _convert(row, checkpoint, to, request, written)
            run = row.load(written)
            agreement = compare(run, checkpoint, request, row.least, batches=(1, 2) if row.batch else (1,))
            milliseconds = _time(run, checkpoint, request, size, Path(aside), seconds) if seconds else None
            total = sum(file.stat().st_size for file in row.files(written))
            for source, target in reversed([*zip(row.files(written), row.files(path), strict=True)]):
                os.replace(source, target)
    except OSError as error:
        if isinstance(error, RlfnError):
            raise
        raise OutputError(f"{path} cannot be written: {error.strerror}. Choose another place or free some.") from error
    return Report(row.files(path), total, agreement, milliseconds, size)


def _convert(row: Format, checkpoint: Checkpoint, to: str, request: Request, path: Path) -> None:
    """Write the export; whatever a converter raises becomes one sentence."""
    try:
        row.write(checkpoint, request, path)
    except (RlfnError, OSError):
        raise
    except Exception as error:  # converters raise anything
        text = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{checkpoint.variant.name} x{checkpoint.scale} cannot be converted to {to} {request.precision}: "
            f"{type(error).__name__}: {text}. Nothing was written."
        ) from error
    missing = [file.name for file in row.files(path) if not file.is_file()]
    if missing:
        raise ModelError(f"The converter to {to} wrote no {listing(missing)}, and did not say why.")


def _time(
    run: Run, checkpoint: Checkpoint, request: Request, size: tuple[int, int], folder: Path, seconds: float
) -> tuple[float, float]:
    """Return the median milliseconds of the export and of fp32 in onnxruntime, called by turns."""
    from rlfn.evaluation.profile import time_in_turn

    reference = folder / "reference.onnx"
    write_onnx(checkpoint, Request(), reference)
    other = load_onnx(reference)
    batch = request.shape[0] if request.shape is not None else 1
    lr = np.random.default_rng(0).uniform(0.0, 255.0, (batch, 3, *size)).astype(np.float32)
    given = np.ascontiguousarray(lr.transpose(0, 2, 3, 1)).astype(np.uint8) if request.image_io else lr
    mine, theirs = time_in_turn([lambda: run(given), lambda: other(lr)], seconds)
    return mine.median * 1e3, theirs.median * 1e3
