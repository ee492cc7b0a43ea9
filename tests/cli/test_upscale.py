"""``rlfn upscale`` as a user calls it: names, sizes, streams, folders, what is printed, exit statuses."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rlfn.images.files import Picture, picture_size, read_picture, write_picture
from rlfn.inference.enlarge import Enlarged, Enlarger

POSIX = os.name == "posix"
pytestmark = pytest.mark.usefixtures("nearest")


def make(name: str, width: int = 30, height: int = 20, seed: int = 0) -> bytes:
    """Write a picture of noise in the current folder; return the file's bytes."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    write_picture(Picture(pixels), path)
    return path.read_bytes()


def files(folder: str = ".") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_one_picture(command) -> None:
    make("photo.jpg")
    done = command("upscale", "photo.jpg")
    assert (done.status, done.err) == (0, "")
    assert done.lines[0].startswith("photo.jpg -> photo_x4.png  120x80 in ")
    expected = read_picture("photo.jpg").pixels.repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(read_picture("photo_x4.png").pixels, expected)


@pytest.mark.parametrize(
    ("options", "name", "size"),
    [
        (["-s", "2"], "a_x2.png", (60, 40)),
        (["-m", "rlfn-xs"], "a_x4.png", (120, 80)),
        (["-m", "rlfn-xs", "-s", "3"], "a_x3.png", (90, 60)),
        (["-m", "rlfn-xs", "--width", "100"], "a_w100.png", (100, 67)),
        (["-s", "2.5"], "a_x2.5.png", (75, 50)),
        (["-s", "0.5"], "a_x0.5.png", (15, 10)),
        (["--width", "100"], "a_w100.png", (100, 67)),
        (["--height", "50"], "a_h50.png", (75, 50)),
        (["--width", "120", "--height", "10"], "a_120x10.png", (120, 10)),
        (["--format", "jpg"], "a_x4.jpg", (120, 80)),
        (["--format", "JPEG", "--quality", "20"], "a_x4.jpg", (120, 80)),
        (["--self-ensemble", "--tile", "0"], "a_x4.png", (120, 80)),
        (["--tile", "48"], "a_x4.png", (120, 80)),
        (["-o", "b.webp"], "b.webp", (120, 80)),
        (["-o", "b.xyz", "--format", "tiff"], "b.xyz", (120, 80)),
        (["-o", "new/deep/b.TIF"], "new/deep/b.TIF", (120, 80)),
        (["-o", "new/"], "new/a_x4.png", (120, 80)),
        (["-o", "new"], "new/a_x4.png", (120, 80)),
        (["-o", "b.jpeg", "--format", "jpg"], "b.jpeg", (120, 80)),
    ],
)
def test_sizes_and_names(command, options: list[str], name: str, size: tuple[int, int]) -> None:
    make("a.png")
    done = command("upscale", "a.png", *options)
    assert (done.status, done.err) == (0, "")
    assert files() == sorted(["a.png", name])
    assert picture_size(name) == size


def test_lower_quality_makes_a_smaller_file(command) -> None:
    make("a.png")
    for quality in ("20", "95"):
        assert command("upscale", "a.png", "-o", f"{quality}.jpg", "--quality", quality).status == 0
    assert Path("20.jpg").stat().st_size < Path("95.jpg").stat().st_size / 2


@pytest.mark.parametrize("target", ["-", None, "out.png"])
@pytest.mark.parametrize("source", ["-", "a.png"])
def test_streams(command, source: str, target: str | None) -> None:
    data = make("a.png")
    if source == "a.png" and target is None:
        pytest.skip("no stream")
    done = command("upscale", source, *(["-o", target] if target else []), stdin=data)
    assert done.status == 0
    result = Path("out.png").read_bytes() if target == "out.png" else done.out
    assert picture_size(result) == (120, 80)
    if target != "out.png":  # standard output holds the picture and nothing else
        assert f"{source} -> -  120x80" in done.err
    assert files() == sorted(["a.png"] + (["out.png"] if target == "out.png" else []))


def test_a_stream_in_another_format(command) -> None:
    done = command("upscale", "-", "--format", "jpg", "--json", stdin=make("a.png"))
    assert Image.open(io.BytesIO(done.out)).format == "JPEG"
    assert '"output": "-"' in done.err


def test_a_folder(command) -> None:
    for name in ("d/1.png", "d/2.jpg", "d/sub/3.png", "d/.hidden.png", "d/.cache/4.png"):
        make(name)
    Path("d/notes.txt").write_text("no picture")
    assert command("upscale", "d").status == 0
    assert files("d_x4") == ["1.png", "2.png"]
    assert command("upscale", "d/", "-r", "-s", "2", "--format", "webp").status == 0
    assert files("d_x2") == ["1.webp", "2.webp", "sub/3.webp"]


@pytest.mark.parametrize("place", [".", "d", "d/sub"])
def test_a_folder_named_from_inside(command, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    make("d/sub/1.png")
    name = {".": "d/sub", "d": "sub", "d/sub": "."}[place]
    with monkeypatch.context() as patch:
        patch.chdir(place)
        assert command("upscale", name).status == 0
    assert files("d") == ["sub/1.png", "sub_x4/1.png"]


def test_outputs_inside_the_input_folder_are_never_inputs(command) -> None:
    make("d/1.png")
    make("d/sub/2.png")
    for status in ("done", "skipped"):
        done = command("upscale", "d", "-r", "-o", "d/big", "--json")
        assert [(record["input"], record["status"]) for record in done.records] == [
            (str(Path("d/1.png")), status),
            (str(Path("d/sub/2.png")), status),
        ]
    Path("d/1.png").unlink()  # an old output without its input is no input either
    assert len(command("upscale", "d", "-r", "-o", "d/big", "--json").records) == 1
    assert files("d") == ["big/1.png", "big/sub/2.png", "sub/2.png"]


def test_a_second_call_does_not_upscale_the_first_one_s_results(command) -> None:
    make("a.png")
    make("b.png")
    assert command("upscale", "*.png").status == 0
    done = command("upscale", "*.png")
    assert "0 upscaled, 2 skipped." in done.err
    assert "Left out because they are outputs of other inputs: a_x4.png, b_x4.png" in done.err
    assert files() == ["a.png", "a_x4.png", "b.png", "b_x4.png"]


def test_several_inputs_patterns_and_folders_together(command) -> None:
    for name in ("a.png", "b1.png", "b2.png", "c/1.png", "d/1.png"):
        make(name)
    done = command("upscale", "a.png", "./a.png", "b?.png", "c", "d", "-o", "out", "--json")
    assert [record["output"] for record in done.records] == [
        str(Path("out", name)) for name in ("a_x4.png", "b1_x4.png", "b2_x4.png", "c/1.png", "d/1.png")
    ]
    assert done.err == "5 upscaled.\n"


def test_a_name_with_brackets_is_no_pattern_when_it_exists(command) -> None:
    make("a[1].png")
    make("a1.png", seed=1)
    assert command("upscale", "a[1].png").status == 0
    assert files() == ["a1.png", "a[1].png", "a[1]_x4.png"]


def test_an_existing_output_is_skipped_then_replaced(command) -> None:
    make("a.png")
    Path("a_x4.png").write_bytes(b"what was there")
    done = command("upscale", "a.png")
    assert (done.status, done.out) == (0, b"a_x4.png exists: skipped. Replace it with --overwrite.\n")
    assert Path("a_x4.png").read_bytes() == b"what was there"
    assert command("upscale", "a.png", "--overwrite").status == 0
    assert picture_size("a_x4.png") == (120, 80)


def test_an_interrupted_job_goes_on(command, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        make(f"d/{number}.png", seed=number)
    whole = Enlarger.__call__
    calls: list[int] = []

    def interrupted(self: Enlarger, *arguments: Any) -> Enlarged:
        calls.append(0)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Enlarger, "__call__", interrupted)
        done = command("upscale", "d")
    assert done.status == 130
    assert "run the same command to resume" in done.err
    assert done.err.endswith("rlfn: stopped.\n")
    left = files("d_x4")  # what was not yet being written is given up
    assert left == ["0.png", "1.png", "2.png"][: len(left)]
    assert left
    assert f"{5 - len(left)} upscaled, {len(left)} skipped." in command("upscale", "d").err
    assert files("d_x4") == [f"{number}.png" for number in range(5)]


def test_one_bad_picture_among_many(command) -> None:
    for number in range(4):
        make(f"d/{number}.png", seed=number)
    Path("d/2.png").write_bytes(b"not a picture")
    done = command("upscale", "d", "--json")
    assert done.status == 1
    assert [record["status"] for record in done.records] == ["done", "done", "failed", "done"]
    assert "not a picture" in done.records[2]["error"]
    assert all(record["error"] is None for record in done.records if record["status"] == "done")
    assert "3 upscaled, 1 failed:" in done.err
    assert str(Path("d/2.png")) in done.err.splitlines()[-1]
    assert files("d_x4") == ["0.png", "1.png", "3.png"]


def test_a_json_record(command) -> None:
    make("a.png")
    record = command("upscale", "a.png", "--json", "--quality", "90").records[0]
    assert record.pop("seconds") >= record.pop("engine_seconds") > 0
    assert record == {
        "input": "a.png",
        "output": "a_x4.png",
        "status": "done",
        "input_size": [30, 20],
        "output_size": [120, 80],
        "model": "rlfn-s-x4",
        "engine": "nearest",
        "precision": "fp32",
        "restore": 0.0,
        "restore_reason": "no traces of coding or noise",
        "device": "cpu",
        "warnings": ["quality 90 ignored: PNG keeps every pixel"],
        "error": None,
    }


def test_16_bit_and_metadata_reach_the_output_and_what_is_lost_is_said(command) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (9, 11), dtype=np.uint16)
    Image.fromarray(pixels).save("deep.png", dpi=(300, 300))
    assert command("upscale", "deep.png").err == ""
    back = read_picture("deep_x4.png")
    np.testing.assert_allclose(back.pixels, pixels.repeat(4, axis=0).repeat(4, axis=1), atol=1)
    assert back.metadata.resolution == pytest.approx((11.81, 11.81), abs=0.01)
    done = command("upscale", "deep.png", "--format", "jpg")
    assert (done.status, done.err) == (0, "deep.png: 16 bit reduced to 8: JPEG has no more\n")


@pytest.mark.skipif(not POSIX, reason="names are text elsewhere")
def test_a_name_that_is_no_text(command) -> None:
    name = os.fsdecode(b"\xff.png")
    make(name)
    done = command("upscale", name)
    assert (done.status, done.err) == (0, "")
    assert os.path.exists(b"\xff_x4.png")
