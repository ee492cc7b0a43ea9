"""One video through the pipeline: frames, times, colours, sizes, stretches, damaged files."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from clips import Doubled, av, frames_of, moving, packets_of, planes_of, write_clip
from rlfn.errors import OptionError, OutputError, PictureError, StoppedError
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.sizing import Wanted
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.codecs import row_formats
from rlfn.jobs.video.color import ClipColor, ColorConverter
from rlfn.jobs.video.pixels import fitting_format, pixel_format
from rlfn.jobs.video.progress import VideoProgress
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.run import VideoRun
from rlfn.jobs.video.settings import VideoSettings
from rlfn.wording import as_argument, worded

LOSSLESS = VideoSettings(EnlargeOptions(engine=Doubled()))


def enlarged(source: Path, target: Path, settings: VideoSettings = LOSSLESS) -> VideoRun:
    run = VideoRun(source, target, settings)
    run.run()
    assert sorted(path.name for path in target.parent.iterdir() if path.name.startswith(".")) == []
    return run


@pytest.mark.parametrize(
    ("name", "matrix", "range"),
    [
        ("yuv420p", 1, 1),
        ("yuv420p", 5, 2),
        ("yuv422p", 9, 1),
        ("yuv444p", 7, 1),
        ("yuv420p10le", 9, 1),
        ("yuv444p10le", 1, 2),
        ("yuv422p12le", 9, 1),
        ("yuv420p12le", 1, 2),
        ("gray", 2, 2),
        ("gray10le", 2, 1),
    ],
)
def test_colours_come_back_within_a_level(tmp_path: Path, name: str, matrix: int, range: int) -> None:
    planes = moving(name, 66, 50)
    source = write_clip(
        tmp_path / "a.mkv", planes, name=name, stated={"colorspace": matrix, "color_range": range}, times=(0, 40, 80)
    )
    run = enlarged(source, tmp_path / "b.mkv")
    made = frames_of(tmp_path / "b.mkv")
    assert run.size == (132, 100)
    for number, (_, found) in enumerate(made):
        for have, want in zip(found, planes(number), strict=True):
            wide = want.repeat(2, axis=0).repeat(2, axis=1)
            assert np.abs(have.astype(int) - wide).max() <= 1
    assert len(made) == 3
    with av.open(str(tmp_path / "b.mkv")) as container:
        context = container.streams.video[0].codec_context
        assert (context.pix_fmt, context.colorspace, context.color_range) == (name, matrix, range)


@pytest.mark.parametrize(
    ("source", "codec", "target"),
    [
        ("ya16be", "h264", "gray10le"),
        ("grayf32le", "ffv1", "gray16le"),
        ("gbrpf32le", "ffv1", "gbrp16le"),
        ("yuv440p10le", "ffv1", "yuv440p10le"),
    ],
)
def test_formats_that_few_files_have(source: str, codec: str, target: str) -> None:
    want = np.full((24, 32), 0.7 * 65535, np.uint16)
    frame = av.VideoFrame.from_ndarray(want, "gray16le").reformat(format=source, src_color_range=2, dst_color_range=2)
    before, (after, _) = pixel_format(source), fitting_format(pixel_format(source), row_formats(codec, False), codec)
    assert after.name == target
    converter = ColorConverter(ClipColor(range=2), before, after, (32, 24))
    made = converter.frame(converter.image(frame).repeat(2, axis=0).repeat(2, axis=1))
    assert (made.format.name, made.width, made.height) == (target, 64, 48)
    for plane, level in zip(planes_of(made), [0.7] * 3 if after.rgb else [0.7, 0.5, 0.5], strict=False):
        assert np.abs(plane / ((1 << after.bits) - 1) - level).max() < 1 / 255


@pytest.mark.parametrize("siting", ["left", "topleft", "center"])
def test_chroma_stays_where_it_lies(tmp_path: Path, siting: str) -> None:
    height, width = 48, 64

    def planes(number: int) -> list[Any]:
        ramp = np.linspace(100, 156, width // 2).round()[None].repeat(height // 2, axis=0)
        return [np.full((height, width), 128, np.uint8), ramp.astype(np.uint8), ramp.astype(np.uint8)]

    source = write_clip(
        tmp_path / "a.mkv", planes, options={"chroma_sample_location": siting}, stated={"colorspace": 1}, times=(0,)
    )
    assert enlarged(source, tmp_path / "b.mkv").clip.color.siting == siting
    found = frames_of(tmp_path / "b.mkv")[0][1]
    assert np.abs(found[1][:, 4:-4].mean(axis=0) - np.linspace(100, 156, width // 2).repeat(2)[4:-4]).max() <= 1.5


@pytest.mark.parametrize(
    ("size", "wanted", "result"),
    [
        ((65, 49), Wanted(), (130, 98)),
        ((64, 48), Wanted(scale=1.5), (96, 72)),
        ((66, 50), Wanted(width=99), (98, 74)),
        ((64, 48), Wanted(height=77), (102, 76)),
    ],
)
def test_sizes(tmp_path: Path, size: tuple[int, int], wanted: Wanted, result: tuple[int, int]) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", *size), times=(0, 40))
    settings = replace(LOSSLESS, enlarge=EnlargeOptions(wanted, engine=Doubled()))
    run = enlarged(source, tmp_path / "b.mkv", settings)
    assert run.size == result
    assert frames_of(tmp_path / "b.mkv")[0][1][0].shape == result[::-1]
    odd = any(side % 2 for side in EnlargeOptions(wanted).wanted.size(*size, 2))
    assert any("colour has a lower resolution" in text for text in run.warnings) == odd


def test_one_frame(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", moving("yuv420p", 64, 48), codec="libx264", times=(0,))
    enlarged(source, tmp_path / "b.mp4")
    assert len(frames_of(tmp_path / "b.mp4")) == 1


def test_a_stretch(tmp_path: Path) -> None:
    planes = moving("yuv420p", 64, 48)
    source = write_clip(tmp_path / "a.mkv", planes, times=range(0, 400, 40))
    enlarged(source, tmp_path / "b.mkv", replace(LOSSLESS, start=0.1, duration=0.16))
    found = frames_of(tmp_path / "b.mkv")
    assert [time for time, _ in found] == [Fraction(number * 40, 1000) for number in range(4)]
    for number, (_, made) in enumerate(found, 3):
        assert np.abs(made[0].astype(int) - planes(number)[0].repeat(2, axis=0).repeat(2, axis=1)).max() <= 1
    with pytest.raises(PictureError, match="no frames in the requested"):
        enlarged(source, tmp_path / "c.mkv", replace(LOSSLESS, start=5.0))


def test_still_frames_take_no_inference_and_unchanged_tiles_neither(tmp_path: Path) -> None:
    noise = moving("yuv420p", 256, 256)(0)

    def planes(number: int) -> list[Any]:
        luma = noise[0].copy()
        luma[:8, :8] = 80 + 40 * (number // 2)  # every second frame is the one before
        return [luma, *noise[1:]]

    source = write_clip(tmp_path / "a.mkv", planes, times=range(0, 240, 40))
    engine = Doubled()
    options = EnlargeOptions(engine=engine, tile=96)
    run = enlarged(source, tmp_path / "b.mkv", replace(LOSSLESS, enlarge=options))
    assert run.facts["repeated"] == 3
    assert (run.facts["computed_tiles"], run.facts["reused_tiles"]) == (16 + 2, 2 * 15)
    for number, (_, found) in enumerate(frames_of(tmp_path / "b.mkv")):
        assert np.abs(found[0].astype(int) - planes(number)[0].repeat(2, axis=0).repeat(2, axis=1)).max() <= 1


def test_a_palette_belongs_to_what_a_frame_shows(tmp_path: Path) -> None:
    source = tmp_path / "a.avi"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("zmbv", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "pal8"
        for number, tone in enumerate((40, 40, 90)):
            frame = av.VideoFrame(64, 48, "pal8")
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.planes[1].update(bytes((tone, 120, 200, 255)) * 256)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    run = enlarged(source, tmp_path / "b.mkv")
    assert run.facts["repeated"] == 1
    with av.open(str(tmp_path / "b.mkv")) as container:
        found = np.array([frame.to_ndarray(format="rgb24")[10, 10] for frame in container.decode(video=0)])
    assert np.abs(found - np.array([(200, 120, 40), (200, 120, 40), (200, 120, 90)])).max() <= 1


@pytest.mark.parametrize("name", ["monob", "monow"])
def test_one_bit_a_pixel(tmp_path: Path, name: str) -> None:
    source = tmp_path / "a.nut"
    picture = np.zeros((48, 64), np.uint8)
    picture[8:24, 16:48] = 255
    with av.open(str(source), "w") as container:
        stream = container.add_stream("rawvideo", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, name
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "gray").reformat(format=name)))
        container.mux(stream.encode(None))
    enlarged(source, tmp_path / "b.mkv", replace(LOSSLESS, codec="ffv1"))
    with av.open(str(tmp_path / "b.mkv")) as container:
        found = next(container.decode(video=0)).to_ndarray(format="gray")
    assert np.abs(found.astype(int) - picture.repeat(2, axis=0).repeat(2, axis=1)).max() <= 2


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "a.mkv", moving("yuv420p", 64, 48), times=(0, 40)).rename(tmp_path / "12:30.mkv")
    Path("x:y").mkdir()
    enlarged(Path("12:30.mkv"), Path("x:y/b:c.mkv"))
    assert len(frames_of(tmp_path / "x:y" / "b:c.mkv")) == 2


def damaged_clip(path: Path) -> Path:
    source = write_clip(
        path,
        moving("yuv420p", 64, 48),
        codec="libx264",
        times=range(0, 2000, 40),
        options={"g": "10", "bf": "0"},
    )
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    source.write_bytes(data)
    return source


def test_a_damaged_video_is_enlarged_as_far_as_it_goes(tmp_path: Path) -> None:
    run = enlarged(damaged_clip(tmp_path / "a.mkv"), tmp_path / "b.mkv")
    assert any("damaged" in text for text in run.warnings)
    assert 20 <= len(frames_of(tmp_path / "b.mkv")) <= 50


def exported(source: Path, folder: Path, settings: VideoSettings) -> VideoRecord:
    record = VideoRecord(str(source), str(folder), "failed")
    return upscale_one(source, folder, settings, UpscalerPool(), None, None, record)


def test_exported_frames_of_a_damaged_video_come_with_a_warning(tmp_path: Path) -> None:
    source = damaged_clip(tmp_path / "a.mkv")
    record = exported(source, tmp_path / "frames", replace(LOSSLESS, frames_format="png"))
    told = [text for text in record.warnings if "damaged" in text]
    assert len(told) == 1
    assert told[0] in enlarged(source, tmp_path / "b.mkv").warnings
    assert record.frames == len(list((tmp_path / "frames").iterdir()))


def test_frames_that_are_too_large_are_not_exported(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 64, 48), times=(0,))
    with pytest.raises(PictureError, match=r"the limit is 100\. Raise max_pixels if you trust the file"):
        exported(source, tmp_path / "frames", replace(LOSSLESS, frames_format="png", max_pixels=100))


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    sound = tmp_path / "sound.mkv"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(PictureError, match=r"has no video stream\. It holds: audio"):
        VideoRun(sound, tmp_path / "b.mkv", LOSSLESS)
    (tmp_path / "c.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    with pytest.raises(PictureError, match="damaged"):
        VideoRun(tmp_path / "c.mp4", tmp_path / "b.mkv", LOSSLESS)
    with pytest.raises(PictureError, match="There is no file"):
        VideoRun(tmp_path / "none.mp4", tmp_path / "b.mkv", LOSSLESS)


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 64, 48), times=(0, 40))
    with pytest.raises(OptionError, match="Did you mean 'h264'"):
        VideoSettings(codec="h265x264")
    with pytest.raises(OptionError, match=r"Allowed: 0 \(best\) to 51"):
        VideoSettings(codec="h264", crf=99)
    with pytest.raises(OptionError, match="There is no preset 'fastest'"):
        VideoSettings(preset="fastest")
    with pytest.raises(OptionError, match="more than 0 seconds"):
        VideoSettings(duration=0)
    for value in (float("inf"), float("nan")):
        with pytest.raises(OptionError, match="0 or more seconds"):
            VideoSettings(start=value)
        with pytest.raises(OptionError, match="more than 0 seconds"):
            VideoSettings(duration=value)
    with pytest.raises(OptionError, match="cannot hold ProRes"):
        VideoRun(source, tmp_path / "b.mp4", replace(LOSSLESS, codec="prores"))
    with pytest.raises(OptionError, match="does not say a container"):
        VideoRun(source, tmp_path / "b.xyz", LOSSLESS)
    with pytest.raises(PictureError, match="the limit is 100"):
        VideoRun(source, tmp_path / "b.mkv", replace(LOSSLESS, max_pixels=100))


def test_fields_are_refused_or_joined(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.mkv",
        moving("yuv420p", 64, 48),
        codec="libx264",
        options={"x264-params": "tff=1:fake-interlaced=0:interlaced=1", "bf": "0"},
        times=range(0, 400, 40),
    )
    with pytest.raises(PictureError, match="interlaced"):
        enlarged(source, tmp_path / "b.mkv")
    enlarged(source, tmp_path / "b.mkv", replace(LOSSLESS, deinterlace=True))
    assert [time for time, _ in frames_of(tmp_path / "b.mkv")] == [time for time, _ in frames_of(source)]


def test_frames_that_exist_are_left_and_counted(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 64, 48), times=range(0, 160, 40))
    settings, folder = replace(LOSSLESS, frames_format="png"), tmp_path / "frames"

    assert exported(source, folder, settings).warnings == ()
    names = [f"{number:06}.png" for number in range(1, 5)]
    whole = [(folder / name).read_bytes() for name in names]
    (folder / names[0]).write_bytes(b"of another video")
    (folder / names[2]).unlink()
    record = exported(source, folder, settings)
    told = "3 existing frames were kept: overwrite replaces them"
    assert [worded(text, as_argument) for text in record.warnings] == [told]
    assert record.frames == 4
    assert [(folder / name).read_bytes() for name in names] == [b"of another video", *whole[1:]]
    assert exported(source, folder, replace(settings, overwrite=True)).warnings == ()
    assert [(folder / name).read_bytes() for name in names] == whole


@pytest.mark.parametrize("name", ["b.mkv", "frames"])
@pytest.mark.parametrize(("start", "duration", "count"), [(None, None, 10), (0.2, None, 5), (0.08, 0.2, 5)])
def test_progress_counts_the_frames_of_the_time_range(
    tmp_path: Path, name: str, start: float | None, duration: float | None, count: int
) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 64, 48), times=range(0, 400, 40))
    settings = replace(LOSSLESS, start=start, duration=duration, frames_format="png" if name == "frames" else None)
    seen: list[VideoProgress] = []
    target = tmp_path / name
    upscale_one(source, target, settings, UpscalerPool(), seen.append, None, VideoRecord("", "", "failed"))
    assert [(one.frames, one.total) for one in seen] == [(number, count) for number in range(1, count + 1)]
    assert all(one.rate > 0 and one.seconds_left is not None for one in seen)
    assert seen[-1].seconds_left == 0


def test_cancelling_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.jobs.video.run.segment_frames", lambda model, pixels: 5)
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 64, 48), times=range(0, 1200, 40))
    cancel, seen = Event(), []

    def watch(progress: Any) -> None:
        seen.append(progress)
        if progress.frames == 18:
            cancel.set()

    with pytest.raises(StoppedError):
        VideoRun(source, tmp_path / "b.mkv", LOSSLESS).run(watch, cancel)
    assert not (tmp_path / "b.mkv").exists()
    assert [(one.frames, one.total) for one in seen] == [(number, 30) for number in range(1, 19)]
    again: list[int] = []
    VideoRun(source, tmp_path / "b.mkv", LOSSLESS).run(lambda progress: again.append(progress.frames))
    assert again[0] > 5
    assert again[-1] == 30
    enlarged(source, tmp_path / "whole.mkv")
    assert packets_of(tmp_path / "b.mkv", "video") == packets_of(tmp_path / "whole.mkv", "video")


def test_an_encoder_s_refusal_is_a_sentence(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 64, 48), times=(0,))
    settings = replace(LOSSLESS, codec="hevc", enlarge=EnlargeOptions(Wanted(width=2, height=2), engine=Doubled()))
    with pytest.raises(OutputError, match="Choose another size or another codec"):
        enlarged(source, tmp_path / "b.mkv", settings)
