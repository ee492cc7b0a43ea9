"""Write what the TypeScript must agree with: run with the package installed, from the repository's root.

    python web/tests/golden.py

All pictures are synthetic: ``picture`` here and in ``synthetic.ts`` computes the same bytes.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rlfn
from rlfn.images.alpha import fill_transparent, limit_alpha
from rlfn.inference.border import has_flat_border
from rlfn.inference.tiling import spans
from rlfn.models.grid import axis_grid

FOLDER = Path(__file__).parent / "golden"

SPANS = [
    (length, tile, margin, stride)
    for length in (1, 14, 15, 79, 96, 97, 255, 256, 257, 1000, 4032)
    for tile, margin, stride in ((96, 10, 1), (256, 10, 1), (96, 36, 6), (256, 36, 6), (255, 35, 6))
]
GRIDS = [(0, 15, 15), (0, 16, 16), (0, 90, 91), (54, 144, 200), (54, 200, 200), (120, 211, 211), (6, 40, 1000)]

RESULTS: list[dict[str, Any]] = [
    {"model": "rlfn-xs-x2", "width": 70, "height": 53, "kind": "rgb", "tile": 48},
    {"model": "rlfn-xs-x3", "width": 1, "height": 7, "kind": "rgb", "tile": 96},
    {"model": "rlfn-xs-x4", "width": 60, "height": 41, "kind": "flat", "tile": 40},
    {"model": "rlfn-xs-x4", "width": 33, "height": 29, "kind": "gray", "tile": 96},
    {"model": "rlfn-xs-x2", "width": 61, "height": 45, "kind": "alpha", "tile": 50},
    {"model": "rlfn-xs-x2", "width": 31, "height": 22, "kind": "veil", "tile": 96},
    {"model": "rlfn-xxs-photo-x2", "width": 50, "height": 64, "kind": "rgb", "tile": 44},
    {"model": "rlfn-s-x2", "width": 5, "height": 9, "kind": "rgb", "tile": 96},
    {"model": "rlfn-s-x3", "width": 97, "height": 20, "kind": "flat", "tile": 90},
    {"model": "rlfn-s-x4", "width": 130, "height": 112, "kind": "rgb", "tile": 90},
]
"""Pictures to be enlarged; ``tile`` cuts most of them up."""

EVERY = 5
"""Of a result every fifth pixel of every fifth row is kept: no factor shares a divisor with it."""


def picture(width: int, height: int, kind: str) -> NDArray[np.uint8]:
    """Return a synthetic RGBA picture: slopes, squares and noise; ``flat`` with a bright border, ``alpha`` with a hole.

    ``veil`` has one alpha everywhere, ``gray`` three equal channels.
    """
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    if kind == "gray":
        c = c * 0
    value = (3 * x + 2 * y + 60 * c) % 256 // 2
    value = value + 90 * (((x // 8) + (y // 8)) % 5 == 0) + (7 * x * x + 13 * y * y + 5 * x * y + 31 * c) % 17
    if kind == "flat":
        value = np.where((y < 4) | (x < 4), 250 - c, value)
    alpha = np.full((height, width, 1), 255)
    if kind == "veil":
        alpha[:] = 100
    if kind == "alpha":
        away = (x[:, :, :1] - width // 2) ** 2 + (y[:, :, :1] - height // 2) ** 2
        alpha = np.clip(300 - away, 0, 255)
    return np.concatenate([np.minimum(value, 255), alpha], axis=2).astype(np.uint8)


def coded(array: NDArray[Any]) -> str:
    """Return an array's bytes as text."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def golden_spans() -> list[dict[str, Any]]:
    """Return spans by what they are made from; None where the tile is refused."""
    found = []
    for case in SPANS:
        try:
            made = [[span.start, span.stop, span.core_start, span.core_stop] for span in spans(*case)]
        except rlfn.RlfnError:
            made = None
        found.append({"of": case, "spans": made})
    return found


def golden_grids() -> list[dict[str, Any]]:
    """Return ESA's matrices, float32."""
    return [
        {"of": case, "interpolate": coded(axis_grid(*case).interpolate), "pad": coded(axis_grid(*case).pad)}
        for case in GRIDS
    ]


def golden_alpha() -> list[dict[str, Any]]:
    """Return what is done about transparency, and which borders are flat."""
    found = []
    for width, height, kind in ((61, 45, "alpha"), (1, 1, "veil"), (8, 3, "alpha"), (33, 29, "flat"), (20, 40, "rgb")):
        rgba = picture(width, height, kind)
        alpha = rgba[:, :, 3]
        wide = np.repeat(np.repeat(alpha[::-1], 2, axis=0), 2, axis=1)
        found.append(
            {
                "width": width,
                "height": height,
                "kind": kind,
                "filled": coded(fill_transparent(rgba[:, :, :3], alpha)),
                "limited": coded(limit_alpha(wide, alpha, 2)),
                "flat": has_flat_border(rgba[:, :, :3]),
            }
        )
    return found


def enlarged(model: str, width: int, height: int, kind: str, tile: int) -> NDArray[np.uint8]:
    """Return what the package makes of a synthetic picture: (sH, sW, channels)."""
    image = picture(width, height, kind)
    if kind == "gray":
        image = image[:, :, 0]
    elif kind not in ("alpha", "veil"):
        image = image[:, :, :3]
    made = rlfn.Upscaler(model, engine="onnxruntime", threads=1, tile=tile, precision="fp32")(image)
    return made.reshape(*made.shape[:2], -1)


def golden_results() -> list[dict[str, Any]]:
    """Return every fifth pixel of the results."""
    found = []
    for case in RESULTS:
        made = enlarged(**case)
        found.append({**case, "channels": made.shape[2], "pixels": coded(made[::EVERY, ::EVERY])})
    return found


TABLES = {"spans": golden_spans, "grids": golden_grids, "alpha": golden_alpha, "results": golden_results}


def written(rows: list[dict[str, Any]]) -> str:
    """Return rows as JSON, one a line."""
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, make in TABLES.items():
        (FOLDER / f"{name}.json").write_text(written(make()), encoding="utf-8")


if __name__ == "__main__":
    main()
