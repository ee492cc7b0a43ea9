"""``rlfn upscale`` with bad input, bad options and bad luck: one clear message, a status, nothing partial left."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rlfn.images.files import Picture, write_picture
from rlfn.inference.part_upscaler import PartUpscaler
from waiting import PATIENCE

POSIX = os.name == "posix"
RLFN = [sys.executable, "-m", "rlfn", "upscale", "--engine", "onnxruntime"]


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root's rights for a while, or else permissions would mean nothing to a test that root runs."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


def make(name: str, seed: int = 0) -> bytes:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)), path)
    return path.read_bytes()


def bomb() -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def files() -> list[str]:
    return sorted(path.as_posix() for path in Path().rglob("*"))


def assert_refused(done, status: int, words: str) -> None:
    """One line on standard error that says ``words``; nothing on standard output."""
    assert done.status == status
    assert words in done.err
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    assert done.out == b""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Missing argument 'INPUT...'. See 'rlfn upscale --help'."),
        (["a.png", "--widht", "3"], "No such option: --widht"),
        (["a.png", "-o"], "requires an argument. See 'rlfn upscale --help'."),
        (["a.png", "-s", "big"], "'big' is not a number. See 'rlfn upscale --help'."),
        (["a.png", "--width", "1.5"], "'1.5' is not a whole number"),
        (["a.png", "-s", "0"], "Allowed: a number above 0"),
        (["a.png", "-s", "-2"], "Allowed: a number above 0"),
        (["a.png", "-s", "nan"], "Allowed: a number above 0"),
        (["a.png", "-s", "inf"], "Allowed: a number above 0"),
        (["a.png", "-s", "4.5"], "No packaged model upscales x4.5. Ask for at most x4, or"),
        (["a.png", "-s", "5", "-m", "rlfn-s-x4"], "A factor of 5 was asked for, but rlfn-s-x4 upscales x4"),
        (["a.png", "--width", "0"], "Allowed: a whole number of at least 1"),
        (["a.png", "-s", "2", "--height", "9"], "Give either --scale, or --width and --height"),
        (
            ["a.png", "-m", "rlfn-s-x9"],
            "family 'rlfn-s-x9'. Allowed: rlfn-s, rlfn-xs, rlfn-s-photo",
        ),
        (["a.png", "-m", "none.onnx"], "There is no model file none.onnx"),
        (["a.png", "-m", "a.png"], "neither a packaged model nor a model file"),
        (["a.png", "--engine", "openvno"], "Did you mean 'openvino'?"),
        (["a.png", "--precision", "fp3"], "Allowed: auto, fp32"),
        (["a.png", "--threads", "0"], "Allowed: 1 to 1024"),
        (["a.png", "--threads", "99999"], "Allowed: 1 to 1024"),
        (["a.png", "--tile", "-5"], "Allowed: 'auto', 0 for the whole picture"),
        (["a.png", "--tile", "20"], "leave no room between margins"),
        (["a.png", "--format", "jpgg"], "Did you mean 'jpg'?"),
        (["a.png", "--format", "heic"], "Allowed: jpg, png, webp, tiff, avif"),
        (["a.png", "--quality", "101"], "Allowed: 1 to 100"),
        (["a.png", "--max-pixels", "0"], "Allowed: 1 or more"),
        (["none.png"], "There is no file, folder or match for none.png"),
        (["no*.png"], "There is no file, folder or match for no*.png"),
        (["a\0.png"], r"'a\x00.png' cannot be the path of a file: it contains a zero byte"),
        (["a.png", "-o", "b\0/"], r"'b\x00/' cannot be the path of a file: it contains a zero byte"),
        (["a\ud800.png"], r"'a\ud800.png' cannot be the path of a file: this system cannot encode '\ud800'"),
        (["a.png", "-o", "b\ud800.png"], r"'b\ud800.png' cannot be the path of a file: this system cannot encode"),
        (["a.png", "-s", "2.0000001", "-m", "rlfn-xs-x2"], "A factor of 2.0000001 was asked for, but rlfn-xs-x2"),
        (["a.png", "-s", "4.000001"], "No packaged model upscales x4.000001. Ask for at most x4"),
        (["a" * 300], "There is no file, folder or match for aaa"),
        ([""], "An empty name was given"),
        (["empty"], "There are no pictures in empty. Its sub-folders are searched with --recursive"),
        (["a.png", "-o", ""], "An empty name was given"),
        (["a.png", "-o", "out.xyz"], "has no suffix of a writable format"),
        (["a.png", "-o", "out.heic"], "has no suffix of a writable format"),
        (["a.png", "-o", "out.jpg", "--format", "png"], "contradicts --format png"),
        (["a.png", "-o", "a.jpg/"], "a.jpg/ is a file, but several pictures need a folder"),
        (["a.png", "b.png", "-o", "a.jpg"], "a.jpg is a file"),
        (["a.png", "b.png", "-o", "many.png"], "is the name of a single picture, but"),
        (["a.png", "-o", "a.png"], "Inputs are never overwritten"),
        (["a.png", "-o", "empty/../a.png", "--overwrite"], "Inputs are never overwritten"),
        (["a.png", "a.jpg"], "a.png and a.jpg (a_x4.png)"),
        (["a.png", "-o", "out/", "a.jpg"], "Several pictures would be written to one file"),
        (["empty", "-o", "empty"], "would be its own output"),
        (["/"], "/ has no folder next to it. Name the output with -o."),
        (["-", "a.png"], "Standard input and output carry one picture"),
        (["empty", "-o", "-"], "is a folder, but standard output carries one picture"),
        (["[ab].png", "-o", "-"], "is 2 files, but standard output carries one picture"),
        (["-", "-o", "out/"], "Standard input has no name"),
    ],
)
def test_refused_before_any_work(command, nearest, options: list[str], words: str) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        make(name)
    Path("empty").mkdir()
    before = files()
    assert_refused(command("upscale", *options), 2, words)
    assert files() == before


def test_a_wrong_command_names_the_nearest(command) -> None:
    assert_refused(command("upscal"), 2, "Did you mean 'upscale'? See 'rlfn --help'.")
    assert "Usage: rlfn" in command().err


def test_the_tile_is_refused_by_the_real_model_too(command) -> None:
    make("a.png")
    assert_refused(command("upscale", "a.png", "--tile", "20"), 2, "Use at least")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "'bad.png' is empty (0 bytes)"),
        (b"hello", "'bad.png' is not a picture that rlfn knows"),
        (b"8BPS" + bytes(60), "is a Photoshop document"),
        (b"\x89PNG\r\n\x1a\n", "a PNG file that is damaged or cut short"),
        (bomb(), "900,000,000 pixels; the limit is 64,000,000. Raise --max-pixels"),
    ],
)
def test_a_bad_picture(command, nearest, data: bytes, words: str) -> None:
    Path("bad.png").write_bytes(data)
    assert_refused(command("upscale", "bad.png"), 1, words)
    assert_refused(command("upscale", "-", "-o", "out.png", stdin=data), 1, words.split("'")[-1].strip())
    assert files() == ["bad.png"]


def test_a_truncated_picture(command, nearest) -> None:
    for name in ("a.png", "a.jpg", "a.webp", "a.tif", "a.avif"):
        data = make(name)
        Path(name).write_bytes(data[: len(data) // 2])
        assert_refused(command("upscale", name), 1, "cut short")
        done = command("upscale", "-", "-o", "b.png", stdin=data[: len(data) // 2])
        assert_refused(done, 1, "Standard input is a")
    assert len(files()) == 5


def test_a_picture_with_another_format_s_suffix_is_read_by_its_content(command, nearest) -> None:
    data = make("a.png")
    Path("b.jpg").write_bytes(data)
    assert command("upscale", "b.jpg").status == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1)])
def test_extreme_shapes_with_the_real_model(command, size: tuple[int, int]) -> None:
    from rlfn.images.files import picture_size

    write_picture(Picture(np.full((*size, 3), 90, np.uint8)), Path("thin.png"))
    assert command("upscale", "thin.png").status == 0
    assert picture_size("thin_x4.png") == (4 * size[1], 4 * size[0])


def test_too_large_for_the_format(command, nearest) -> None:
    write_picture(Picture(np.zeros((1, 5000, 3), np.uint8)), Path("long.png"))
    assert_refused(command("upscale", "long.png", "-o", "o.webp"), 1, "20000 x 4 pixels; WebP allows at most 16383")
    make("a.png")
    assert_refused(command("upscale", "a.png", "--width", "121"), 1, "No packaged model upscales x4.033")


def test_too_large_for_the_memory(command, nearest, monkeypatch: pytest.MonkeyPatch) -> None:
    make("a.png")
    monkeypatch.setattr("rlfn.inference.enlarge.available_memory", lambda: 9_000)
    assert_refused(command("upscale", "a.png"), 1, "GB are free")
    assert files() == ["a.png"]


@pytest.mark.skipif(not POSIX, reason="permissions and links work otherwise")
class TestFilesOfPosix:
    def test_no_permission(self, command, nearest) -> None:
        make("closed/a.png")
        make("open/a.png")
        Path("closed/a.png").chmod(0)
        Path.cwd().chmod(0o755)
        Path("open").chmod(0o555)
        with as_nobody():
            assert_refused(command("upscale", "closed/a.png", "-o", "/tmp/none.png"), 1, "may not be read by this user")
            assert_refused(command("upscale", "open/a.png"), 1, "may not be written by this user")
        Path("closed").chmod(0o300)
        with as_nobody():
            assert_refused(command("upscale", "closed", "-o", "new"), 2, "The folder closed cannot be read")
        Path("closed").chmod(0o700)

    @pytest.mark.parametrize("link", [os.symlink, os.link])
    def test_an_input_is_not_overwritten_through_links(self, command, nearest, link) -> None:
        data = make("a.png")
        make("b.png")
        link("a.png", "l.png")
        for options in (["a.png", "-o", "l.png"], ["l.png", "-o", "a.png"]):
            assert_refused(command("upscale", *options, "--overwrite"), 2, "Inputs are never overwritten")
        assert Path("a.png").read_bytes() == data

    def test_another_input_is_not_overwritten_through_a_link(self, command, nearest) -> None:
        data = make("b.png")
        make("a.png")
        Path("out").mkdir()
        os.symlink("../b.png", "out/a_x4.png")
        done = command("upscale", "a.png", "b.png", "-o", "out", "--overwrite")
        assert_refused(done, 2, "b.png would be replaced by the result")
        assert Path("b.png").read_bytes() == data

    def test_no_ordinary_file(self, command, nearest) -> None:
        make("a.png")
        assert_refused(command("upscale", "a.png", "-o", "/dev/null", "--format", "png"), 2, "not an ordinary file")
        assert_refused(command("upscale", "a.png", "-o", "a.png/b.png"), 1, "is a file, not a folder")
        assert_refused(command("upscale", "a.png", "-o", "x" * 260 + ".png"), 1, "file name too long")

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        make("a.png")
        command = 'ulimit -f 4; "$@"'
        done = subprocess.run(
            ["sh", "-c", command, "sh", *RLFN, "a.png", "-o", "out/a.png"], capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "cannot be written: file too large" in done.stderr
        assert [path for path in files() if path.startswith("out/")] == []

    def test_a_full_standard_output_and_one_that_is_closed(self, tmp_path: Path) -> None:
        make(str(tmp_path / "a.png"))
        if Path("/dev/full").exists():
            with open("/dev/full", "wb") as full:
                done = subprocess.run([*RLFN, str(tmp_path / "a.png"), "-o", "-"], stdout=full, stderr=-1, text=True)
            assert (done.returncode, done.stderr.count("\n")) == (1, 1)
            assert "no space left on device" in done.stderr
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([*RLFN, str(tmp_path / "a.png"), "-o", "-"], stdout=writing, stderr=-1, text=True)
        os.close(writing)
        assert done.returncode == 1
        assert "closed by its reader" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize(
        ("number", "name"), [(signal.SIGINT, "-"), (signal.SIGINT, "pipe.png"), (signal.SIGTERM, "-")]
    )
    def test_waiting_for_input_can_be_ended(self, tmp_path: Path, number: int, name: str) -> None:
        """Standard input, and a named pipe that nobody writes to."""
        os.mkfifo(tmp_path / "pipe.png")
        code = "import sys, rlfn.jobs.batch as b, rlfn.jobs.files as f\nfrom rlfn.cli import main\n"
        code += "load = b.Enlarger.load\nb.Enlarger.load = lambda self: (print('up', flush=True), load(self))\n"
        code += "f._standard_input = lambda read=f._standard_input: (print('up', flush=True), read())[1]\nmain()"
        source = name if name == "-" else str(tmp_path / name)
        options = ["upscale", source, "-o", str(tmp_path / "o.png"), "--engine", "onnxruntime"]
        command = [sys.executable, "-c", code, *options]
        process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number
        process.communicate()
        assert [path.name for path in tmp_path.iterdir()] == ["pipe.png"]


@pytest.mark.parametrize(
    "error", [RuntimeError("engine\n  broke"), ValueError("shape"), MemoryError(), OSError(5, "io")]
)
def test_what_an_engine_raises_fails_one_picture(command, nearest, monkeypatch, error: Exception) -> None:
    for number in range(3):
        make(f"d/{number}.png", seed=number)
    whole, calls = PartUpscaler.__call__, []

    def sometimes(self, image, **options):
        calls.append(0)
        if len(calls) == 2:
            raise error
        return whole(self, image, **options)

    monkeypatch.setattr(PartUpscaler, "__call__", sometimes)
    done = command("upscale", "d", "--json")
    assert done.status == 1
    assert [record["status"] for record in done.records] == ["done", "failed", "done"]
    assert "\n" not in done.records[1]["error"]
    assert "Traceback" not in done.err
    monkeypatch.setattr(PartUpscaler, "__call__", lambda *_, **__: (_ for _ in ()).throw(error))
    assert "Traceback" in command("upscale", "d", "--overwrite", "--debug").err


def test_debug_works_before_and_after_the_command_and_is_a_file_after_two_dashes(command, nearest) -> None:
    for arguments in (["--debug", "upscale", "none.png"], ["upscale", "none.png", "--debug"]):
        done = command(*arguments)
        assert done.status == 2
        assert "Traceback" in done.err
    assert_refused(command("upscale", "--", "--debug"), 2, "match for --debug")
