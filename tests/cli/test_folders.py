"""``rlfn upscale`` on folders: names, dates, what is left out, what cannot be read, and what arrives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rlfn.images.files import Picture, picture_size, read_picture, write_picture
from synthetic import synthetic
from waiting import PATIENCE

POSIX = os.name == "posix"


def make(name: str | Path, seed: int = 0) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)), path)


def files(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


@pytest.mark.usefixtures("nearest")
def test_names_that_keep_their_suffixes_live_together(command) -> None:
    make("d/a.jpg")
    make("d/a.png")
    done = command("upscale", "d")
    assert done.status == 2
    assert "--keep-suffix keeps the inputs' suffixes" in done.err
    assert command("upscale", "d", "--keep-suffix").status == 0
    assert files("d_x4") == ["a.jpg.png", "a.png.png"]


@pytest.mark.usefixtures("nearest")
def test_outputs_get_the_dates_of_their_inputs(command) -> None:
    make("a.png")
    os.utime("a.png", (1_000_000_000, 1_000_000_000))
    assert command("upscale", "a.png", "-o", "new.png").status == 0
    assert Path("new.png").stat().st_mtime > 1_500_000_000
    assert command("upscale", "a.png", "-o", "old.png", "--keep-dates").status == 0
    assert Path("old.png").stat().st_mtime == 1_000_000_000


@pytest.mark.usefixtures("nearest")
def test_pictures_of_other_kinds_are_counted_and_named(command) -> None:
    make("d/a.png")
    for name in ("raw.nef", "b.psd", "c.psd", "e.psd", "notes.txt"):
        Path("d", name).write_bytes(b"?")
    done = command("upscale", "d")
    assert done.status == 0
    text = f"format is not supported (4): {Path('d/b.psd')}, {Path('d/c.psd')}, {Path('d/e.psd')}, ..."
    assert text in done.err


@pytest.mark.skipif(not POSIX, reason="permissions work otherwise")
@pytest.mark.usefixtures("nearest")
def test_an_unreadable_sub_folder_is_a_failure_and_stops_nothing(command, monkeypatch: pytest.MonkeyPatch) -> None:
    make("d/a.png")
    make("d/closed/b.png")
    listed = os.scandir

    def scandir(path):  # root may read everything
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    done = command("upscale", "d", "-r", "--json")
    assert done.status == 1
    assert [(record["input"], record["status"]) for record in done.records] == [
        ("d/closed", "failed"),
        ("d/a.png", "done"),
    ]
    assert "1 upscaled, 1 failed:\n  The folder d/closed cannot be read: permission denied." in done.err
    assert files("d_x4") == ["a.png"]


@pytest.mark.skipif(not POSIX, reason="links need rights elsewhere")
@pytest.mark.usefixtures("nearest")
def test_a_link_that_leads_to_nothing_is_a_failure_and_stops_nothing(command) -> None:
    make("d/a.png")
    for name in ("b.png", "notes.txt"):
        os.symlink("gone", Path("d", name))
    done = command("upscale", "d")
    assert done.status == 1
    assert "1 upscaled, 1 failed:\n  The link d/b.png is broken. Remove it or fix it." in done.err


def test_a_seamless_texture_is_continued_by_its_opposite_side(command) -> None:
    ramp = np.tile(np.linspace(0, 255, 32, dtype=np.uint8), (32, 1))
    write_picture(Picture(np.dstack([ramp] * 3)), Path("a.png"))
    for name, options in (("plain.png", ()), ("wrapped.png", ("--wrap",))):
        done = command("upscale", "a.png", "-o", name, "--engine", "onnxruntime", "--precision", "fp32", *options)
        assert done.status == 0
    plain, wrapped = (read_picture(name).pixels[..., 0].astype(int) for name in ("plain.png", "wrapped.png"))
    assert np.abs(plain - wrapped)[:, :4].max() > 1
    assert np.abs(plain - wrapped)[40:80, 48:72].max() <= 1


def test_watch_takes_one_folder(command, nearest) -> None:
    make("a.png")
    make("d/a.png")
    for inputs in (["a.png"], ["d", "a.png"]):
        done = command("upscale", *inputs, "--watch")
        assert done.status == 2
        assert "--watch takes exactly one folder" in done.err
    done = command("upscale", "d", "--watch", "-o", "a.png")
    assert done.status == 2
    assert "a.png is a file" in done.err


def watching(folder: Path, *more: str) -> subprocess.Popen[str]:
    """Start a watch of ``in``, which writes to ``out``, in a folder."""
    pytest.importorskip("watchfiles")
    options = ["upscale", "in", "--watch", *more, "-o", "out", "-m", "rlfn-xs", "-s", "2", "--engine", "onnxruntime"]
    return subprocess.Popen([sys.executable, "-m", "rlfn", *options], cwd=folder, stdout=-1, stderr=-1, text=True)


@pytest.mark.skipif(not POSIX, reason="signals work otherwise")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_watch_goes_on_with_what_arrives_until_it_is_stopped(tmp_path: Path, number: int) -> None:
    make(tmp_path / "in" / "first.png")
    process = watching(tmp_path, "-r")
    try:
        assert process.stdout is not None
        for name in ("first", "deep/second"):
            if name != "first":
                make(tmp_path / "in" / f"{name}.png", seed=1)
            assert process.stdout.readline().startswith(f"in/{name}.png -> out/{name}.png")
            assert picture_size(tmp_path / "out" / f"{name}.png") == (60, 40)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert out == ""
    assert err.splitlines() == ["Watching in. Stop with Ctrl-C."] + ["rlfn: stopped."] * (number == signal.SIGINT)


@pytest.mark.skipif(not POSIX, reason="signals work otherwise")
def test_watch_replaces_the_result_of_a_picture_that_was_still_arriving(tmp_path: Path) -> None:
    write_picture(Picture(synthetic(160, 120)), tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    make(tmp_path / "out" / "known.png")
    make(tmp_path / "in" / "known.png")
    source = tmp_path / "in" / "camera.jpg"
    source.write_bytes(data[: len(data) * 95 // 100])
    process = watching(tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("in/camera.jpg -> out/camera.png")
        assert process.stdout.readline().startswith("out/known.png exists: skipped")
        with source.open("ab") as stream:
            stream.write(data[len(data) * 95 // 100 :])
        make(tmp_path / "in" / "known.png", seed=1)
        lines = sorted(process.stdout.readline() for _ in range(2))
        assert lines[0].startswith("in/camera.jpg -> out/camera.png")
        assert lines[1].startswith("out/known.png exists: skipped")
        (tmp_path / "in" / "whole.jpg").write_bytes(data)
        assert process.stdout.readline().startswith("in/whole.jpg -> out/whole.png")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert told.count("cut short: ") == 1
    assert (tmp_path / "out" / "camera.png").read_bytes() == (tmp_path / "out" / "whole.png").read_bytes()


@pytest.mark.skipif(not POSIX, reason="signals work otherwise")
def test_watch_goes_on_beside_a_conflict_and_retries_when_it_is_over(tmp_path: Path) -> None:
    make(tmp_path / "in" / "a.png")
    process = watching(tmp_path)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("in/a.png -> ")
        assert process.stderr.readline() == "Watching in. Stop with Ctrl-C.\n"
        make(tmp_path / "in" / "a.jpg")
        assert "in/a.jpg and in/a.png (out/a.png)" in process.stderr.readline()
        for name in ("b", "c"):
            make(tmp_path / "in" / f"{name}.png")
            assert process.stdout.readline().startswith(f"in/{name}.png -> ")
        (tmp_path / "in" / "a.png").unlink()
        assert process.stdout.readline().startswith("out/a.png exists: skipped")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == ("", "rlfn: stopped.\n")
    finally:
        process.kill()
    assert process.returncode == 130


@pytest.mark.skipif(not POSIX, reason="a folder that is watched cannot be removed elsewhere")
@pytest.mark.parametrize("way", ["removed", "removed and made again", "renamed", "renamed and made again"])
def test_watch_ends_when_its_folder_is_gone(tmp_path: Path, way: str) -> None:
    make(tmp_path / "in" / "a.png")
    process = watching(tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("in/a.png -> ")
        if way.startswith("removed"):
            shutil.rmtree(tmp_path / "in")
        else:
            (tmp_path / "in").rename(tmp_path / "in2")
        if way.endswith("again"):
            make(tmp_path / "in" / "b.png")
        _, told = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 1
    assert told.splitlines()[1:] == [
        "rlfn: The watched folder in was removed, renamed or replaced. Create it if it is missing, then run again."
    ]


@pytest.mark.skipif(not POSIX, reason="signals work otherwise")
def test_watch_records_every_picture_in_a_conflict(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        make(tmp_path / "in" / name)
    process = watching(tmp_path, "--json")
    try:
        assert process.stdout is not None
        records = [json.loads(process.stdout.readline()) for _ in range(3)]
    finally:
        process.kill()
        process.communicate()
    assert [(record["input"], record["status"]) for record in records] == [
        ("in/a.jpg", "failed"),
        ("in/a.png", "failed"),
        ("in/b.png", "done"),
    ]
    assert "--keep-suffix keeps the inputs' suffixes" in records[0]["error"]


@pytest.mark.skipif(not POSIX, reason="signals work otherwise")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_storm_of_signals_leaves_no_traceback_and_nothing_partial(tmp_path: Path, number: int) -> None:
    for one in range(200):  # more than can be made before the first signal arrives
        make(tmp_path / "in" / f"{one}.png", seed=one)
    options = ["upscale", "in", "-m", "rlfn-xs", "-s", "2", "--engine", "onnxruntime", "-o", "out"]
    process = subprocess.Popen([sys.executable, "-m", "rlfn", *options], cwd=tmp_path, stdout=-1, stderr=-1, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    while process.poll() is None:
        process.send_signal(number)
        time.sleep(0.01)
    err = process.communicate()[1]
    assert process.returncode in (128 + number, -number)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    for path in (tmp_path / "out").iterdir():
        assert path.name.startswith(".") or picture_size(path) == (60, 40)
