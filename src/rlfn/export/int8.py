"""int8 by post-training quantisation: ranges are measured on pictures, no training is needed.

For ONNX the graph gets QDQ nodes (ONNX Runtime and OpenVINO both run them as integers); OpenVINO's own IR is quantised
by NNCF (:mod:`rlfn.export.int8_openvino`). Weights are quantised per channel. In both, layers that proved sensitive in
measurements stay float: the first and the last convolution, RLFN's convolution after the blocks, the 1x1 convolution of
its first block, and the inside of ESA, whose small map affects whole regions. Everything else of full width is int8,
including the sums and the attention's products, because conversions between int8 and float cost the most time. Values
passed between float layers are not rounded: in an RLFN those are the first block's sum, the output of the last block,
and the long skip from the first layer to the sum before the last one, which carries the picture's colours.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import OptionError
from rlfn.export.banding import TINTS, banding, shift, without_bands
from rlfn.export.feeds import Feed, feeds, sides_of
from rlfn.export.ranges import OF_FLAT, flat_colours, ranges
from rlfn.export.rounding import round_convolutions
from rlfn.images.photograph import photograph
from rlfn.networks.integers import is_sensitive
from rlfn.networks.quiet import quiet
from rlfn.telemetry import import_silent

_CROP = 96
_MOST_PICTURES = 32

_SLOPE_SIDE = 48

_KINDS = ("Conv", "LeakyRelu", "Relu", "Sigmoid", "Add", "Mul")
"""The types of nodes that are quantised, except those of :func:`float_layers`."""

MOST_SHIFT = 4
"""The levels of 255 by which a flat colour may shift before the ranges become wider."""


def calibration_pictures(folder: Path | None, least: int) -> list[NDArray[Any]]:
    """Return low-resolution pictures (H, W, 3) uint8 for measuring ranges, including white and bright gradients.

    Photographs rarely have bright pixels next to the zero padding at the border: ranges measured without that step
    cause errors of up to 19 levels there.

    Args:
        folder: pictures, of which up to 32 are used; None for crops of the packaged photograph.
        least: the smallest side in px.

    Raises:
        OptionError: the folder does not exist, or has no picture of that size.
    """
    if folder is None:
        from rlfn.images.resize import resize

        whole = photograph()
        places = range(0, whole.shape[0] - _CROP + 1, (whole.shape[0] - _CROP) // 2)
        crops = [whole[top : top + _CROP, left : left + _CROP] for top in places for left in places]
        return [*crops, resize(whole, scale=0.5), *_bright()]
    from rlfn.evaluation.sets import read_rgb
    from rlfn.images.formats import READABLE_SUFFIXES

    if not folder.is_dir():
        raise OptionError(f"There is no calibration folder {folder}. Give a folder of low-resolution pictures.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE_SUFFIXES)
    step = max(1, len(paths) // _MOST_PICTURES)
    pictures = [read_rgb(path) for path in paths[::step][:_MOST_PICTURES]]
    pictures = [picture for picture in pictures if min(picture.shape[:2]) >= least]
    if not pictures:
        raise OptionError(f"The calibration folder {folder} has no picture of at least {least} px a side.")
    return [*pictures, *_bright()]


def _bright() -> list[NDArray[Any]]:
    """Return four white pictures and two of each coloured gradient: ranges are means, so the count is a weight."""
    white = np.full((_SLOPE_SIDE, _SLOPE_SIDE, 3), 255, np.uint8)
    down = np.linspace(90.0, 250.0, _SLOPE_SIDE)[:, None, None]
    slopes = [np.broadcast_to(down * colour + 0.5, white.shape).astype(np.uint8) for colour in TINTS]
    return [*[white] * 4, *slopes * 2]


def quantize_onnx(data: bytes, pictures: list[NDArray[Any]], nearest: bool = False) -> bytes:
    """Return one of rlfn's fp32 ONNX files with its insensitive layers quantised to int8, metadata kept.

    Activations are unsigned 8 bit in the ranges of :mod:`rlfn.export.ranges`, which are wider if flat colours would
    shift otherwise. Weights use 7 of 8 bits: CPUs with AVX2 and without VNNI add pairs of products in 16 bits, which
    full weights overflow (0.07 dB on Set5); they are rounded by :mod:`rlfn.export.rounding`, or each to the nearest
    integer if ``nearest``, as quantisation-aware training saw them. If smooth gradients would show bands, the
    convolution before the last one stays float too, where that helps.
    """

    def quantize(of_flat: float) -> bytes:
        return without_bands(
            lambda smooth: quantize_most(data, pictures, smooth, of_flat, nearest), lambda made: banding(data, made)
        )

    usual, wide = OF_FLAT
    made = quantize(usual)
    return made if shift(data, made) <= MOST_SHIFT else quantize(wide)


def quantize_most(
    data: bytes,
    pictures: list[NDArray[Any]],
    smooth: bool = False,
    of_flat: float = OF_FLAT[0],
    nearest: bool = False,
) -> bytes:
    """Return the file quantised but for :func:`float_layers`, and for the last of the other layers if ``smooth``.

    ``of_flat`` is the fraction of the extremes on flat colours that the ranges cover (:mod:`rlfn.export.ranges`);
    ``nearest`` is as in :func:`quantize_onnx`.
    """
    import onnx

    import_silent("onnxruntime")
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    model = onnx.load_from_string(data)
    stay = float_layers(model)
    if smooth:
        stay += _last_rounded(model, stay)
    inputs = sides_of(model)
    rounded = [node for node in model.graph.node if node.op_type in _KINDS and node.name not in stay]
    found = ranges(model, _values(model, rounded), feeds(inputs, pictures), feeds(inputs, flat_colours()), of_flat)
    limits = {
        name: [{"rmin": np.array(low, np.float32), "rmax": np.array(high, np.float32)}]
        for name, (low, high) in found.items()
    }
    with tempfile.TemporaryDirectory() as folder, quiet():
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(data)
        quantize_static(
            str(source),
            str(target),
            _Reader(feeds(inputs, pictures[:1])),  # a required argument, though all ranges are given
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*_KINDS],
            nodes_to_exclude=stay,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"TensorQuantOverrides": limits},
        )
        made = onnx.load(target)
    _keep_between_floats(made, {node.name for node in rounded})
    if not nearest:
        round_convolutions(model, made, [node.name for node in rounded], feeds(inputs, pictures))
    onnx.helper.set_model_props(made, {item.key: item.value for item in model.metadata_props})
    made.producer_name = "rlfn"
    onnx.checker.check_model(made)
    result: bytes = made.SerializeToString()
    return result


def _values(model: Any, nodes: list[Any]) -> list[str]:
    """Return the names of the nodes' inputs and outputs without the constants."""
    computed = {item.name for item in model.graph.input} | {name for node in model.graph.node for name in node.output}
    named = dict.fromkeys(name for node in nodes for name in (*node.input, *node.output))
    return [name for name in named if name in computed]


def _keep_between_floats(made: Any, rounded: set[str]) -> None:
    """Let the float nodes of a quantised model read the unrounded outputs of float nodes.

    ONNX Runtime's tool rounds a value for all of its readers if one of them is int8. On the long skip that cost up to
    6 levels on saturated colours and 0.01 dB on Set5.
    """
    makers = {name: node for node in made.graph.node for name in node.output}

    def before(name: str, kind: str) -> str | None:
        node = makers.get(name)
        return node.input[0] if node is not None and node.op_type == kind else None

    for node in made.graph.node:
        if node.name in rounded or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        for place, name in enumerate(node.input):
            integers = before(name, "DequantizeLinear")
            value = before(integers, "QuantizeLinear") if integers is not None else None
            if value in makers and makers[value].name not in rounded:
                node.input[place] = value


def float_layers(model: Any) -> list[str]:
    """Return the names of an ONNX model's nodes of :data:`_KINDS` that stay float.

    They are the first and the last convolution, those of :func:`rlfn.networks.integers.is_sensitive`, and every sum
    and product with two exceptions: a sum with the output of an activation (a block's residual), and a product with
    that of a sigmoid (ESA's attention), unless float nodes alone read it.
    """
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    partners = {"Add": ("LeakyRelu", "Relu"), "Mul": ("Sigmoid",), "Sigmoid": ("Conv",)}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    inside = [node.name for node in convolutions if is_sensitive(node.input[1])]
    others = [
        node.name
        for node in model.graph.node
        if node.op_type in partners and not {made_by.get(name) for name in node.input} & {*partners[node.op_type]}
    ]
    stay = [convolutions[0].name, *inside, *others, *_last_convolutions(model)]
    return [*stay, *_read_by_floats_alone(model, stay)]


def _read_by_floats_alone(model: Any, stay: list[str]) -> list[str]:
    """Return the sums and products outside ``stay`` that only nodes of ``stay`` read."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return [
        node.name
        for node in model.graph.node
        if node.op_type in ("Add", "Mul")
        and node.name not in stay
        and {reader.name for reader in readers.get(node.output[0], [])} <= {*stay}
    ]


def _last_convolutions(model: Any) -> list[str]:
    """Return the convolutions without a convolution after them: the last one, and an anchor that is added to it."""
    return [node.name for node in _convolutions_behind(model, [output.name for output in model.graph.output])]


def _last_rounded(model: Any, stay: list[str]) -> list[str]:
    """Return the convolutions outside ``stay`` whose outputs the last convolutions read."""
    last = _last_convolutions(model)
    read = [node.input[0] for node in model.graph.node if node.name in last]
    return [node.name for node in _convolutions_behind(model, read) if node.name not in stay]


def _convolutions_behind(model: Any, values: list[str]) -> list[Any]:
    """Return the convolutions that are met first on the way back from values of the graph."""
    makers = {name: node for node in model.graph.node for name in node.output}
    waiting, found = list(values), []
    while waiting:
        node = makers.get(waiting.pop())
        if node is None:
            continue
        if node.op_type == "Conv":
            found.append(node)
        else:
            waiting += node.input
    return found


class _Reader:
    """A data reader for ONNX Runtime's calibration: returns one feed per call, then None."""

    def __init__(self, given: Iterator[Feed]) -> None:
        self._given = given

    def get_next(self) -> Feed | None:
        return next(self._given, None)
