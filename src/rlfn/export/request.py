"""The request and the report of an export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rlfn.errors import OptionError
from rlfn.networks.agreement import Agreement, Shape


@dataclass(frozen=True)
class ExportRequest:
    """Export options of a network.

    Attributes:
        precision: ``fp32``, ``fp16`` or ``int8``; a format's row lists those it supports.
        shape: a fixed (N, 3, H, W), or None for any size.
        image_io: uint8 NHWC RGB in and out; value range and rounding are handled inside the file.
        calibration: a folder of low-resolution pictures for int8; None for the packaged ones.
    """

    precision: str = "fp32"
    shape: Shape | None = None
    image_io: bool = False
    calibration: Path | None = None


@dataclass(frozen=True)
class ExportReport:
    """A written export.

    Attributes:
        files: the files written, the main file first.
        size: total size in bytes.
        agreement: the difference from torch.
        milliseconds: median latencies in ms of the export and of fp32 in onnxruntime, interleaved; None: not measured.
        timed_size: (height, width) of the picture used for timing.
        notes: notes for the user on how runtimes treat the file, one or two sentences each; settings are marked as
            in :func:`rlfn.wording.setting`.
    """

    files: tuple[Path, ...]
    size: int
    agreement: Agreement
    milliseconds: tuple[float, float] | None
    timed_size: tuple[int, int]
    notes: tuple[str, ...] = ()


def parse_shape(text: str) -> Shape:
    """Read ``1x3xHxW``.

    Raises:
        OptionError: the text has another form.

    >>> parse_shape("1x3x180x320")
    (1, 3, 180, 320)
    """
    parts = text.lower().split("x")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        raise OptionError(f"'{text}' is not a shape. Write batch x 3 x height x width, such as 1x3x180x320.")
    batch, channels, height, width = (int(part) for part in parts)
    if channels != 3:
        raise OptionError(f"The shape {text} has {channels} channels. Networks take RGB: 1x3x180x320.")
    if min(batch, height, width) < 1:
        raise OptionError(f"The shape {text} is empty. Batch, height and width must be at least 1: 1x3x180x320.")
    return batch, channels, height, width
