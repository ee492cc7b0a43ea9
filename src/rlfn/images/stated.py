"""Colours that a file states without an ICC profile: PNG's chunks, the code points of AVIF and HEIC.

A picture without a profile means sRGB to most programs, so what is stated otherwise is turned into a profile for
formats that cannot state it. Sources: ITU-T H.273 (code points), PNG third edition, ICC.1:2022 (profile v4.4).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D65 = (0.3127, 0.329)

_PRIMARIES: dict[int, tuple[float, ...]] = {  # H.273: x and y of white, red, green, blue
    1: (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06),  # BT.709, sRGB
    4: (0.31, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),  # BT.470 M
    5: (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),  # BT.601, 625 lines
    6: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),  # BT.601, 525 lines
    7: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    8: (0.31, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),  # film
    9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),  # BT.2020
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),  # DCI-P3
    12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),  # Display P3
    22: (*_D65, 0.63, 0.34, 0.295, 0.605, 0.155, 0.077),  # EBU 3213
}
_NAMES = {1: "BT.709", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_SRGB, _PQ, _HLG = 13, 16, 18
# BT.709 (1), BT.601 (6) and BT.2020 (14, 15) are cameras' curves; still pictures that state them are shown, and were
# made, as sRGB ones, and so does libavif read them.
_LIKE_SRGB = {_SRGB, 1, 6, 14, 15}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_UNSPECIFIED = {0, 2}


@dataclass(frozen=True)
class StatedColor:
    """What a file says of its colours.

    ``codes`` are primaries and transfer function as in H.273, (1, 13) for sRGB; ``intent`` is the rendering intent of
    PNG's sRGB chunk; ``gamma`` and ``chromaticities`` (x and y of white, red, green, blue) are PNG's, times 100,000.
    ``full`` says that black and white are the ends of the range, and not 16 and 235 of 255 as in videos.
    """

    codes: tuple[int, int] | None = None
    intent: int | None = None
    gamma: int | None = None
    chromaticities: tuple[int, ...] | None = None
    full: bool = True

    @property
    def hdr(self) -> bool:
        """Whether the values are coded for a brighter display than an ordinary one (PQ or HLG)."""
        return self.codes is not None and self.codes[1] in (_PQ, _HLG)

    @property
    def name(self) -> str:
        """What people call it."""
        if self.codes is None:
            return "PNG gamma and chromaticities"
        curve = {_PQ: " PQ", _HLG: " HLG"}.get(self.codes[1], "")
        return _NAMES.get(self.codes[0], f"primaries {self.codes[0]}") + (curve or f", curve {self.codes[1]}")

    def profile(self, gray: bool = False) -> bytes | None:
        """Return an ICC profile that says the same; ``None`` where that is sRGB, or a plain gray.

        Raises:
            ValueError: there is no such profile.
        """
        if not self.full:
            raise ValueError("values of narrow range")
        curve = self._curve()
        points = self._points()
        if points is None and curve is None:
            return None
        if gray:
            return None if curve is None else _profile(b"GRAY", [(b"kTRC", curve)], self.codes)
        matrix = _to_d50(points or _PRIMARIES[1])
        curves = curve or _srgb_curve()
        tags = [(name, _xyz(matrix[:, i])) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
        return _profile(b"RGB ", [*tags, *((name, curves) for name in (b"rTRC", b"gTRC", b"bTRC"))], self.codes)

    def _points(self) -> tuple[float, ...] | None:
        """Return the chromaticities where they are not sRGB's."""
        if self.codes is not None:
            if self.codes[0] in _UNSPECIFIED | {1}:
                return None
            if self.codes[0] not in _PRIMARIES:
                raise ValueError(f"primaries {self.codes[0]}")
            return _PRIMARIES[self.codes[0]]
        if self.chromaticities is None or self.intent is not None:
            return None
        points = tuple(value / 100_000 for value in self.chromaticities)
        return None if np.allclose(points, _PRIMARIES[1], atol=0.002) else points

    def _curve(self) -> bytes | None:
        """Return a curve where it is not sRGB's."""
        if self.codes is not None:
            code = self.codes[1]
            if code in _LIKE_SRGB | _UNSPECIFIED:
                return None
            if code in _GAMMAS:
                return _gamma_curve(_GAMMAS[code])
            if code in (_PQ, _HLG):
                return _table(_pq if code == _PQ else _hlg)
            raise ValueError(f"transfer function {code}")
        if self.gamma is None or self.intent is not None or 45_000 <= self.gamma <= 46_000:
            return None
        if self.gamma == 0:
            raise ValueError("gamma 0")
        return _gamma_curve(100_000 / self.gamma)


def _to_d50(points: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the matrix from linear RGB to XYZ, adapted to the profile connection space's white."""
    xy = np.array(points).reshape(4, 2)
    if (xy[:, 1] <= 0).any():
        raise ValueError("chromaticities")
    xyz = np.stack([xy[:, 0], xy[:, 1], 1 - xy.sum(axis=1)], axis=1) / xy[:, 1:]
    white, primaries = xyz[0], xyz[1:].T
    try:
        matrix = primaries * np.linalg.solve(primaries, white)
    except np.linalg.LinAlgError:
        raise ValueError("chromaticities") from None
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD @ matrix)


def _fixed(values: NDArray[np.float64] | list[float]) -> bytes:
    numbers = np.clip(np.rint(np.asarray(values) * 65_536), -(2**31), 2**31 - 1)
    return struct.pack(f">{len(numbers)}i", *(int(value) for value in numbers))


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _gamma_curve(gamma: float) -> bytes:
    return b"para\0\0\0\0\0\0\0\0" + _fixed([gamma])


def _srgb_curve() -> bytes:
    return b"para\0\0\0\0\0\3\0\0" + _fixed([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045])


def _table(function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> bytes:
    values: bytes = np.rint(function(np.linspace(0, 1, 4096)) * 65_535).astype(">u2").tobytes()
    return b"curv\0\0\0\0" + struct.pack(">I", 4096) + values


def _pq(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return light of 0 to 1 (10,000 cd/m2), by SMPTE ST 2084."""
    root = coded ** (32 / 2523)
    return np.asarray((np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (8192 / 1305))


def _hlg(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scene light of 0 to 1, by ARIB STD-B67."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.asarray(np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12))


def _profile(space: bytes, tags: list[tuple[bytes, bytes]], codes: tuple[int, int] | None) -> bytes:
    """Lay a display profile out."""
    about = (b"desc", _text("made from the file's own statement")), (b"cprt", _text("CC0"))
    tags = [(b"wtpt", _xyz(_D50)), *about, *tags]
    if codes is not None and space == b"RGB ":
        tags.append((b"cicp", b"cicp\0\0\0\0" + bytes((*codes, 0, 1))))
    body, table, places = b"", b"", dict[bytes, tuple[int, int]]()
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags:
        if value not in places:
            places[value] = (start + len(body), len(value))
            body += value + b"\0" * (-len(value) % 4)
        table += struct.pack(">4sII", name, *places[value])
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sIIIQI12s4s16s28s",
        start + len(body), b"\0" * 4, 0x04400000, b"mntr", space, b"XYZ ",
        struct.pack(">6H", 2020, 1, 1, 0, 0, 0), b"acsp", b"\0" * 4, 0, 0, 0, 0, 0, _fixed(_D50), b"\0" * 4, b"", b"",
    )  # fmt: skip
    return header + struct.pack(">I", len(tags)) + table + body


def _text(text: str) -> bytes:
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2 * len(text), 28) + text.encode("utf-16-be")
