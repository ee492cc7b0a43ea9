"""Scores that the paper prints: PSNR and SSIM on Y, a border of ``scale`` px cropped, bicubic LR, trained on DIV2K."""

from __future__ import annotations

from dataclasses import dataclass

PAPER = "arXiv 2205.07514"
"""The paper on RLFN, whose table also lists its rivals."""

_IMDN = "arXiv 1909.11856"
_RFDN = "arXiv 2009.11551"
_CARN = "arXiv 1803.08664, as later papers reprint it"


@dataclass(frozen=True)
class Published:
    """One row of a paper's table.

    Attributes:
        variant: the network in :data:`rlfn.models.variants.VARIANTS`; None if it is not there.
        scores: (PSNR in dB, SSIM) by set.
        source: where the numbers are printed.
    """

    name: str
    variant: str | None
    scale: int
    scores: dict[str, tuple[float, float]]
    source: str = PAPER


def _scores(*pairs: tuple[float, float]) -> dict[str, tuple[float, float]]:
    return dict(zip(("Set5", "Set14", "B100", "Urban100"), pairs, strict=True))


PUBLISHED = (
    Published("RLFN", "rlfn", 2, _scores((38.07, 0.9607), (33.72, 0.9187), (32.22, 0.9000), (32.33, 0.9299))),
    Published("RFDN", "rfdn", 2, _scores((38.05, 0.9606), (33.68, 0.9184), (32.16, 0.8994), (32.12, 0.9278))),
    Published("IMDN", None, 2, _scores((38.00, 0.9605), (33.63, 0.9177), (32.19, 0.8996), (32.17, 0.9283))),
    Published("CARN", None, 2, _scores((37.76, 0.9590), (33.52, 0.9166), (32.09, 0.8978), (31.92, 0.9256)), _CARN),
    Published("RFDN", "rfdn", 3, _scores((34.41, 0.9273), (30.34, 0.8420), (29.09, 0.8050), (28.21, 0.8525)), _RFDN),
    Published("IMDN", None, 3, _scores((34.36, 0.9270), (30.32, 0.8417), (29.09, 0.8046), (28.17, 0.8519)), _IMDN),
    Published("RLFN", "rlfn", 4, _scores((32.24, 0.8952), (28.62, 0.7813), (27.60, 0.7364), (26.17, 0.7877))),
    Published("RFDN", "rfdn", 4, _scores((32.24, 0.8952), (28.61, 0.7819), (27.57, 0.7360), (26.11, 0.7858))),
    Published("IMDN", None, 4, _scores((32.21, 0.8948), (28.58, 0.7811), (27.56, 0.7353), (26.04, 0.7838))),
    Published("CARN", None, 4, _scores((32.13, 0.8937), (28.60, 0.7806), (27.58, 0.7349), (26.07, 0.7837))),
)
"""The rows, the papers' own networks first."""


def published(scale: int) -> list[Published]:
    """Return the rows of a scale."""
    return [row for row in PUBLISHED if row.scale == scale]
