"""Bad input and bad targets: one clear sentence, one kind of error, nothing partial left."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rlfn import atomic
from rlfn.errors import MissingExtraError, OptionError, OutputError, PictureError
from rlfn.images.codecs import vips
from rlfn.images.files import (
    DEFAULT_MAX_PIXELS,
    FORMATS,
    READABLE_SUFFIXES,
    WRITABLE,
    Picture,
    check_writable_size,
    format_for,
    picture_size,
    read_picture,
    write_picture,
)

NOISE = Picture(np.random.default_rng(0).integers(0, 256, (120, 150, 3), dtype=np.uint8))
POSIX = os.name == "posix"


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


def encoded(format: str) -> bytes:
    stream = io.BytesIO()
    write_picture(NOISE, stream, format=format)
    return stream.getvalue()


BY_LIBVIPS = tuple(name for name in WRITABLE if name != "jxl")
SAMPLES = {name: encoded(name) for name in WRITABLE}
_GIF = io.BytesIO()
Image.fromarray(NOISE.pixels).save(_GIF, "GIF")
SAMPLES["gif"] = _GIF.getvalue()


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"There is no file .*none\.png"):
        read_picture(tmp_path / "none.png")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="is a folder"):
        read_picture(tmp_path)


@pytest.mark.skipif(not POSIX, reason="permissions work otherwise")
def test_no_permission_to_read(tmp_path: Path) -> None:
    path = tmp_path / "closed.png"
    path.write_bytes(SAMPLES["png"])
    path.chmod(0)
    with as_nobody(), pytest.raises(PictureError, match="may not be read"):
        read_picture(path)


def test_a_path_with_a_zero_character() -> None:
    with pytest.raises(PictureError, match="contains a zero byte"):
        read_picture("a\0b.png")


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(PictureError, match=r"empty.png' is empty \(0 bytes\)"):
        picture_size(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"hello, this is a text", "not a picture that rlfn knows. Allowed: JPEG, PNG"),
        (b"BM" + bytes(60), "not a picture that rlfn knows"),
        (b"8BPS" + bytes(60), "is a Photoshop document"),
        (b"FUJIFILMCCD-RAW 0201", "is a camera raw file (Fujifilm)"),
        (b"%PDF-1.7", "is a PDF document"),
        (bytes(5000), "not a picture"),
        (b"\xff\xd8\xff", "a JPEG file that is damaged"),
        (b"\x89PNG\r\n\x1a\n", "a PNG file that is damaged"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "an AVIF file that is damaged"),
        (b"II*\0\x08\0\0\0", "a TIFF file that is damaged"),
        (png_header(0, 5), "a PNG file that is damaged"),
        (png_header(300, 300), "a PNG file that is damaged"),
    ],
)
def test_not_a_picture(data: bytes, words: str) -> None:
    with pytest.raises(PictureError) as caught:
        read_picture(data)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", sorted(SAMPLES))
@pytest.mark.parametrize("share", [0.002, 0.05, 0.3, 0.6, 0.9, 0.995])
def test_a_file_that_is_cut_short(format: str, share: float) -> None:
    data = SAMPLES[format][: max(1, int(len(SAMPLES[format]) * share))]
    if (format, share) == ("jpg", 0.995):
        assert "of the JPEG data are missing" in read_picture(data).warnings[0]
        return
    with pytest.raises(PictureError):
        read_picture(data)


@pytest.mark.parametrize("format", ["png", "gif", "tiff"])
def test_corrupt_data(format: str) -> None:
    data = bytearray(SAMPLES[format])
    middle = len(data) // 2
    for at in range(middle, middle + 80):
        data[at] ^= 0x5A
    with pytest.raises(PictureError, match="damaged"):
        read_picture(bytes(data))


def test_corrupt_jpeg_data_that_can_be_decoded_gives_a_warning() -> None:
    data = bytearray(SAMPLES["jpg"])
    middle = len(data) // 2
    data[middle : middle + 60] = b"\xff\xd3" * 30  # markers out of turn
    assert "damaged JPEG data" in read_picture(bytes(data)).warnings[0]
    assert read_picture(SAMPLES["jpg"]).warnings == ()  # and the next file is not blamed


@pytest.mark.parametrize("format", sorted(SAMPLES))
@settings(max_examples=25, deadline=None, derandomize=True)
@given(at=st.integers(0, 10**6), change=st.binary(min_size=1, max_size=12))
def test_random_damage_never_raises_anything_else(format: str, at: int, change: bytes) -> None:
    data = bytearray(SAMPLES[format])
    at %= len(data)
    data[at : at + len(change)] = change
    try:
        picture = read_picture(bytes(data), max_pixels=10**6)
    except PictureError:
        return
    assert picture.pixels.size


@pytest.mark.parametrize("size", [(30_000, 30_000), (8_001, 8_000), (80, DEFAULT_MAX_PIXELS // 80 + 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(self: object) -> None:
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr(pyvips.Image, "write_to_memory", decoded)
    with pytest.raises(PictureError) as caught:
        read_picture(png_header(*size))
    message = str(caught.value)
    assert f"{size[0]} x {size[1]}" in message
    assert "64,000,000" in message
    assert "Raise max_pixels" in message
    with pytest.raises(PictureError):
        picture_size(png_header(*size))
    assert picture_size(png_header(*size), max_pixels=None) == size


@pytest.mark.parametrize("size", [(1, 64_000_000), (1_000_001, 1)])
def test_a_side_that_no_format_could_hold_is_refused_by_the_header(size: tuple[int, int]) -> None:
    for max_pixels in (DEFAULT_MAX_PIXELS, None):
        with pytest.raises(PictureError, match="allowed are 1,000,000 a side"):
            picture_size(png_header(*size), max_pixels=max_pixels)
    assert picture_size(png_header(1, 1_000_000)) == (1, 1_000_000)


def test_the_pixel_limit_is_exact() -> None:
    assert read_picture(SAMPLES["png"], max_pixels=120 * 150).width == 150
    with pytest.raises(PictureError):
        read_picture(SAMPLES["png"], max_pixels=120 * 150 - 1)


@pytest.mark.parametrize(
    ("values", "words"), [([0, 2, 0.5], "from 0 to 2"), ([-1, 0, 1], "from -1 to 1"), ([0, np.nan, 1], "nan")]
)
def test_floating_point_out_of_range(values: list[float], words: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.array([values], np.float32)).save(stream, "TIFF")
    with pytest.raises(PictureError, match=words):
        read_picture(stream.getvalue())


def test_32_bit_integers_are_refused() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.array([[1, 2]], np.int32)).save(stream, "TIFF")
    with pytest.raises(PictureError, match="pixels of type int"):
        read_picture(stream.getvalue())


def test_heic_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlfn\[heic\]'"):
        read_picture(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


def test_a_damaged_heic() -> None:
    pytest.importorskip("pillow_heif")
    with pytest.raises(PictureError, match="HEIC"):
        read_picture(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


def test_nothing_reaches_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(SAMPLES["jpg"][:3000])
    (tmp_path / "cut.tif").write_bytes(SAMPLES["tiff"][:3000])
    (tmp_path / "odd.png").write_bytes(SAMPLES["png"][:33] + b"\0\0\0\x02iCCPxxABCD" + SAMPLES["png"][33:])
    code = (
        "import sys, pathlib\nfrom rlfn.images.files import read_picture\nfrom rlfn.errors import PictureError\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    try: read_picture(path)\n    except PictureError: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines().count("refused") >= 2


# Targets


def test_an_unknown_format_lists_the_valid_ones() -> None:
    with pytest.raises(OptionError, match=r"'jpgg'\. Allowed: jpg, png, webp, tiff, avif, jxl\. Did you mean 'jpg'"):
        format_for("jpgg")
    for read_only in ("heic", "photo.gif", Path("photo.bmp"), Path("photo"), Path("png")):
        with pytest.raises(OptionError, match="Allowed: jpg, png, webp, tiff, avif, jxl"):
            format_for(read_only)


@pytest.mark.parametrize("name", WRITABLE)
def test_formats_by_name_suffix_and_path(name: str) -> None:
    for given_name in (name, name.upper(), *FORMATS[name].suffixes, f"a.b/photo{FORMATS[name].suffixes[-1].upper()}"):
        assert format_for(given_name).name == name
    assert set(FORMATS[name].suffixes) <= READABLE_SUFFIXES


def test_a_format_without_its_package_is_refused_before_the_work(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlfn.images.codecs.codec.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"JPEG XL .*pip install 'rlfn\[jxl\]'"):
        format_for("a.jxl")
    (tmp_path / "in").mkdir()
    done = command("upscale", str(tmp_path / "in"), "--format", "jxl")
    assert done.status == 2
    assert done.err.count("pip install 'rlfn[jxl]'") == 1


@pytest.mark.parametrize("name", WRITABLE)
def test_sizes_are_checked_before_the_work(name: str) -> None:
    limit = FORMATS[name].max_side
    check_writable_size(name, limit, 1)
    check_writable_size(name, 1, limit)
    for width, height in ((limit + 1, 1), (1, limit + 1)):
        with pytest.raises(OutputError) as caught:
            check_writable_size(name, width, height)
        assert f"{width} x {height}" in str(caught.value)
        assert str(limit) in str(caught.value)


@pytest.mark.parametrize("name", WRITABLE)
def test_the_stated_limit_is_the_encoder_s_own(name: str) -> None:
    """At the limit the encoder works; where it stops by itself, it stops right above."""
    limit = min(FORMATS[name].max_side, 65_500)
    stream = io.BytesIO()
    write_picture(Picture(np.zeros((1, limit), np.uint8)), stream, format=name)
    assert picture_size(stream.getvalue()) == (limit, 1)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        write_picture(NOISE, tmp_path / "none" / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_as_target(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        write_picture(NOISE, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(not POSIX, reason="permissions work otherwise")
def test_no_permission_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with as_nobody(), pytest.raises(OutputError, match="may not be written"):
        write_picture(NOISE, tmp_path / "a.png")
    tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match="its folder does not exist"):
        write_picture(NOISE, tmp_path / "a" / "b.png")


@pytest.mark.skipif(not POSIX, reason="there are no devices")
def test_a_device_is_not_replaced() -> None:
    with pytest.raises(OutputError, match="not an ordinary file"):
        write_picture(NOISE, "/dev/null", format="png")
    assert not Path("/dev/null").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("format", WRITABLE)
def test_a_full_disk_under_a_stream(format: str) -> None:
    with pytest.raises(OutputError, match="no space left"), open("/dev/full", "wb", buffering=0) as stream:
        write_picture(NOISE, stream, format=format)


@pytest.mark.skipif(not POSIX, reason="there is no limit to set")
@pytest.mark.parametrize("format", WRITABLE)
def test_a_full_disk_under_a_path(format: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"what was there before")
    code = (
        "import resource, sys, numpy as np\nfrom rlfn.images.files import Picture, write_picture\n"
        "from rlfn.errors import OutputError\n"
        "pixels = np.random.default_rng(0).integers(0, 256, (120, 150, 3), dtype=np.uint8)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try: write_picture(Picture(pixels), sys.argv[1], format=sys.argv[2])\n"
        "except OutputError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a"), format]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be written: file too large" in done.stdout
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"what was there before"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError, MemoryError])
def test_nothing_partial_stays_after_a_failure_at_the_end(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(atomic.os, "replace", failing)
    with pytest.raises(error):
        write_picture(NOISE, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def spliced_by(splice: Callable[[bytes], bytes]) -> Callable[..., object]:
    """What takes encoded bytes, with ``splice`` in the place of every codec's own."""
    sink = vips._Sink
    return lambda stream, _: sink(stream, splice)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_inside_the_encoder_s_writes_comes_out(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def failing(head: bytes) -> bytes:
        raise error

    monkeypatch.setattr(vips, "_Sink", spliced_by(failing))
    for format in BY_LIBVIPS:
        with pytest.raises(error):
            write_picture(NOISE, tmp_path / "a", format=format)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("format", BY_LIBVIPS)
def test_ctrl_c_while_encoding(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupting(head: bytes) -> bytes:
        os.kill(os.getpid(), signal.SIGINT)
        return head

    monkeypatch.setattr(vips, "_Sink", spliced_by(interrupting))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        write_picture(NOISE, tmp_path / "a", format=format)
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is before


def test_writing_and_reading_work_outside_the_main_thread(tmp_path: Path) -> None:
    results: list[object] = []

    def work(number: int) -> None:
        path = tmp_path / f"{number}.png"
        write_picture(NOISE, path)
        results.append(read_picture(path).pixels)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for pixels in results:
        np.testing.assert_array_equal(pixels, NOISE.pixels)


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(b"old")
    write_picture(NOISE, tmp_path / "real.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "real.png").pixels, NOISE.pixels)


@pytest.mark.skipif(not POSIX, reason="needs links")
@pytest.mark.parametrize("target", ["real.png", "nowhere.png"])
def test_a_link_is_replaced_and_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(target)
    write_picture(NOISE, tmp_path / "link.png")
    assert not (tmp_path / "link.png").is_symlink()
    np.testing.assert_array_equal(read_picture(tmp_path / "link.png").pixels, NOISE.pixels)
    assert (tmp_path / "real.png").read_bytes() == b"old"
    assert not (tmp_path / "nowhere.png").exists()


@pytest.mark.skipif(not POSIX, reason="there are no modes")
def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    (tmp_path / "a.png").chmod(0o640)
    write_picture(NOISE, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not POSIX, reason="there is no umask")
def test_files_get_the_ordinary_permissions(tmp_path: Path) -> None:
    write_picture(NOISE, tmp_path / "a.png")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_a_quality_out_of_range(quality: int) -> None:
    with pytest.raises(OptionError, match="Allowed: 1 to 100"):
        write_picture(NOISE, io.BytesIO(), format="jpg", quality=quality)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8), np.zeros((0, 4), np.uint8)],
)
def test_arrays_that_are_no_picture(pixels: np.ndarray) -> None:
    with pytest.raises(OptionError, match=r"shape \("):
        write_picture(Picture(pixels), io.BytesIO(), format="png")
