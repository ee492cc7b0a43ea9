"""Transparency beside the frames of WebM: kept from end to end, and told where it is not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from clips import Doubled, av, frames_of, moving, planes_of, write_clip
from rlfn.images.files import read_picture
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.frames import FrameSource
from rlfn.jobs.video.probe import probe
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.run import VideoRun
from rlfn.jobs.video.settings import TimeRange, VideoSettings
from rlfn.jobs.video.webm_alpha import AlphaJoiner, add, addition

SETTINGS = VideoSettings(EnlargeOptions(engine=Doubled()))
QUICK = {"cpu-used": "8", "deadline": "realtime"}
DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
TIMES = tuple(40 * number + number % 3 for number in range(12))


def wave(number: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """Return an alpha channel that moves, from transparent to opaque."""
    rows, columns = np.mgrid[:height, :width]
    found = 128 + 150 * np.sin((columns + 4 * number) / 9) * np.cos((rows - 2 * number) / 11)
    return np.clip(found, 0, 255).astype(np.uint8)


def transparent(number: int) -> list[NDArray[Any]]:
    rows, columns = np.mgrid[:48, :64]
    luma = 125 + 40 * np.sin((columns - 3 * number) / 7) * np.sin(rows / 5)
    return [luma.astype(np.uint8), *moving("yuv420p", 64, 48)(number)[1:], wave(number)]


def web_clip(
    path: Path, codec: str = "vp9", planes: Callable[[int], Any] = transparent, times: Sequence[int] = TIMES
) -> Path:
    options = {**QUICK, "auto-alt-ref": "0", "b": "2M"}
    return write_clip(path, planes, codec=DECODERS[codec], name="yuva420p", times=times, options=options)


def changed(path: Path, target: Path, change: Callable[[int, bytes], bytes], stated: bool = True) -> Path:
    """Write a clip again, with other alpha channels beside its packets."""
    with av.open(str(path)) as source, av.open(str(target), "w") as output:
        stream = source.streams.video[0]
        made = output.add_stream_from_template(stream)
        made.metadata.update({"alpha_mode": "1"} if stated else {})
        made.time_base = stream.time_base
        for number, packet in enumerate(one for one in source.demux(stream) if one.size):
            new = av.Packet(bytes(packet))
            new.stream, new.time_base, new.pts, new.dts = made, packet.time_base, packet.pts, packet.dts
            new.duration, new.is_keyframe = packet.duration, packet.is_keyframe
            if data := change(number, addition(packet)):
                add(new, data)
            output.mux(new)
    return target


def additions(path: Path) -> list[bytes]:
    """Return what lies beside each packet."""
    with av.open(str(path)) as container:
        return [addition(packet) for packet in container.demux(video=0) if packet.size]


def seen(path: Path) -> list[tuple[Fraction, list[NDArray[Any]]]]:
    """Return the times and the planes of a WebM's frames as libvpx decodes them, which knows of alpha channels."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create(DECODERS[stream.codec_context.codec.canonical_name], "r")
        frames = [frame for packet in container.demux(stream) if packet.size for frame in decoder.decode(packet)]
        return [(frame.pts * stream.time_base, planes_of(frame)) for frame in frames]


def says_alpha(path: Path) -> bool:
    with av.open(str(path)) as container:
        return {key.lower(): text for key, text in container.streams.video[0].metadata.items()}.get("alpha_mode") == "1"


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / max(1e-6, np.mean((one.astype(float) - other) ** 2))))


def doubled(plane: NDArray[Any]) -> NDArray[Any]:
    return plane.repeat(2, axis=0).repeat(2, axis=1)


def enlarged(source: Path, target: Path, settings: VideoSettings = SETTINGS) -> VideoRun:
    run = VideoRun(source, target, settings)
    run.run()
    return run


@pytest.mark.parametrize("suffix", [".webm", ".mkv"])
@pytest.mark.parametrize("codec", DECODERS)
def test_alpha_is_kept(tmp_path: Path, codec: str, suffix: str) -> None:
    source = web_clip(tmp_path / "a.webm", codec)
    run = enlarged(source, tmp_path / f"b{suffix}")
    told = [f"the source's codec, vp8, is not written to {run.plan.muxer} files: vp9 instead"] * (codec == "vp8")
    assert run.warnings == told
    before, after = seen(source), seen(tmp_path / f"b{suffix}")
    assert says_alpha(tmp_path / f"b{suffix}")
    assert [time for time, _ in after] == [time for time, _ in before] == [Fraction(time, 1000) for time in TIMES]
    for (_, small), (_, large) in zip(before, after, strict=True):
        assert psnr(large[3], doubled(small[3])) > 32
        assert psnr(large[0], doubled(small[0])) > 32
    assert all(additions(tmp_path / f"b{suffix}"))


@pytest.mark.parametrize("codec", DECODERS)
def test_frames_are_read_as_libvpx_reads_them(tmp_path: Path, codec: str) -> None:
    source = web_clip(tmp_path / "a.webm", codec)
    found, want = list(FrameSource(probe(source), TimeRange(), False)), seen(source)
    assert [timed.pts for timed in found] == list(TIMES)
    for timed, (_, planes) in zip(found, want, strict=True):
        assert timed.frame.format.name == "yuva420p"
        assert all(np.array_equal(have, plane) for have, plane in zip(planes_of(timed.frame), planes, strict=True))


def test_a_lossless_codec_takes_it_over(tmp_path: Path) -> None:
    source = web_clip(tmp_path / "a.webm")
    enlarged(source, tmp_path / "b.mkv", replace(SETTINGS, codec="ffv1"))
    found = [planes[3] for _, planes in frames_of(tmp_path / "b.mkv")]
    assert len(found) == len(TIMES)
    for have, (_, want) in zip(found, seen(source), strict=True):
        assert np.abs(have.astype(int) - doubled(want[3])).max() <= 1


@pytest.mark.parametrize(
    ("target", "codec", "told"),
    [
        ("b.mp4", None, "vp9 in mp4 files holds no transparency: written as yuv420p, the source is yuva420p"),
        ("b.mkv", "h264", "h264 holds no transparency: written as yuv420p, the source is yuva420p"),
        ("b.webm", "av1", "av1 holds no transparency: written as yuv420p, the source is yuva420p"),
    ],
)
def test_what_cannot_hold_it_is_named(tmp_path: Path, target: str, codec: str | None, told: str) -> None:
    run = enlarged(web_clip(tmp_path / "a.webm", times=(0, 40)), tmp_path / target, replace(SETTINGS, codec=codec))
    assert run.warnings == [told]
    assert not says_alpha(tmp_path / target)


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_a_flag_alone_is_no_transparency(tmp_path: Path, suffix: str) -> None:
    source = changed(web_clip(tmp_path / "a.webm"), tmp_path / "b.webm", lambda number, data: b"")
    assert says_alpha(source)
    run = enlarged(source, tmp_path / f"c{suffix}", replace(SETTINGS, codec="vp9"))
    assert (run.warnings, run.clip.format.name) == ([], "yuv420p")
    assert not says_alpha(tmp_path / f"c{suffix}")


def test_alpha_that_the_container_does_not_state_is_named(tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "p.webm", moving("yuv420p", 64, 48), codec="libvpx-vp9", times=TIMES, options=QUICK)
    data = additions(web_clip(tmp_path / "a.webm"))
    source = changed(plain, tmp_path / "b.webm", lambda number, _: data[number], stated=False)
    assert not says_alpha(source)
    assert enlarged(source, tmp_path / "c.webm").warnings == ["transparency dropped"]


def test_frames_without_it_are_opaque(tmp_path: Path) -> None:
    kept = [number for number in range(len(TIMES)) if number % 4 != 3]
    donor = web_clip(tmp_path / "d.webm", planes=lambda number: transparent(kept[number]), times=TIMES[: len(kept)])
    data = dict(zip(kept, additions(donor), strict=True))
    source = changed(web_clip(tmp_path / "a.webm"), tmp_path / "b.webm", lambda number, _: data.get(number, b""))
    assert len(seen(source)) == len(kept)  # FFmpeg's libvpx leaves the others out
    run = enlarged(source, tmp_path / "c.webm")
    assert run.warnings == ["3 frames lack the alpha channel that other frames have: they are opaque"]
    found = seen(tmp_path / "c.webm")
    assert [time for time, _ in found] == [Fraction(time, 1000) for time in TIMES]
    for number, (_, planes) in enumerate(found):
        assert psnr(planes[3], doubled(wave(number)) if number in kept else np.full((96, 128), 255)) > 28


def test_the_first_frames_may_lack_it(tmp_path: Path) -> None:
    clip = web_clip(tmp_path / "a.webm")
    data = additions(clip)
    source = changed(clip, tmp_path / "b.webm", lambda number, _: data[number - 4] if number >= 4 else b"")
    run = enlarged(source, tmp_path / "c.webm")
    assert run.warnings == ["4 frames lack the alpha channel that other frames have: they are opaque"]
    assert psnr(seen(tmp_path / "c.webm")[-1][1][3], doubled(wave(len(TIMES) - 5))) > 28


def damaged_clip(folder: Path) -> Path:
    """Write a clip of which the sixth packet's alpha channel cannot be decoded."""
    return changed(
        web_clip(folder / "a.webm"),
        folder / "b.webm",
        lambda number, data: data if number != 5 else data[:8] + b"\xff" * 20,
    )


def test_damaged_alpha_costs_no_frame(tmp_path: Path) -> None:
    source = damaged_clip(tmp_path)
    run = enlarged(source, tmp_path / "c.webm")
    assert run.warnings == ["1 damaged packets or frames: what could not be decoded is missing"]
    found = seen(tmp_path / "c.webm")
    assert len(found) == len(TIMES)
    assert psnr(found[5][1][3], doubled(wave(4))) > 28


def test_what_two_packets_carry_does_not_go_with_the_first(tmp_path: Path) -> None:
    source = damaged_clip(tmp_path)
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        joiner = AlphaJoiner(stream)
        packets = [packet for packet in container.demux(stream) if packet.size][:6]
        assert [joiner.look(packet) for packet in packets] == [True] * 5 + [False]
        del packets[:5]
        assert packets[0].opaque is not None


def test_a_stretch_of_it(tmp_path: Path) -> None:
    source = web_clip(tmp_path / "a.webm")
    enlarged(source, tmp_path / "b.webm", replace(SETTINGS, start=0.15, duration=0.2))
    found = seen(tmp_path / "b.webm")
    first = next(number for number, time in enumerate(TIMES) if time >= 150)
    assert [time for time, _ in found] == [Fraction(time - TIMES[first], 1000) for time in TIMES[first : first + 5]]
    for number, (_, planes) in enumerate(found, first):
        assert psnr(planes[3], doubled(wave(number))) > 28


def test_frames_that_differ_in_alpha_alone_are_no_repeats(tmp_path: Path) -> None:
    def planes(number: int) -> list[NDArray[Any]]:
        return [*transparent(0)[:3], wave(0 if number < 4 else 9)]

    source = write_clip(
        tmp_path / "a.mkv", planes, name="yuva420p", times=TIMES[:8]
    )  # lossless, so that frames are the same
    run = enlarged(source, tmp_path / "b.webm", replace(SETTINGS, codec="vp9"))
    assert run.facts["repeated"] == 6
    found = seen(tmp_path / "b.webm")
    assert all(psnr(one[3], doubled(wave(0 if number < 4 else 9))) > 28 for number, (_, one) in enumerate(found))


def test_a_rerun_makes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Doubled):
        left = 14  # colour and alpha are two tiles

        def __call__(self, lr: Any, grid: object = None) -> Any:
            self.left -= 1
            if self.left < 0:
                raise MemoryError
            return super().__call__(lr, grid)

    def everything(path: Path) -> list[tuple[int, bytes, bytes]]:
        with av.open(str(path)) as container:
            return [(one.pts, bytes(one), addition(one)) for one in container.demux(video=0) if one.size]

    monkeypatch.setattr("rlfn.jobs.video.run.segment_frames", lambda model, pixels: 3)
    source = web_clip(tmp_path / "a.webm")
    enlarged(source, tmp_path / "whole.webm")
    with pytest.raises(MemoryError):
        enlarged(source, tmp_path / "b.webm", replace(SETTINGS, enlarge=EnlargeOptions(engine=Broken())))
    counted: list[int] = []
    run = VideoRun(source, tmp_path / "b.webm", SETTINGS)
    run.run(lambda progress: counted.append(progress.frames))
    assert 0 < len(counted) < len(TIMES)
    assert everything(tmp_path / "b.webm") == everything(tmp_path / "whole.webm")
    assert all(data for _, _, data in everything(tmp_path / "b.webm"))
    for number, (_, planes) in enumerate(seen(tmp_path / "b.webm")):
        assert psnr(planes[3], doubled(wave(number))) > 28


def test_pictures_of_it(tmp_path: Path) -> None:
    source, record = web_clip(tmp_path / "a.webm", times=TIMES[:3]), VideoRecord("a", "b", "failed")

    def written(format: str) -> VideoRecord:
        settings = replace(SETTINGS, frames_format=format)
        return upscale_one(source, tmp_path / format, settings, UpscalerPool(), None, None, record)

    assert written("png").warnings == ()
    for number, (_, planes) in enumerate(seen(source), 1):
        pixels = read_picture(tmp_path / "png" / f"{number:06}.png").pixels
        assert pixels.shape == (96, 128, 4)
        assert np.array_equal(pixels[:, :, 3], doubled(planes[3]))
    assert written("jpg").warnings == ("transparency flattened over white: JPEG has none",)


def test_other_sources_of_transparency_become_it(tmp_path: Path) -> None:
    """What FFmpeg lists for VP9 and its encoder refuses is not chosen."""
    source = write_clip(
        tmp_path / "a.mkv",
        lambda number: [*moving("yuv444p", 64, 48)(number), wave(number)],
        name="yuva444p",
        times=TIMES[:4],
    )
    run = enlarged(source, tmp_path / "b.webm", replace(SETTINGS, codec="vp9"))
    assert run.warnings == [
        "vp9 holds no colour at that resolution: written as yuva420p, the source is yuva444p",
    ]
    assert says_alpha(tmp_path / "b.webm")
    assert all(psnr(one[3], doubled(wave(number))) > 28 for number, (_, one) in enumerate(seen(tmp_path / "b.webm")))


@pytest.mark.heavy
@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg (Debian: ffmpeg)")
@pytest.mark.parametrize("restore", ["auto", 0.5])
def test_ffmpeg_sees_it_frame_by_frame(tmp_path: Path, restore: float | str) -> None:
    """FFmpeg's own libvpx, beside bicubic enlargement of what it sees in the source."""

    def alphas(path: Path, filters: str) -> NDArray[np.uint8]:
        command = ["ffmpeg", "-v", "error", "-c:v", "libvpx-vp9", "-i", str(path), "-vf", f"alphaextract{filters}"]
        raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True, check=True)
        return np.frombuffer(raw.stdout, np.uint8).reshape(-1, 96, 128)

    source = web_clip(tmp_path / "a.webm")
    run = enlarged(source, tmp_path / "b.webm", VideoSettings(EnlargeOptions(restore=restore)))
    assert run.warnings == []
    want, have = (
        alphas(source, ",scale=128:96:flags=bicubic:in_range=full:out_range=full"),
        alphas(tmp_path / "b.webm", ""),
    )
    assert len(want) == len(have) == len(TIMES)
    worst = min(psnr(one, other) for one, other in zip(want, have, strict=True))
    print(f"restore {restore}: the worst frame's alpha has {worst:.1f} dB against bicubic")
    assert worst > 40
    assert [frame.pts for frame in _packets(tmp_path / "b.webm")] == [frame.pts for frame in _packets(source)]
    assert probe(tmp_path / "b.webm").separate_alpha


def _packets(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]
