"""``rlfn upscale`` on videos: names, folders with pictures, what is printed, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from clips import av, frames_of, moving, write_clip
from rlfn.images.files import Picture, picture_size, read_picture, write_picture
from rlfn.jobs.video.detection import is_video

pytestmark = pytest.mark.usefixtures("nearest")


def clip(name: str, codec: str = "libx264", count: int = 4) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_clip(path, moving("yuv420p", 64, 48), codec=codec, times=range(0, 40 * count, 40))


def files(folder: str = ".") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def size(name: str) -> tuple[int, int]:
    with av.open(name) as container:
        return container.streams.video[0].width, container.streams.video[0].height


@pytest.mark.parametrize(
    ("options", "name", "made"),
    [
        ([], "a_x2.mp4", (128, 96)),
        (["-s", "3"], "a_x3.mp4", (192, 144)),
        (["--width", "100"], "a_w100.mp4", (100, 74)),
        (["-o", "b.mkv", "--codec", "ffv1"], "b.mkv", (128, 96)),
        (["-o", "new/", "--crf", "30", "--preset", "ultrafast"], "new/a_x2.mp4", (128, 96)),
        (["-o", "b.mov", "--keep-suffix", "--tile", "48"], "b.mov", (128, 96)),
        (["-m", "rlfn-s-x4"], "a_x4.mp4", (256, 192)),
    ],
)
def test_sizes_and_names(command, options: list[str], name: str, made: tuple[int, int]) -> None:
    clip("a.mp4")
    done = command("upscale", "a.mp4", *options)
    assert done.status == 0, done.err
    assert files() == sorted(["a.mp4", name])
    assert size(name) == made
    assert done.lines[0].startswith(f"a.mp4 -> {name}  {made[0]}x{made[1]} in ")
    assert "4 frames" in done.lines[0]


def test_a_video_is_known_by_its_content(command) -> None:
    clip("a.mkv").rename("a.dat")
    clip("b.mp4").rename("b.jpg")
    assert is_video("a.dat")
    assert command("upscale", "a.dat", "b.jpg").status == 0
    assert files() == ["a.dat", "a_x2.mkv", "b.jpg", "b_x2.mkv"]


def test_a_folder_of_both_kinds(command) -> None:
    clip("d/1.mp4")
    write_picture(Picture(np.zeros((20, 30, 3), np.uint8)), Path("d/2.png"))
    clip("d/sub/3.webm", "libvpx-vp9")
    Path("d/notes.ts").write_text("no video, but a program")
    done = command("upscale", "d", "-r", "--json")
    assert done.status == 0, done.err
    assert [Path(record["output"]).name for record in done.records] == ["1.mp4", "2.png", "3.webm"]
    assert files("d_x4") == ["1.mp4", "2.png", "sub/3.webm"]
    assert picture_size("d_x4/2.png") == (120, 80)
    again = command("upscale", "d", "-r", "--json")
    assert [record["status"] for record in again.records] == ["skipped"] * 3


def test_a_second_call_leaves_the_first_one_s_result_alone(command) -> None:
    clip("a.mp4")
    assert command("upscale", "*.mp4").status == 0
    done = command("upscale", "*.mp4")
    assert "Left out because they are outputs of other inputs: a_x2.mp4" in done.err
    assert files() == ["a.mp4", "a_x2.mp4"]


def test_a_json_record(command) -> None:
    clip("a.mp4")
    record = command("upscale", "a.mp4", "--json").records[0]
    assert record.pop("seconds") >= record.pop("engine_seconds") > 0
    assert record.pop("frames_per_second") > 0
    assert record == {
        "input": "a.mp4",
        "output": "a_x2.mp4",
        "status": "done",
        "input_size": [64, 48],
        "output_size": [128, 96],
        "model": "rlfn-xxs-photo-x2",
        "engine": "nearest",
        "precision": "fp32",
        "restore": 1.0,
        "restore_reason": "weights for photographs",
        "device": "cpu",
        "warnings": [],
        "error": None,
        "frames": 4,
        "repeated": 0,
        "reused": 0.0,
        "codec": "h264",
        "missing": 0.0,
        "streams": ["video h264: enlarged"],
    }


def test_frames_as_pictures(command) -> None:
    clip("a.mp4", count=3)
    assert command("upscale", "a.mp4", "--to-frames", "f").status == 0
    assert files("f") == ["000001.png", "000002.png", "000003.png"]
    first = read_picture("f/000001.png").pixels
    assert first.shape == (96, 128, 3)
    assert command("upscale", "a.mp4", "--to-frames", "g", "--format", "jpg", "--start", "0.05").status == 0
    assert files("g") == ["000001.jpg"]
    shutil.copy("a.mp4", "b.mp4")
    assert command("upscale", "a.mp4", "b.mp4", "--to-frames", "h").status == 0
    assert len(files("h")) == 6


def test_a_broken_video_does_not_stop_the_rest(command) -> None:
    clip("d/1.mp4")
    Path("d/2.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    clip("d/3.mp4")
    done = command("upscale", "d", "--json")
    assert done.status == 1
    assert [record["status"] for record in done.records] == ["done", "failed", "done"]
    assert "damaged" in done.records[1]["error"]
    assert files("d_x4") == ["1.mp4", "3.mp4"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--codec", "h266"], "There is no video codec 'h266'. Allowed: h264"),
        (["--codec", "h264", "--crf", "70"], "A quality of --crf 70 was asked for"),
        (["--duration", "0"], "Allowed: more than 0 seconds"),
        (["-o", "b.jpg"], "has no suffix of a writable video format"),
        (["-o", "a.mp4"], "Inputs are never overwritten"),
        (["-o", "-"], "a.mp4 is a video, which cannot go through a pipe"),
        (["-o", "b.gif"], "the video a.mp4 cannot be written as one. End the name with .mp4, "),
        (["-o", "b.webp"], "or write the frames as pictures with --to-frames"),
        (["-o", "b.mp4", "--to-frames", "f"], "-o and --to-frames both name where"),
    ],
)
def test_what_is_refused_before_any_work(command, options: list[str], said: str) -> None:
    clip("a.mp4")
    done = command("upscale", "a.mp4", *options)
    assert done.status == 2
    assert said in done.err
    assert files() == ["a.mp4"]


def test_a_video_on_standard_input_is_refused(command) -> None:
    done = command("upscale", "-", "-o", "p.mp4")
    assert (done.status, "standard input takes pictures only" in done.err) == (2, True)


def test_settings_of_codecs_are_left_out_where_frames_become_pictures(command) -> None:
    clip("a.mp4", count=1)
    done = command("upscale", "a.mp4", "--to-frames", "f", "--crf", "30", "--preset", "8", "--codec", "vp9")
    assert (done.status, files("f")) == (0, ["000001.png"])
    for given in ("--crf 30", "--preset 8", "--codec vp9"):
        assert f"{given} does not apply to pictures and was ignored" in done.err


def test_settings_of_videos_for_pictures_alone(command) -> None:
    write_picture(Picture(np.zeros((20, 30, 3), np.uint8)), Path("a.png"))
    done = command("upscale", "a.png", "--crf", "20")
    assert (done.status, done.err.startswith("rlfn: --crf applies to videos")) == (2, True)


def test_without_the_extra(command, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    clip("a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    done = command("upscale", "a.mp4")
    assert done.status == 2
    assert "pip install 'rlfn[video]'" in done.err


def test_interlaced_says_what_to_do(command) -> None:
    write_clip(Path("a.mp4"), moving("yuv420p", 64, 48), codec="libx264", options={"x264-params": "tff=1:interlaced=1"})
    done = command("upscale", "a.mp4")
    assert done.status == 1
    assert "Give --deinterlace, or convert" in done.err
    assert command("upscale", "a.mp4", "--deinterlace").status == 0
    assert len(frames_of(Path("a_x2.mp4"))) == 6
