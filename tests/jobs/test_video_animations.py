"""Animations in and out: GIF, WebP and animated PNG, with their delays, loops and transparency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from clips import Doubled, av, frames_of
from rlfn.errors import OptionError, PictureError
from rlfn.images.apng import write_apng
from rlfn.images.picture import Metadata, Text
from rlfn.images.stated import StatedColor
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.video.animations import open_any
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.detection import is_animation, is_video
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings
from rlfn.wording import as_argument, worded

SETTINGS = VideoSettings(EnlargeOptions(engine=Doubled()))
DELAYS = (50, 70, 100, 30)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def tones(transparent: bool) -> list[NDArray[np.uint8]]:
    """Return frames of flat squares."""
    frames = []
    for number in range(4):
        frame = np.zeros((24, 32, 4), np.uint8)
        frame[:, :, :3] = (40 + 50 * number, 200 - 40 * number, 90)
        frame[8:16, 8:16, :3] = 255
        frame[:, :, 3] = 255
        if transparent:
            frame[:6, :, 3] = 0
        frames.append(frame)
    return frames


def animation(path: Path, transparent: bool = False) -> Path:
    tall = np.concatenate(tones(transparent))
    image = pyvips.Image.new_from_memory(tall.tobytes(), 32, len(tall), 4, "uchar").copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "page-height", 24)
    image.set_type(pyvips.GValue.array_int_type, "delay", list(DELAYS))
    image.set_type(pyvips.GValue.gint_type, "loop", 3)
    image.write_to_file(str(path), **({"lossless": True} if path.suffix == ".webp" else {"dither": 0}))
    return path


def enlarged(source: Path, target: Path, settings: VideoSettings = SETTINGS) -> VideoRecord:
    return upscale_one(source, target, settings, UpscalerPool(), None, None, VideoRecord("", "", "failed"))


def by_pillow(path: Path, delays: Sequence[int], icc: bytes | None = None, mode: str = "RGB") -> Path:
    """Write four frames with Pillow, which states delays and profiles as they are given."""
    frames = [Image.fromarray(frame).convert(mode) for frame in tones(False)]
    more = {"lossless": True} if path.suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=delays, icc_profile=icc, loop=3, **more)
    return path


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("after", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("before", [".gif", ".webp"])
def test_an_animation_stays_one(tmp_path: Path, before: str, after: str, transparent: bool) -> None:
    source = animation(tmp_path / f"a{before}", transparent)
    assert is_video(source)
    record = enlarged(source, tmp_path / f"b{after}")
    made, _ = open_any(tmp_path / f"b{after}")
    assert (made.width, made.height, made.delays, made.loop) == (64, 48, DELAYS, 3)
    for found, want in zip(made.frames(), tones(transparent), strict=True):
        wide = want.repeat(2, axis=0).repeat(2, axis=1)
        assert found.shape[2] == (4 if transparent else 3)
        seen = wide[:, :, 3] == 255
        if transparent:
            np.testing.assert_array_equal(found[:, :, 3] == 255, seen)
        difference = np.abs(found[:, :, :3].astype(int) - wide[:, :, :3])[seen]
        assert difference.mean() < 4
    assert (record.frames, record.repeated, record.status) == (4, 0, "done")


def test_a_gif_becomes_a_video(tmp_path: Path) -> None:
    enlarged(animation(tmp_path / "a.gif"), tmp_path / "b.mp4")
    times = [time for time, _ in frames_of(tmp_path / "b.mp4")]
    assert [float(time) for time in times] == [0, 0.05, 0.12, 0.22]
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert (container.streams.video[0].codec_context.colorspace, container.streams.video[0].color_range) == (6, 1)
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for have, want in zip(found, tones(False), strict=True):
        assert np.abs(have[4:12, 4:12].astype(int) - want[2, 2, :3]).max() <= 8


def test_an_animated_png(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    with av.open(str(source), "w", format="apng") as container:
        stream = container.add_stream("apng", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "rgba"
        for frame in tones(True):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgba")))
        container.mux(stream.encode(None))
    assert is_video(source)
    enlarged(source, tmp_path / "b.png")
    with av.open(str(tmp_path / "b.png"), format="apng") as container:
        found = [frame.to_ndarray(format="rgba") for frame in container.decode(video=0)]
    assert len(found) == 4
    for have, want in zip(found, tones(True), strict=True):
        wide = want.repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(have[:, :, 3], wide[:, :, 3])
        np.testing.assert_array_equal(have[wide[:, :, 3] == 255], wide[wide[:, :, 3] == 255])


@pytest.mark.parametrize(("suffix", "most"), [(".png", 0), (".webp", 3), (".gif", 3)])
def test_an_animated_png_of_16_bit(tmp_path: Path, suffix: str, most: int) -> None:
    deep = [frame[:, :, :3].astype(np.uint16) * 256 + 77 for frame in tones(False)]
    write_apng(deep, tmp_path / "a.png", DELAYS, 0, Metadata(color=StatedColor((9, 16))))
    record = enlarged(tmp_path / "a.png", tmp_path / f"b{suffix}")
    made, _ = open_any(tmp_path / f"b{suffix}")
    assert made.bits == (16 if suffix == ".png" else 8)
    for found, want in zip(made.frames(), deep, strict=True):
        wide = want.repeat(2, axis=0).repeat(2, axis=1)
        shown = found if suffix == ".png" else found[2:14, 2:14] * np.float64(257)
        assert np.abs(shown - wide[: len(shown), : len(shown[0])]).max() <= most * 257 + (128 if most else 0)
    reduced = [text for text in record.warnings if text.startswith("16 bit reduced to 8")]
    assert len(reduced) == (suffix != ".png")
    assert (made.metadata.color == StatedColor((9, 16))) == (suffix == ".png")


def test_a_still_picture_is_no_animation(tmp_path: Path) -> None:
    pyvips.Image.black(20, 20).write_to_file(str(tmp_path / "a.gif"))
    assert not is_video(tmp_path / "a.gif")


@pytest.mark.parametrize("frames", [1, 2])
def test_a_gif_is_no_transport_stream(tmp_path: Path, frames: int) -> None:
    path = tmp_path / "a.gif"
    first, *more = (Image.new("P", (8, 8), number) for number in range(frames))
    for image in (first, *more):
        image.putpalette(bytes(range(256)) * 3)
    first.save(path, save_all=True, append_images=more, optimize=False)
    data = bytearray(path.read_bytes())
    assert data[10] & 0x87 == 0x87  # a palette of 256 colours, from byte 13 on
    data[188:753:188] = b"GGGG"
    path.write_bytes(data)
    assert is_video(path) == (frames > 1)
    assert is_animation(path)


def test_a_picture_is_no_transport_stream(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    body = bytearray(0x4711 - 2)
    body[196 - 6] = body[388 - 6] = 0x47  # with the length's first byte, at the places of Blu-ray's packets
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xfe\x47\x11" + body + data[2:])
    assert not is_video(tmp_path / "a.jpg")


def test_a_video_cannot_become_a_gif(tmp_path: Path) -> None:
    from clips import moving, write_clip

    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 64, 48), times=(0, 40))
    for suffix in (".gif", ".webp", ".png"):
        with pytest.raises(OptionError, match="cannot be written as one"):
            enlarged(source, tmp_path / f"b{suffix}")


def test_an_animated_png_behind_a_large_profile(tmp_path: Path) -> None:
    icc = (len(ICC) + 9000).to_bytes(4, "big") + ICC[4:] + np.random.default_rng(0).bytes(9000)
    source = by_pillow(tmp_path / "a.png", DELAYS, icc)
    assert source.read_bytes().index(b"acTL") > 4096
    assert is_video(source)
    record = enlarged(source, tmp_path / "b.png")
    made, _ = open_any(tmp_path / "b.png")
    assert (made.delays, made.loop, made.metadata.icc) == (DELAYS, 3, icc)
    assert record.warnings == ()


@pytest.mark.parametrize("after", [".png", ".webp"])
def test_a_damaged_profile_is_dropped_by_name(tmp_path: Path, after: str) -> None:
    source = by_pillow(tmp_path / "a.webp", DELAYS, b"no profile at all" * 20)
    record = enlarged(source, tmp_path / f"b{after}")
    assert record.warnings == ("colour profile dropped: it is damaged",)
    assert open_any(tmp_path / f"b{after}")[0].metadata.icc is None


@pytest.mark.parametrize("after", [".gif", ".webp", ".png"])
def test_a_stretch_of_an_animation(tmp_path: Path, after: str) -> None:
    source = animation(tmp_path / "a.gif")
    record = enlarged(source, tmp_path / f"b{after}", replace(SETTINGS, start=0.05, duration=0.1, crf=20))
    made, _ = open_any(tmp_path / f"b{after}")
    assert made.delays == DELAYS[1:3]
    for found, want in zip(made.frames(), tones(False)[1:3], strict=True):
        assert np.abs(found[2:14, 2:14, :3].astype(int) - want[2, 2, :3]).mean() < 4
    assert [worded(text, as_argument) for text in record.warnings] == [
        "crf=20 does not apply to an animation and was ignored"
    ]
    with pytest.raises(PictureError, match="no frames in the requested"):
        enlarged(source, tmp_path / f"c{after}", replace(SETTINGS, start=5.0))


def test_short_and_long_delays(tmp_path: Path) -> None:
    delays = (10, 3, 70_000, 250)
    source = by_pillow(tmp_path / "a.webp", delays)
    for target in (tmp_path / "b.webp", tmp_path / "b.png"):
        enlarged(source, target)
        assert open_any(target)[0].delays == delays
    with Image.open(tmp_path / "b.webp") as image:
        image.seek(0)
        image.load()
        assert image.info["duration"] == 10


def test_what_ffmpeg_does_not_decode_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="animated WebP"):
        enlarged(by_pillow(tmp_path / "a.webp", DELAYS), tmp_path / "a.mp4")
    with pytest.raises(PictureError, match="of a kind that FFmpeg does not decode"):
        enlarged(by_pillow(tmp_path / "b.png", DELAYS, mode="1"), tmp_path / "c.png")


@pytest.mark.parametrize("after", [".png", ".mkv"])
def test_frames_that_ffmpeg_does_not_blend_are_refused(tmp_path: Path, after: str) -> None:
    with av.open(str(tmp_path / "a.png"), "w", format="apng") as container:
        stream = container.add_stream("apng", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "rgba64be"
        for level in (40, 90, 140, 190):
            frame = np.full((24, 32, 3), level, np.uint8)
            frame[4:12, 4:12] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="rgba64be")))
        container.mux(stream.encode(None))
    with pytest.raises(PictureError, match="APNG of a kind that FFmpeg does not decode"):
        enlarged(tmp_path / "a.png", tmp_path / f"b{after}")
    assert not (tmp_path / f"b{after}").exists()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_that_are_too_large_are_refused_with_the_limit(tmp_path: Path, suffix: str) -> None:
    source = by_pillow(tmp_path / f"a{suffix}", DELAYS)
    with pytest.raises(PictureError, match=r"the limit is 100\. Raise max_pixels if you trust the file"):
        enlarged(source, tmp_path / f"b{suffix}", replace(SETTINGS, max_pixels=100))


def carrying(path: Path) -> Path:
    """Write an animation with all that Pillow can add to one."""
    exif, texts = Image.Exif(), PngImagePlugin.PngInfo()
    exif[0x010E] = "a title"
    texts.add_text("Author", "somebody")
    more = {
        ".gif": {"comment": b"a comment"},
        ".png": {"exif": exif, "pnginfo": texts, "dpi": (300, 300)},
        ".webp": {"exif": exif, "xmp": XMP, "lossless": True},
    }[path.suffix]
    frames = [Image.fromarray(frame) for frame in tones(False)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, **more)
    return path


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (".gif", ".gif", ["texts"]),
        (".gif", ".webp", []),
        (".png", ".gif", ["EXIF", "resolution", "texts"]),
        (".png", ".png", []),
        (".png", ".webp", []),
        (".webp", ".png", []),
        (".webp", ".webp", []),
    ],
)
def test_an_animation_keeps_what_a_picture_of_its_format_keeps(
    tmp_path: Path, before: str, after: str, lost: list[str]
) -> None:
    record = enlarged(carrying(tmp_path / f"a{before}"), tmp_path / f"b{after}")
    assert list(record.warnings) == [f"{what} dropped: GIF has no place for it" for what in lost]
    kept = open_any(tmp_path / f"b{after}")[0].metadata
    if after != ".gif" and before != ".gif":
        assert exif_of(tmp_path / f"b{after}")[0x010E] == "a title"
    if (before, after) == (".gif", ".webp"):
        assert b"a comment" in (kept.exif or b"")
    if before == ".webp":
        assert kept.xmp == XMP
    if (before, after) == (".png", ".png"):
        assert kept.texts == (Text("Author", "somebody"),)
        assert kept.resolution == pytest.approx((11.81, 11.81), abs=0.01)


@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_what_nothing_is_known_of_is_not_made_up(tmp_path: Path, name: str) -> None:
    assert enlarged(animation(tmp_path / "c.gif"), tmp_path / name).warnings == ()
    assert enlarged(tmp_path / name, tmp_path / "e.png").warnings == ()
    assert open_any(tmp_path / "e.png")[0].metadata == Metadata(size=(128, 96))


def exif_of(path: Path) -> Image.Exif:
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) > 1
        return image.getexif()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_an_animation_comes_out_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "a title"
    frames = [
        Image.fromarray(np.rot90(frame[:, :, :3], number).copy()) for number, frame in enumerate(tones(False)[::2])
    ]
    frames = [frames[0], frames[1].resize(frames[0].size)]
    frames[0].putpixel((3, 5), (255, 0, 0))
    more = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], duration=50, exif=exif, **more)
    record = enlarged(tmp_path / f"a{suffix}", tmp_path / "b.png")
    made, _ = open_any(tmp_path / "b.png")
    with Image.open(tmp_path / f"a{suffix}") as image:
        want = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    first = next(iter(made.frames()))
    assert first.shape[:2] == (2 * want.shape[0], 2 * want.shape[1]) == (made.height, made.width)
    np.testing.assert_array_equal(first, want.repeat(2, axis=0).repeat(2, axis=1))
    assert record.output_size == (made.width, made.height)
    found = exif_of(tmp_path / "b.png")
    assert (found.get(0x0112, 1), found[0x010E]) == (1, "a title")


def test_exif_of_an_animated_png_does_not_stop_a_video(tmp_path: Path) -> None:
    record = enlarged(carrying(tmp_path / "a.png"), tmp_path / "b.mkv")
    assert record.status == "done"
    assert "EXIF dropped" in record.warnings
