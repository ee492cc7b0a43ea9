"""The paper's feature difference maps: what an extractor tells apart in a picture and its blurred copy, and where.

The map of a layer is the sum over its channels k of |F_ijk(y1) - F_ijk(y2)| at each position, y1 being the picture and
y2 the blurred copy. The paper argues that shallow layers answer to edges and texture, as a contrastive loss should,
and layer 13 of VGG-19 to the layout alone; the numbers here make that a question of measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlfn.atomic import make_folder
from rlfn.errors import OptionError
from rlfn.evaluation.sets import find_set, read_rgb
from rlfn.studies.differences import (
    CELL,
    STRONGEST,
    Numbers,
    blur,
    crop_alike,
    difference_map,
    gradient_magnitude,
    numbers,
)
from rlfn.studies.maps import MapPanel, draw_maps
from rlfn.studies.report import Cell, Column, StudyPage, Table
from rlfn.studies.request import StudyRequest
from rlfn.training.extractors import (
    VGG19_FILE,
    VGG19_LAYERS,
    VGG19_URL,
    Contrastive,
    Extractor,
    cached_vgg19,
    make_extractor,
)
from rlfn.wording import listing

SIGMA = 2.0
"""Of the Gaussian blur, in px of the HR picture."""

MOST = 100
"""Pictures that are averaged over, as in the paper."""

_SINGLE = 3
_TWO = ("after activation", "conv 2")
_VGG = tuple(f"conv {number}" for number in VGG19_LAYERS)


class RawPixels(Extractor):
    """The picture itself: what every extractor must be compared with."""

    layers = 1

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return ``image``."""
        return [image]


@dataclass
class ExtractorLayer:
    """One layer of an extractor: the sum of its maps with the first seed, and its numbers by seed and picture."""

    extractor: str
    name: str
    channels: int = 0
    cell: int = 0
    total: Tensor | None = None
    numbers: list[list[Numbers]] = field(default_factory=list)

    def means(self) -> list[Numbers]:
        """Return the means over the pictures, for every seed."""
        return [Numbers(*map(fmean, zip(*seed, strict=True))) for seed in self.numbers]


@dataclass(frozen=True)
class Bank:
    """An extractor at every seed, and its layers; no extractor if its weights are not at hand."""

    extractors: tuple[Extractor, ...]
    layers: tuple[ExtractorLayer, ...]


@dataclass(frozen=True)
class Single:
    """One picture, its blurred copy and its maps in the order of the layers."""

    name: str
    sharp: Tensor
    blurred: Tensor
    maps: list[tuple[ExtractorLayer, Tensor, Numbers]]


def run(request: StudyRequest) -> bool:
    """Draw and measure the maps of all extractors on the set of ``request.sets``, by default B100.

    Raises:
        OptionError: more than one set.
        DataError: there is no such set, or its pictures are too small.
        ModelError: ``request.vgg19`` is not torchvision's VGG-19.
    """
    if len(request.sets) > 1:
        raise OptionError(f"This study averages over one set, not over {listing(request.sets)}. Name one of them.")
    make_folder(request.out)
    banks = _banks(request)
    found = find_set(request.sets[0] if request.sets else "B100", 4, request.sets_dir)
    pairs = found.pairs[:MOST]
    pictures = crop_alike([read_rgb(pair.hr) for pair in pairs])
    gradient = torch.zeros(1, 1, *pictures[0].shape[2:])
    singles: list[Single] = []
    for number, (pair, sharp) in enumerate(zip(pairs, pictures, strict=True), 1):
        if number == 1 or number % 10 == 0 or number == len(pairs):
            request.log(f"{number} of {len(pairs)}: {pair.name}")
        blurred = blur(sharp, SIGMA)
        single = Single(pair.name, sharp, blurred, measure(banks, sharp, blurred))
        gradient += gradient_magnitude(sharp)
        if number <= _SINGLE:
            singles.append(single)
    layers = [layer for bank in banks for layer in bank.layers]
    height, width = gradient.shape[2:]
    page = StudyPage(
        "Feature difference maps",
        "What the extractors of the contrastive loss tell apart in a picture and its blurred copy (arXiv 2205.07514).",
        facts={
            "pictures": f"{len(pairs)} of {found.name}, centre crops of {width}x{height} px, RGB in [0, 1]",
            "blur": f"Gaussian, sigma {SIGMA:g} px",
            "random weights": f"{request.seeds} seeds, from 0 on; {Contrastive().width} channels in random-*",
        },
        tables={"features": _table(layers)},
        remarks=[*_legend(), *_missing(banks)],
    )
    _draw(request, page, layers, gradient / len(pairs), singles)
    page.write(request.out)
    return True


def _banks(request: StudyRequest) -> list[Bank]:
    """Build the extractors of all seeds; trained weights have one."""
    file = request.vgg19 or cached_vgg19()
    weights, trained = (str(file), 1) if file else ("", 0)

    def bank(title: str, names: Sequence[str], extractor: str, vgg19: str, seeds: int) -> Bank:
        options = [Contrastive(extractor=extractor, vgg19=vgg19, seed=seed) for seed in range(seeds)]
        return Bank(tuple(map(make_extractor, options)), tuple(ExtractorLayer(title, name) for name in names))

    return [
        Bank((RawPixels(),), (ExtractorLayer("pixels", "no extractor"),)),
        bank("random-tanh", _TWO, "random-tanh", "random", request.seeds),
        bank("random-relu", _TWO, "random-relu", "random", request.seeds),
        bank("vgg19", _VGG, "vgg19", weights, trained),
        bank("vgg19-tanh", _VGG, "vgg19-tanh", weights, trained),
        bank("vgg19, random weights", _VGG, "vgg19", "random", request.seeds),
    ]


@torch.inference_mode()
def measure(banks: Sequence[Bank], sharp: Tensor, blurred: Tensor) -> list[tuple[ExtractorLayer, Tensor, Numbers]]:
    """Add one picture to the layers of all extractors; return its maps and numbers with the first seed."""
    gradient = gradient_magnitude(sharp)
    found = []
    for bank in banks:
        for seed, extractor in enumerate(bank.extractors):
            for layer, first, second in zip(bank.layers, extractor(sharp), extractor(blurred), strict=True):
                drawn = difference_map(first, second)
                values = numbers(first, drawn, gradient)
                layer.channels, layer.cell = first.shape[1], sharp.shape[3] // first.shape[3]
                if len(layer.numbers) == seed:
                    layer.numbers.append([])
                layer.numbers[seed].append(values)
                if seed == 0:
                    layer.total = drawn if layer.total is None else layer.total + drawn
                    found.append((layer, drawn, values))
    return found


def _table(layers: Sequence[ExtractorLayer]) -> Table:
    columns = (
        Column("extractor"),
        Column("layer"),
        Column("channels", 0),
        Column("cell, px", 0),
        Column("strength a channel, 1e-3", 4),
        Column("strength / activation", 4),
        Column("edges, correlation", 3),
        Column(f"share in the strongest {STRONGEST:.0%}", 3),
        Column("layout, correlation", 3),
    )
    rows: list[tuple[Cell, ...]] = []
    for layer in layers:
        if layer.numbers:
            means = zip(*(seed._replace(strength=1e3 * seed.strength) for seed in layer.means()), strict=True)
            rows.append((layer.extractor, layer.name, layer.channels, layer.cell, *means))
        else:
            rows.append((layer.extractor, layer.name, *[None] * 7))
    return Table(columns, tuple(rows))


def _legend() -> list[str]:
    tenth = f"{STRONGEST:.0%}"
    return [
        "Each number is a mean over the pictures; random weights: mean ± standard deviation over the seeds. "
        "*Strength a channel*: the mean of the map divided by the number of channels, in thousandths of the features' "
        "unit. *Strength / activation*: that divided by the mean of |F| on the sharp picture, without a unit. "
        "*Edges*: the correlation of the map, upsampled bilinearly to the picture, with the length of the luma's "
        f"gradient. *Share in the strongest {tenth}*: the part of the map's sum on the {tenth} of the pixels with the "
        f"strongest gradient; {STRONGEST:g} is chance. *Layout*: the correlation of both after averaging over cells of "
        f"{CELL}x{CELL} px, which keeps where a picture has detail, not what it looks like. *pixels* is the difference "
        "of the pictures themselves.",
    ]


def _missing(banks: Sequence[Bank]) -> list[str]:
    names = [bank.layers[0].extractor for bank in banks if not bank.extractors]
    if not names:
        return []
    return [
        f"{' and '.join(names)} are not measured: the ImageNet weights {VGG19_FILE} are not at hand. Download "
        f"{VGG19_URL} (about 550 MB), give the study its path, and run it again."
    ]


def _draw(
    request: StudyRequest,
    page: StudyPage,
    layers: Sequence[ExtractorLayer],
    gradient: Tensor,
    singles: Sequence[Single],
) -> None:
    """Draw the averaged maps, and those of single pictures; what is not measured is left out."""
    averaged = [MapPanel("HR gradient", "for comparison", _pixels(gradient))]
    averaged += [
        MapPanel(_title(layer), _below(layer.means()[0]), _pixels(layer.total))
        for layer in layers
        if layer.total is not None
    ]
    draw_maps(_lines(averaged, 1), request.out / "features.png")
    page.figures["features.png"] = (
        f"Difference maps averaged over the pictures: {page.facts['pictures']}; first seed. Under each map the "
        "correlations with the gradient, in the table's words"
    )
    lines = []
    for single in singles:
        panels = [
            MapPanel("picture", single.name, _pixels(single.sharp)),
            MapPanel("blurred", f"sigma {SIGMA:g} px", _pixels(single.blurred)),
        ]
        panels += [MapPanel(_title(layer), _below(values), _pixels(drawn)) for layer, drawn, values in single.maps]
        lines += _lines(panels, 2)
    draw_maps(lines, request.out / "features-single.png")
    page.figures["features-single.png"] = f"Difference maps of single pictures: {listing(one.name for one in singles)}"


def _lines(panels: Sequence[MapPanel], before: int) -> list[list[MapPanel]]:
    """Break panels into lines: ``before`` of them with the pixels and the random pairs, then each VGG-19 on its own."""
    first = before + 1 + 2 * len(_TWO)
    deep = len(_VGG)
    rest = [list(panels[at : at + deep]) for at in range(first, len(panels), deep)]
    return [list(panels[:first]), *rest]


def _title(layer: ExtractorLayer) -> str:
    return f"{layer.extractor}\n{layer.name}"


def _below(values: Numbers) -> str:
    return f"edges {values.edges:.2f}, layout {values.layout:.2f}"


def _pixels(image: Tensor) -> NDArray[np.float32]:
    """Turn (1, C, H, W) into what a panel shows: (H, W, 3), or (H, W) of a map."""
    array: NDArray[np.float32] = image[0].clamp(0.0, None).permute(1, 2, 0).numpy()
    return array.clip(0.0, 1.0) if array.shape[2] == 3 else array[:, :, 0]
