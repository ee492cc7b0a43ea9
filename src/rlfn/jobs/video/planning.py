"""What is decided before a video is enlarged: size, model, codec, format of pixels, and what is stated of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from rlfn.atomic import check_path
from rlfn.errors import OptionError
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.hardware import default_threads
from rlfn.inference.sizing import Wanted
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.video.codecs import choose_codec, encoder_options, keeps_alpha, row_formats
from rlfn.jobs.video.color import ColorConverter, stated_color
from rlfn.jobs.video.detection import ANIMATED, CONTAINERS, no_animation
from rlfn.jobs.video.display_matrix import is_upright, swaps_sides, upright_size
from rlfn.jobs.video.encoding import EncodePlan
from rlfn.jobs.video.muxing import TURNING
from rlfn.jobs.video.pixels import PixelFormat, fitting_format, pixel_format
from rlfn.jobs.video.probe import Clip, probe
from rlfn.jobs.video.settings import VideoSettings, for_frames
from rlfn.wording import listing


@dataclass(frozen=True)
class VideoPlan:
    """How one video is enlarged.

    Attributes:
        clip: the source.
        target: the file to write, and ``muxer``, FFmpeg's name of its container.
        settings: what was asked for.
        turned: whether the display matrix is applied to the frames.
        enlarger: makes the images larger.
        size: (width, height) of the result.
        encode: how its frames are encoded.
        warnings: what is lost or changed, as far as that is known.
    """

    clip: Clip
    target: Path
    muxer: str
    settings: VideoSettings
    turned: bool
    enlarger: Enlarger
    size: tuple[int, int]
    encode: EncodePlan
    warnings: list[str] = field(default_factory=list)

    def color_converter(self) -> ColorConverter:
        """Return the conversion of frames to images and back."""
        clip = self.clip
        return ColorConverter(clip.color, clip.format, self.encode.format, (clip.width, clip.height), self.encode.color)


def plan_video(source: Path, target: Path, settings: VideoSettings, pool: UpscalerPool | None = None) -> VideoPlan:
    """Decide how a video is enlarged.

    Raises:
        PictureError, OptionError, OutputError, ModelError, MissingExtraError: it cannot be read, enlarged or written.
    """
    muxer = CONTAINERS.get(target.suffix.lower())
    if muxer is None:
        raise OptionError(
            f"The name {target} does not say a container that can be written. End it with {listing(CONTAINERS)}."
        )
    if target.suffix.lower() in ANIMATED:
        raise OptionError(f"{no_animation(source, target)}.")
    check_path(target)
    clip = probe(source, settings.max_pixels)
    warnings = [f"{what} dropped" for what in clip.lost]
    codec = choose_codec(
        settings.codec, "vp9" if clip.separate_alpha and keeps_alpha("vp9", muxer) else clip.codec, muxer
    )
    if settings.codec is None and codec != clip.codec:
        warnings.append(f"the source's codec, {clip.codec}, is not written to {muxer} files: {codec} instead")
    format, told = _fitting(clip, codec, muxer)
    warnings += told
    turned = muxer not in TURNING and is_upright(clip.matrix)
    before = upright_size(clip) if turned else (clip.width, clip.height)
    enlarger = _suited(for_frames(settings.enlarge, *before), before, format.chroma, pool, warnings)
    size = enlarger.size(*before)
    color, told = stated_color(clip.color, clip.format, format, before, size)
    warnings += told
    encode = EncodePlan(
        codec,
        encoder_options(codec, settings.crf, settings.preset, muxer),
        format,
        *size,
        clip.time_base,
        clip.rate,
        color,
        1 / clip.aspect if clip.aspect and turned and swaps_sides(clip.matrix) else clip.aspect,
        clip.hdr,
        clip.progressive or settings.deinterlace,
        settings.enlarge.threads or default_threads(),
    )
    return VideoPlan(clip, target, muxer, settings, turned, enlarger, size, encode, warnings)


def _fitting(clip: Clip, codec: str, muxer: str) -> tuple[PixelFormat, tuple[str, ...]]:
    """Return the format of the frames to encode, and what is lost with it."""
    names, title = row_formats(codec, clip.format.rgb and codec == clip.codec), codec
    if not keeps_alpha(codec, muxer):
        names = tuple(name for name in names if not pixel_format(name).alpha)
        title = f"{codec} in {muxer} files" if clip.format.alpha else codec
    return fitting_format(clip.format, names, title)


def _suited(
    options: EnlargeOptions,
    before: tuple[int, int],
    chroma: tuple[int, int],
    pool: UpscalerPool | None,
    warnings: list[str],
) -> Enlarger:
    """Return an enlarger whose results have sides that the format of the frames can have."""
    enlarger = Enlarger(options, pool).with_auto_engine(None)
    width, height = enlarger.size(*before)
    across, down = 64 // chroma[0], 64 // chroma[1]
    even = max(across, width // across * across), max(down, height // down * down)
    if even == (width, height):
        return enlarger
    warnings.append(f"the result is {even[0]}x{even[1]}, not {width}x{height}: colour has a lower resolution")
    return Enlarger(replace(enlarger.options, wanted=Wanted(width=even[0], height=even[1])), pool)
