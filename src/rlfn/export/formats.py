"""The table of export formats, and the steps of every export: write a temporary file, compare it with torch, rename it.

A new format needs a function that writes, a function that loads, and one row in :data:`FORMATS`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlfn.atomic import check_path, folder_beside
from rlfn.errors import ModelError, OptionError, RlfnError, unknown
from rlfn.export.executorch import load_executorch, write_executorch
from rlfn.export.ncnn import load_ncnn, ncnn_notes, write_ncnn
from rlfn.export.onnx import load_onnx, onnx_notes, write_onnx, write_rlfn
from rlfn.export.openvino import load_openvino, openvino_notes, write_openvino
from rlfn.export.prepare import least_side
from rlfn.export.request import ExportReport, ExportRequest
from rlfn.export.tflite import load_tflite, write_tflite
from rlfn.export.torch_files import load_torch_export, load_torchscript, write_torch_export, write_torchscript
from rlfn.inference.footprint import bytes_per_pixel
from rlfn.inference.hardware import available_memory
from rlfn.networks import Checkpoint
from rlfn.networks.agreement import LoadedExport, Shape, compare
from rlfn.networks.fuse import fuse_checkpoint
from rlfn.wording import listing, setting, with_kind

_TIMED_SIZE = (128, 128)


@dataclass(frozen=True)
class ExportFormat:
    """One row of the table.

    Attributes:
        about: its purpose, in a few words.
        suffixes: suffixes of its files; the first one is that of the main file, which the user names.
        precisions: supported precisions.
        write: writes the main file at a path, and the others next to it.
        load: loads the main file into the target's own runtime.
        notes: returns notes for the user on how runtimes treat the file.
        grows: whether pictures below the network's smallest size are padded inside the file.
        least: the smallest side in px that files without a fixed size support, if it exceeds the network's.
        batch: whether it supports several pictures at once.
        any_size: whether files can be written without a fixed size.
        one_size: whether files can have a fixed shape.
        image_io: whether 8-bit input and output are supported.
    """

    about: str
    suffixes: tuple[str, ...]
    precisions: tuple[str, ...]
    write: Callable[[Checkpoint, ExportRequest, Path], None]
    load: Callable[[Path], LoadedExport]
    notes: Callable[[Checkpoint, ExportRequest, Path], tuple[str, ...]] = lambda *_: ()
    grows: bool = True
    least: int = 1
    batch: bool = True
    any_size: bool = True
    one_size: bool = True
    image_io: bool = True

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the paths of all files of an export whose main file is ``path``."""
        stem = path.name.removesuffix(self.suffixes[0])
        return tuple(path.with_name(stem + suffix) for suffix in self.suffixes)

    def least_side(self, checkpoint: Checkpoint) -> int:
        """Return the smallest side in px that a network's files without a fixed size support."""
        return max(self.least, 1 if self.grows else least_side(checkpoint))


FORMATS: dict[str, ExportFormat] = {
    "rlfn": ExportFormat(
        "rlfn itself, whose tiles then equal the whole picture",
        (".onnx",),
        ("fp32", "int8"),
        write_rlfn,
        load_onnx,
        grows=False,  # rlfn's runtime does that
        one_size=False,
        image_io=False,
    ),
    "onnx": ExportFormat(
        "ONNX Runtime and most other tools", (".onnx",), ("fp32", "fp16", "int8"), write_onnx, load_onnx, onnx_notes
    ),
    "openvino": ExportFormat(
        "OpenVINO on Intel and AMD",
        (".xml", ".bin"),
        ("fp32", "fp16", "int8"),
        write_openvino,
        load_openvino,
        openvino_notes,
    ),
    "ncnn": ExportFormat(
        "ncnn on phones",
        (".ncnn.param", ".ncnn.bin"),
        ("fp32",),
        write_ncnn,
        load_ncnn,
        ncnn_notes,
        batch=False,
        image_io=False,
    ),
    "tflite": ExportFormat(
        "LiteRT on Android and small devices", (".tflite",), ("fp32",), write_tflite, load_tflite, any_size=False
    ),
    "executorch": ExportFormat(
        "ExecuTorch with XNNPACK on phones and embedded devices",
        (".pte",),
        ("fp32",),
        write_executorch,
        load_executorch,
        any_size=False,
        image_io=False,  # its runtime rejects the dim order that the permutation to 8-bit pictures produces
    ),
    "torchscript": ExportFormat("libtorch in C++", (".pt",), ("fp32",), write_torchscript, load_torchscript),
    "torch-export": ExportFormat(
        "torch.export: AOTInductor and other compilers",
        (".pt2",),
        ("fp32",),
        write_torch_export,
        load_torch_export,
        least=21,  # below it ESA's pooled map is 1 px wide, which torch.export treats as another program
    ),
}
"""Every format by its name."""


def check_request(checkpoint: Checkpoint, to: str, path: Path, request: ExportRequest) -> ExportFormat:
    """Return the format's row.

    Raises:
        OptionError: there is no such format, or it does not support what ``request`` asks for.
    """
    if to not in FORMATS:
        raise unknown("export format", to, FORMATS)
    row = FORMATS[to]
    if request.precision not in row.precisions:
        raise unknown(f"{to} export of precision", request.precision, row.precisions)
    if not path.name.endswith(row.suffixes[0]) or path.name == row.suffixes[0]:
        raise OptionError(f"{to} cannot be written to {path}. Its file ends in {row.suffixes[0]}.")
    example = setting("shape", "1x3x180x320")
    if request.shape is None and not row.any_size:
        raise OptionError(f"Files of {to} take pictures of one size. Give it, such as {example}.")
    if request.shape is not None and not row.one_size:
        have = listing(name for name, other in FORMATS.items() if other.one_size)
        raise OptionError(f"A file for {to} takes pictures of any size. These formats have a fixed shape: {have}.")
    if request.image_io and not row.image_io:
        have = listing(name for name, other in FORMATS.items() if other.image_io)
        raise OptionError(f"{to} does not support 8-bit input and output. Formats that do: {have}.")
    if request.shape is not None and request.shape[0] > 1 and not row.batch:
        raise OptionError(f"{to} takes one picture at a time. Give a shape such as {example}.")
    if request.calibration is not None and request.precision != "int8":
        raise OptionError(f"A calibration folder was given for {request.precision}. Only int8 is calibrated.")
    if request.shape is not None:
        _check_memory(checkpoint, request.shape)
    return row


def _check_memory(checkpoint: Checkpoint, shape: Shape) -> None:
    """Refuse a fixed shape for which torch, with which the file is compared, lacks memory."""
    batch, _, height, width = shape
    needed, free = batch * height * width * bytes_per_pixel("torch", checkpoint.variant.name), available_memory()
    if needed > free:
        raise OptionError(
            f"The shape {'x'.join(map(str, shape))} takes about {needed / 2**30:,.1f} GiB of memory to compare with "
            f"torch; {free / 2**30:.1f} GiB are free. Choose a smaller shape: a large picture is upscaled in tiles."
        )


def export(
    checkpoint: Checkpoint, to: str, path: str | Path, request: ExportRequest | None = None, *, seconds: float = 0.0
) -> ExportReport:
    """Write ``checkpoint`` in a format of :data:`FORMATS`, compared with torch in the target's runtime first.

    Args:
        checkpoint: the network.
        to: the format's name.
        path: the main file; it and its companion files are replaced, and missing folders are made.
        request: precision, shape and input; None for fp32 of any size.
        seconds: time to spend on measuring the latency compared with onnxruntime; 0 skips it.

    Raises:
        OptionError: the format does not support the request.
        MissingExtraError: the format's packages are not installed.
        ModelError: the network cannot be converted, or the export differs from torch by more than
            :data:`rlfn.networks.agreement.TOLERANCES` allow. Nothing is written.
        OutputError: the file cannot be written.
    """
    path, request = Path(path), request or ExportRequest()
    checkpoint = fuse_checkpoint(checkpoint)
    row = check_request(checkpoint, to, path, request)
    for file in row.files(path):
        check_path(file)
    size = request.shape[2:] if request.shape is not None else _TIMED_SIZE
    with folder_beside(path) as aside:
        written = aside / path.name
        with _explained(checkpoint, to, request, "converted to", aside):
            row.write(checkpoint, request, written)
        missing = [file.name for file in row.files(written) if not file.is_file()]
        if missing:
            raise ModelError(f"The converter to {to} wrote no {listing(missing)} and reported no error.")
        with _explained(checkpoint, to, request, "run in", aside):
            run = row.load(written)
            agreement = compare(
                run,
                checkpoint,
                precision=request.precision,
                shape=request.shape,
                image_io=request.image_io,
                least=row.least_side(checkpoint),
                batches=(1, 2) if row.batch else (1,),
            )
            notes = row.notes(checkpoint, request, written)
            milliseconds = _time(run, checkpoint, request, size, aside, seconds) if seconds else None
        total = sum(file.stat().st_size for file in row.files(written))
        for source, target in reversed([*zip(row.files(written), row.files(path), strict=True)]):
            os.replace(source, target)
    return ExportReport(row.files(path), total, agreement, milliseconds, size, notes)


@contextlib.contextmanager
def _explained(checkpoint: Checkpoint, to: str, request: ExportRequest, what: str, folder: Path) -> Iterator[None]:
    """Turn an exception of a converter or a runtime into an error of one sentence.

    ``folder`` is where it writes: not all of them say that a disk is full.
    """
    try:
        yield
    except (RlfnError, OSError, MemoryError):
        raise
    except Exception as error:  # converters and runtimes raise arbitrary exceptions
        weights = sum(tensor.nbytes for tensor in checkpoint.network.state_dict().values())
        if shutil.disk_usage(folder).free < weights:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise ModelError(
            f"{checkpoint.variant.name} x{checkpoint.scale} cannot be {what} {to} {request.precision}: "
            f"{with_kind(error)}. Nothing was written."
        ) from error


def _time(
    run: LoadedExport,
    checkpoint: Checkpoint,
    request: ExportRequest,
    size: tuple[int, int],
    folder: Path,
    seconds: float,
) -> tuple[float, float]:
    """Return the median milliseconds of the export and of fp32 in onnxruntime, interleaved."""
    from rlfn.evaluation.profile import time_in_turn

    reference = folder / "reference.onnx"
    write_onnx(checkpoint, ExportRequest(), reference)
    other = load_onnx(reference)
    batch = request.shape[0] if request.shape is not None else 1
    lr = np.random.default_rng(0).uniform(0.0, 255.0, (batch, 3, *size)).astype(np.float32)
    given = np.ascontiguousarray(lr.transpose(0, 2, 3, 1)).astype(np.uint8) if request.image_io else lr
    mine, theirs = time_in_turn([lambda: run(given), lambda: other(lr)], seconds)
    return mine.median * 1e3, theirs.median * 1e3
