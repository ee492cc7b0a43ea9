"""THE table of what a picture file can carry beside its pixels, and what becomes of it in each format.

A codec's row says, for each thing of ``KEPT_SOMEWHERE``, whether its files keep it or get it in another form; all else
is lost with a warning. The page docs/reference/metadata.md is made from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

Fate = Literal["kept", "converted", "warned"]

KEPT_SOMEWHERE: dict[str, tuple[str, str]] = {
    "icc": ("colour profile", "ICC profile of RGB or gray pixels; padding after its end goes"),
    "exif": (
        "EXIF",
        "camera, place, times, makers' notes. Orientation is applied and reset; sizes, subject and sensor resolution "
        "become those of the new picture; the thumbnail of the old one goes",
    ),
    "xmp": (
        "XMP",
        "of any length; a JPEG's extended XMP becomes one packet. Orientation, sizes, panorama, regions (faces) are "
        "updated",
    ),
    "iptc": ("IPTC", "IPTC-IIM records, from Photoshop's resources, TIFF's own tag or PNG's raw profile"),
    "resolution": ("resolution", "pixels per inch or centimetre; where no unit is stated there is none"),
    "texts": ("texts", "PNG's text chunks (prompts, authors, ...), comments of JPEG and GIF"),
    "color": ("stated colours", "PNG's gAMA, cHRM, sRGB and cICP chunks, AVIF's and HEIC's code points"),
    "hdr": ("stated colours, HDR", "the same for PQ and HLG"),
    "geo": ("GeoTIFF", "the place on the earth, adapted to the new pixels; GDAL's metadata and no-data value"),
}
"""What at least one format keeps, by its name in the rows: a title, and what it is."""

NEVER_KEPT: dict[str, str] = {
    "further frames and pages": "only the first is read",
    "further pictures": "of an MPO file, gain maps of HDR, depth maps; XMP no longer announces the gain map",
    "appended video": "of a motion photo; XMP then says that there is none",
    "content credentials": "C2PA: they vouch for the old pixels",
    "Photoshop layers, paths and resources": "all but IPTC",
    "extra channels": "TIFF's extra samples that are not alpha: masks, infrared, spot inks",
    "CMYK and Lab profiles": "used for the conversion to sRGB",
    "anything else": "segments, chunks and tags that are not known are named in the warning",
}
"""What no format keeps, and what it is."""

_WORDS = {"kept": "kept", "converted": "converted", "warned": "lost, with a warning"}


class Row(Protocol):
    """The part of a codec's row that counts here."""

    @property
    def title(self) -> str:
        """What people call the format."""

    @property
    def carries(self) -> Mapping[str, Fate]:
        """What becomes of each thing."""


def fate(row: Row, item: str) -> Fate:
    """Return what becomes of a thing in a format."""
    return row.carries.get(item, "warned")


def page(rows: Iterable[Row]) -> str:
    """Return docs/reference/metadata.md."""
    rows = tuple(rows)
    head = " | ".join(row.title for row in rows)
    lines = [
        "# What a file carries, and what becomes of it",
        "",
        "Made by `python -m rlfn.images.carried` from `src/rlfn/images/carried.py` and the rows of",
        "`src/rlfn/images/codecs/`; `tests/images/test_carried.py` checks every cell with tools of others. Rows are",
        "what a file that is read can hold, columns are the formats that can be written.",
        "",
        f"| | {head} |",
        "|---" * (len(rows) + 1) + "|",
    ]
    for item, (title, _) in KEPT_SOMEWHERE.items():
        lines.append(f"| {title} | " + " | ".join(_WORDS[fate(row, item)] for row in rows) + " |")
    for title in NEVER_KEPT:
        lines.append(f"| {title} |" + f" {_WORDS['warned']} |" * len(rows))
    lines += ["", "| | what it is |", "|---|---|"]
    lines += [f"| {title} | {text} |" for title, text in (*KEPT_SOMEWHERE.values(), *NEVER_KEPT.items())]
    lines += [
        "",
        "*Converted* means: pixels are converted from their profile to sRGB, with a warning; a resolution goes into",
        "EXIF where the format has no other place; texts go into EXIF's user",
        "comment where there is none yet, or else are lost with a warning (JPEG keeps plain comments as they are);",
        "stated colours become an ICC profile that says the same, for PQ and HLG with the code points in its `cicp`",
        "tag, which not every viewer heeds, so that is warned about.",
        "Embedded previews and thumbnails show the old picture and go without a word.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from rlfn.images.codecs import ROWS

    print(page(row for row in ROWS if row.writable), end="")
