"""THE table of codecs that videos are written with."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

from rlfn.errors import OptionError, OutputError, unknown
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.webm_alpha import HOLDERS
from rlfn.numeric import is_whole
from rlfn.wording import listing, setting

_X_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")


@dataclass(frozen=True)
class EncoderRow:
    """One codec.

    Attributes:
        encoder: FFmpeg's name of what writes it.
        title: for people.
        crf: the lowest and the highest quality number, and the default; None where there is none.
        presets: from fast to thorough; the option that takes them; and the default.
        rgb: the encoder for RGB, where that is another.
        fixed: options that are always given.
        refused: formats of pixels that the encoder lists, and does not take.
        alpha_in: containers that hold its transparency, where not all do.
    """

    encoder: str
    title: str
    crf: tuple[int, int, int] | None = None
    presets: tuple[str, ...] = ()
    preset_option: str = "preset"
    preset: str = ""
    rgb: str = ""
    fixed: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    alpha_in: tuple[str, ...] = ()


CODECS: dict[str, EncoderRow] = {
    "h264": EncoderRow("libx264", "H.264", (0, 51, 18), _X_PRESETS, preset="medium", rgb="libx264rgb"),
    "hevc": EncoderRow("libx265", "H.265", (0, 51, 20), _X_PRESETS, preset="medium"),
    "av1": EncoderRow("libsvtav1", "AV1", (1, 63, 25), tuple(str(n) for n in range(13, -1, -1)), preset="8"),
    "vp9": EncoderRow(
        "libvpx-vp9",
        "VP9",
        (0, 63, 24),
        tuple(str(n) for n in range(8, -1, -1)),
        "cpu-used",
        "3",
        fixed={"b": "0", "row-mt": "1"},
        refused=frozenset(("yuva422p", "yuva444p", "gbrap")),
        alpha_in=HOLDERS,
    ),
    "ffv1": EncoderRow("ffv1", "FFV1, lossless", fixed={"level": "3", "slicecrc": "1"}),
    "prores": EncoderRow("prores_ks", "ProRes", presets=("lt", "standard", "hq", "4444"), preset_option="profile"),
}
"""By FFmpeg's names, in the order in which one is taken where the source's cannot be written."""


_REFUSED = {"mov": ("vp9", "av1")}
"""What containers refuse although FFmpeg answers that they hold it."""

_UNASKED = {"mpegts": ("h264", "hevc")}
"""What containers hold that FFmpeg does not answer for."""

_CARRIED = {
    "mpegts": frozenset(
        (
            *("mpeg1video", "mpeg2video", "mpeg4", "h264", "hevc", "cavs", "dirac", "vc1"),
            *("mp1", "mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "opus", "s302m"),
            *("dvb_subtitle", "klv", "timed_id3", "scte_35", "bin_data"),
        )
    )
}
"""What containers carry of other streams, where FFmpeg writes any codec and no reader knows it again."""


def available() -> tuple[str, ...]:
    """Return the codecs that the installed FFmpeg can write."""
    av = import_av()
    return tuple(name for name, row in CODECS.items() if row.encoder in av.codecs_available)


def check_codec(codec: str | None, crf: int | None, preset: str | None) -> None:
    """Refuse what no video could be written with, as far as that is known before a source is.

    Raises:
        OptionError: there is no such codec, quality or preset.
    """
    if codec is not None and not (isinstance(codec, str) and codec in CODECS):
        raise unknown("video codec", codec, CODECS)
    rows = [CODECS[codec]] if codec is not None else list(CODECS.values())
    if crf is not None and not (is_whole(crf) and any(row.crf and row.crf[0] <= crf <= row.crf[1] for row in rows)):
        row = rows[0]
        allowed = f"{row.title} has no such setting."
        if row.crf:
            allowed = f"Allowed: {row.crf[0]} (best) to {row.crf[1]}, a whole number."
        raise OptionError(f"A quality of {setting('crf', crf)} was asked for. {allowed}")
    presets = dict.fromkeys(preset for row in rows for preset in row.presets)
    if preset is not None and not (isinstance(preset, str) and preset in presets):
        if not presets:
            raise OptionError(f"A preset of '{preset}' was asked for; {rows[0].title} has none.")
        raise unknown("preset", preset, presets)


def choose_codec(asked: str | None, source: str, muxer: str) -> str:
    """Return the codec to write: the one asked for, the source's, or the first that the container holds.

    Raises:
        OptionError: the container does not hold the one asked for.
        OutputError: it holds none that can be written, or the encoder is not there.
    """
    held = [name for name in available() if _holds(muxer, name)]
    if asked is not None:
        if asked not in available():
            raise OutputError(
                f"The installed FFmpeg cannot write {CODECS[asked].title}. It writes: {listing(available())}."
            )
        if asked not in held:
            raise OptionError(
                f"A file of the kind {muxer} cannot hold {CODECS[asked].title}. It holds: {listing(held) or 'none'}. "
                f"Choose one of these, or a name that ends in .mkv."
            )
        return asked
    if source in held:
        return source
    if not held:
        raise OutputError(
            f"A file of the kind {muxer} holds no codec that rlfn writes. Choose a name that ends in .mkv."
        )
    return held[0]


def encoder_options(codec: str, crf: int | None, preset: str | None, muxer: str) -> dict[str, str]:
    """Return an encoder's options, for a container of FFmpeg's name ``muxer``.

    Raises:
        OptionError: this codec has no such quality or preset.
    """
    check_codec(codec, crf, preset)
    row = CODECS[codec]
    options = dict(row.fixed)
    if row.crf is not None:
        options["crf"] = str(row.crf[2] if crf is None else crf)
    if preset or row.preset:
        options[row.preset_option] = preset or row.preset
    if muxer == "flv" and codec == "h264":
        options["bf"] = "0"  # FLV holds no negative times, which reordered frames begin with
    return options


def row_formats(codec: str, rgb: bool) -> tuple[str, ...]:
    """Return the formats of pixels that a codec's encoder takes, and the one for RGB where that is another."""
    av, row = import_av(), CODECS[codec]
    name = row.rgb if rgb and row.rgb in av.codecs_available else row.encoder
    names = (format.name for format in av.codec.Codec(name, "w").video_formats or ())
    return tuple(format for format in names if format not in row.refused)


def keeps_alpha(codec: str, muxer: str) -> bool:
    """Tell whether a container holds a codec's transparency, where the codec has any."""
    row = CODECS[codec]
    return not row.alpha_in or muxer in row.alpha_in


def is_carried(muxer: str, kind: str, codec: str) -> bool:
    """Tell whether a container may keep another stream of a kind and a codec; a codec without a name is tried."""
    return muxer not in _CARRIED or codec in _CARRIED[muxer] or (not codec and kind != "attachment")


def _holds(muxer: str, codec: str) -> bool:
    av = import_av()
    if muxer in _UNASKED:
        return codec in _UNASKED[muxer]
    if muxer in ("gif", "webp", "apng"):
        return False  # which are no videos
    with av.open(io.BytesIO(), "w", format=muxer) as container:
        return CODECS[codec].encoder in container.supported_codecs and codec not in _REFUSED.get(muxer, ())
