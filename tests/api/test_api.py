"""``rlfn.upscale``: what goes in comes out, larger; files keep what belongs to them; mistakes are told early."""

from __future__ import annotations

import gc
import io
import os
import pickle
import re
import sys
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rlfn
from rlfn import errors
from rlfn.api import pool
from rlfn.errors import MissingExtraError, ModelError, OptionError, OutputError, PictureError
from rlfn.images.files import Picture, picture_size, read_picture, write_picture
from rlfn.images.picture import Metadata
from rlfn.images.stated import StatedColor
from rlfn.inference.engines import choose_engine
from rlfn.models import catalog
from rlfn.models.source import ModelSource

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (17, 23, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(17, 23), (17, 23, 3), (17, 23, 4)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_arrays(nearest: object, shape: tuple[int, ...], kind: type) -> None:
    image = RANDOM.integers(0, np.iinfo(kind).max, shape).astype(kind)
    before = image.copy()
    result = rlfn.upscale(image)
    assert result.dtype == kind
    assert result.shape == (68, 92, *shape[2:])
    assert rlfn.upscale(image, 2.5).shape == (43, 58, *shape[2:])
    mirrored = image[::-1, ::-1]  # strides do not matter
    np.testing.assert_array_equal(rlfn.upscale(mirrored), rlfn.upscale(mirrored.copy()))
    np.testing.assert_array_equal(image, before)


def test_gray_arrays_with_an_axis_of_one_channel(nearest: type, tmp_path: Path) -> None:
    gray = RGB[:, :, 0]
    for scale in (4, 2.5):
        np.testing.assert_array_equal(rlfn.upscale(gray[:, :, None], scale), rlfn.upscale(gray, scale)[:, :, None])
    made = rlfn.Upscaler(engine=nearest())(gray[:, :, None])
    np.testing.assert_array_equal(made, rlfn.Upscaler(engine=nearest())(gray)[:, :, None])
    rlfn.upscale(gray[:, :, None], output=tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels, rlfn.upscale(gray))
    with pytest.raises(OptionError, match=r"gray \(H, W\) or \(H, W, 1\)"):
        rlfn.upscale(RGB[:, :, :2])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "I;16", "1", "P", "CMYK"])
def test_pillow(nearest: object, mode: str) -> None:
    picture = Image.fromarray(RGB[..., 0].astype(np.uint16)) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
    picture.info["dpi"] = (72, 72)
    result = rlfn.upscale(picture, 3)
    assert isinstance(result, Image.Image)
    assert result.size == (69, 51)
    assert result.mode == {"1": "L", "P": "RGB", "CMYK": "RGB"}.get(mode, mode)
    assert result.info["dpi"] == (72, 72)


def test_files(nearest: object, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif, dpi=(300, 300))
    result = rlfn.upscale(tmp_path / "a.png")
    assert result.size == (68, 92)  # upright
    assert (result.getexif()[0x010F], result.getexif().get(0x0112, 1)) == ("a camera", 1)
    assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert rlfn.upscale(str(tmp_path / "a.png"), 2, output=tmp_path / "b.webp") == tmp_path / "b.webp"
    assert picture_size(tmp_path / "b.webp") == (34, 46)
    assert rlfn.upscale(RGB, output=str(tmp_path / "c.tif")) == tmp_path / "c.tif"
    np.testing.assert_array_equal(read_picture(tmp_path / "c.tif").pixels, RGB.repeat(4, axis=0).repeat(4, axis=1))


def test_a_pillow_picture_is_written_with_what_belongs_to_it(nearest: object, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif, dpi=(300, 300), icc_profile=b"")
    rlfn.upscale(Image.open(tmp_path / "a.jpg"), output=tmp_path / "b.jpg")
    written = Image.open(tmp_path / "b.jpg")
    assert written.size == (68, 92)
    assert (written.getexif()[0x010F], written.getexif().get(0x0112, 1)) == ("a camera", 1)
    assert written.info["dpi"] == pytest.approx((300, 300), abs=1)


def test_16_bit_colour(nearest: object, tmp_path: Path) -> None:
    deep = RANDOM.integers(0, 65536, (5, 6, 3), dtype=np.uint16)
    rlfn.upscale(deep, output=tmp_path / "deep.png")
    assert read_picture(tmp_path / "deep.png").pixels.dtype == np.uint16
    with pytest.raises(OptionError, match="Pillow has no 16-bit colour pictures"):
        rlfn.upscale(tmp_path / "deep.png", 1)


@pytest.mark.parametrize(
    ("picture", "options", "error", "words"),
    [
        (RGB.astype(np.float32), {}, OptionError, "float32"),
        (RGB[:0], {}, OptionError, "not empty"),
        (RGB, {"scale": 5}, OptionError, "No packaged model upscales x5"),
        (RGB, {"scale": 5, "model": "rlfn-s-x4"}, OptionError, "upscales x4"),
        (RGB, {"scale": 0}, OptionError, "above 0"),
        (RGB, {"scale": "4"}, OptionError, "a number above 0"),
        (RGB, {"model": "rlfn-x4s"}, OptionError, "rlfn-s-x4"),
        (RGB, {"model": Path("none.onnx")}, ModelError, r"none\.onnx"),
        (RGB, {"engine": "cuda"}, OptionError, "Allowed: auto"),
        (RGB, {"threads": 0}, OptionError, "1 to 1024"),
        (RGB, {"output": "a.bmp"}, OptionError, "Allowed: jpg"),
        (RGB, {"output": "none/a.png"}, OutputError, "its folder does not exist"),
        ("none.png", {}, PictureError, r"none\.png"),
        (b"bytes", {}, PictureError, "not a picture"),
        (b"", {}, PictureError, "empty"),
        (None, {}, OptionError, "Cannot upscale a NoneType. Allowed: a NumPy array"),
        ([RGB], {}, OptionError, "Cannot upscale a list"),
        (io.StringIO("text"), {}, OptionError, "binary mode"),
        (RGB, {"output": io.StringIO()}, OptionError, "binary mode"),
        (RGB, {"output": 5}, OptionError, "Cannot write to a int"),
        (RGB, {"model": 5}, OptionError, "A model of type int"),
        (RGB, {"model": None, "width": "9"}, OptionError, "whole number"),
        (RGB, {"scale": 2, "width": 40}, OptionError, "Give either scale, or width and height"),
        (RGB, {"precision": "fp8"}, OptionError, "Allowed: auto, fp32, bf16, int8"),
        (RGB, {"tile": -1}, OptionError, "Allowed: 'auto', 0"),
        (RGB, {"quality": 101, "output": "a.jpg"}, OptionError, "1 to 100"),
        (RGB, {"format": "gif"}, OptionError, "Allowed: jpg"),
        (Image.new("I", (4, 4), 70_000), {}, OptionError, "values from 70000 to 70000"),
    ],
)
def test_mistakes(
    picture: object, options: dict, error: type, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words) as caught:
        rlfn.upscale(picture, **options)
    assert isinstance(caught.value, rlfn.RlfnError)
    assert list(tmp_path.iterdir()) == []


def test_an_input_is_never_overwritten(nearest: object, tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    with pytest.raises(OptionError, match="Inputs are never overwritten"):
        rlfn.upscale(tmp_path / "a.png", output=tmp_path / "." / "a.png")
    with (tmp_path / "a.png").open("rb") as file, pytest.raises(OptionError, match="Inputs are never overwritten"):
        rlfn.upscale(file, output=tmp_path / "a.png")
    number = os.open(tmp_path / "a.png", os.O_RDONLY)  # the name of a file that is opened by its number
    with open(number, "rb") as file, pytest.raises(OptionError, match="Inputs are never overwritten"):
        rlfn.upscale(file, output=tmp_path / "a.png")
    with (tmp_path / "a.png").open("r+b") as file:
        for given in (tmp_path / "a.png", file):
            with pytest.raises(OptionError, match="Inputs are never overwritten"):
                rlfn.upscale(given, output=file, format="png")
    assert (tmp_path / "a.png").read_bytes() == data
    with (tmp_path / "a.png").open("rb") as file:
        assert rlfn.upscale(file, output=tmp_path / "b.png") == tmp_path / "b.png"


def test_without_pillow_a_path_is_refused_before_the_work(
    nearest: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlfn\[pillow\]'"):
        rlfn.upscale(tmp_path / "a.png")
    assert rlfn.upscale(tmp_path / "a.png", output=tmp_path / "b.png").exists()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_threads_may_share_it(engine: str) -> None:
    pytest.importorskip(engine)
    images = [RANDOM.integers(0, 256, (16, 16 + number, 3), dtype=np.uint8) for number in range(6)]
    expected = [rlfn.upscale(image, engine=engine, threads=1) for image in images]
    with ThreadPoolExecutor(6) as threads:
        for _ in range(3):
            found = threads.map(lambda image: rlfn.upscale(image, engine=engine, threads=1), images)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_the_public_names() -> None:
    assert set(rlfn.__all__) == {
        "DataError",
        "ForkedError",
        "MissingExtraError",
        "ModelError",
        "OptionError",
        "OutputError",
        "PictureError",
        "PictureWarning",
        "RlfnError",
        "StoppedError",
        "TrainingError",
        "Upscaled",
        "Upscaler",
        "VideoProgress",
        "VideoRecord",
        "__version__",
        "unload_models",
        "upscale",
        "upscale_video",
        "upscale_with_details",
    }
    assert dir(rlfn) == sorted(rlfn.__all__)
    for name in rlfn.__all__:
        assert getattr(rlfn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'upscales'"):
        rlfn.upscales  # noqa: B018


def test_a_network_s_name_takes_its_model_of_the_scale() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    named, given = (rlfn.upscale(picture, 4, model=model) for model in ("rlfn-xs", "rlfn-xs-x4"))
    np.testing.assert_array_equal(named, given)


@pytest.mark.parametrize("name", catalog.models())
def test_every_packaged_model_at_its_own_scale(name: str) -> None:
    scale = catalog.get_model(name).scale
    result = rlfn.upscale(RGB, model=name)
    assert result.shape == (17 * scale, 23 * scale, 3)
    details = rlfn.upscale_with_details(RGB, model=name)
    np.testing.assert_array_equal(details.picture, result)
    assert (details.model, details.input_size, details.output_size) == (name, (23, 17), (23 * scale, 17 * scale))
    assert details.precision in catalog.PRECISIONS


def test_bytes_and_file_objects(nearest: object, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "webp", lossless=True)
    found = rlfn.upscale(buffer.getvalue())
    assert (Image.open(io.BytesIO(found)).format, Image.open(io.BytesIO(found)).size) == ("WEBP", (92, 68))
    for kind in (bytearray, memoryview):
        assert rlfn.upscale(kind(buffer.getvalue())) == found
    stream = rlfn.upscale(io.BytesIO(buffer.getvalue()), 2, format="png")
    assert (stream.tell(), Image.open(stream).format, Image.open(stream).size) == (0, "PNG", (46, 34))
    gif = io.BytesIO()
    Image.fromarray(RGB).save(gif, "gif")
    assert rlfn.upscale(gif.getvalue()).startswith(b"\x89PNG")  # GIF cannot be written
    target = io.BytesIO()
    assert rlfn.upscale(RGB, output=target, format="tiff") is target
    assert target.getvalue().startswith((b"II*", b"MM"))
    with (tmp_path / "a.jpg").open("wb") as file:
        rlfn.upscale(RGB, output=file, format="jpg", quality=80)
    assert picture_size(tmp_path / "a.jpg") == (92, 68)


def test_a_size_in_place_of_a_scale(nearest: object) -> None:
    assert rlfn.upscale(RGB, width=46).shape == (34, 46, 3)
    assert rlfn.upscale(RGB, width=50, height=20).shape == (20, 50, 3)


def test_what_is_lost_is_a_warning(nearest: object, tmp_path: Path) -> None:
    deep = RANDOM.integers(0, 65536, (5, 6, 3), dtype=np.uint16)
    with pytest.warns(rlfn.PictureWarning, match="16 bit"):
        rlfn.upscale(deep, output=tmp_path / "a.jpg")
    details = rlfn.upscale_with_details(deep, output=tmp_path / "a.jpg")
    assert len(details.warnings) == 1
    assert "16 bit" in details.warnings[0]


def test_tiles_that_are_not_exact_are_said(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from rlfn.export.formats import export
    from rlfn.models.variants import RLFNFields, Variant
    from rlfn.networks import Checkpoint, build

    torch.manual_seed(0)
    tiny = Variant("tiny", "rlfn", RLFNFields(1, 6, 6, 4), "for tests")
    checkpoint = Checkpoint(build(tiny, 2).eval(), tiny, 2)
    image = RANDOM.integers(0, 256, (150, 200, 3), dtype=np.uint8)
    for to, told in (("onnx", 1), ("rlfn", 0)):
        export(checkpoint, to, tmp_path / f"{to}.onnx")
        model = tmp_path / f"{to}.onnx"
        details = rlfn.upscale_with_details(image, model=model, engine="onnxruntime", tile=144)
        assert len(details.warnings) == told
        assert all("differ from the whole picture; run it with tile=0" in text for text in details.warnings)
        assert rlfn.upscale_with_details(image, model=model, engine="onnxruntime", tile=0).warnings == ()


def test_one_small_array_takes_the_engine_that_the_command_takes() -> None:
    image = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert rlfn.upscale_with_details(image).engine == choose_engine(ModelSource("rlfn-s-x4"), 600)


def test_the_memory_is_checked(nearest: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.inference.enlarge.available_memory", lambda: 9_000)
    with pytest.raises(PictureError, match="GB are free"):
        rlfn.upscale(RGB)


def test_a_limit_of_pixels(nearest: object, tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(PictureError, match="the limit is 100"):
        rlfn.upscale(tmp_path / "a.png", max_pixels=100)


def test_engines_are_handed_in(nearest: type) -> None:
    result = rlfn.upscale_with_details(RGB, engine=nearest())
    np.testing.assert_array_equal(result.picture, RGB.repeat(4, axis=0).repeat(4, axis=1))
    assert result.engine == "nearest"


def test_an_upscaler_goes_to_another_process() -> None:
    one = rlfn.Upscaler("rlfn-xs-x2", engine="onnxruntime", threads=1, precision="fp32")
    other = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(one(RGB), other(RGB))


def test_a_handed_in_engine_does_not_go_to_another_process(nearest: type) -> None:
    with pytest.raises(OptionError, match="cannot be pickled"):
        pickle.dumps(rlfn.Upscaler(engine=nearest()))


def test_a_changed_model_file_is_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for name in ("rlfn-xs-x2", "rlfn-xs-x3"):
        path.write_bytes(catalog.get_model(name).file(catalog.GRAPH).read())
        assert rlfn.upscale(RGB, model=path).shape[0] == 17 * catalog.get_model(name).scale


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quality": "90"}, r"Quality '90' is out of range\. Allowed: 1 to 100"),
        ({"max_pixels": "5"}, r"max_pixels was given as '5'\. Allowed: a whole number above 0, or None"),
        ({"max_pixels": float("nan")}, r"max_pixels was given as nan"),
        ({"format": 5}, r"format was given as 5\. Allowed: a name such as 'png'"),
        ({"engine": None}, r"engine was given as None\. Allowed: auto, "),
        ({"engine": 5}, r"engine was given as 5\. Allowed: auto, "),
        ({"restore": np.array([1, 2])}, r"restore was given as array"),
        ({"scale": 10**400}, r"A scale of 1000.* was asked for\. Allowed: a number above 0"),
        ({"tile": np.float32(1)}, r"A tile of "),
        ({"progress": 5}, r"progress was given as 5\. Allowed: a function, or None"),
        ({"tile": True}, r"A tile of True was asked for"),
        ({"threads": True}, r"An engine cannot run on True threads"),
        ({"threads": 2.0}, r"An engine cannot run on 2\.0 threads"),
        ({"scale": True}, r"A scale of True was asked for"),
        ({"width": True}, r"A width of True px was asked for"),
        ({"quality": True}, r"Quality True is out of range"),
        ({"max_pixels": True}, r"max_pixels was given as True"),
        ({"restore": True}, r"restore was given as True"),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        rlfn.upscale(np.zeros((20, 20), np.uint8), **options)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["a\0.png", "a\0.webp", "a\0/b.png"])
def test_a_path_with_a_zero_byte_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.mkv").write_bytes(b"")
    with pytest.raises(PictureError, match=r"a\\x00.* contains a zero byte\. Remove"):
        rlfn.upscale(tmp_path / name, output=tmp_path / "b.png")
    with pytest.raises(OutputError, match=r"a\\x00.* contains a zero byte\. Remove"):
        rlfn.upscale(np.zeros((20, 20), np.uint8), output=tmp_path / name)
    for target in ("b.mkv", "b.gif"):
        with pytest.raises(PictureError, match="contains a zero byte"):
            rlfn.upscale_video(tmp_path / name, tmp_path / target)
    with pytest.raises(OutputError, match="contains a zero byte"):
        rlfn.upscale_video(tmp_path / "a.mkv", tmp_path / "a\0.mkv")


@pytest.mark.parametrize("name", ["a\ud800.png", "a\udfff/b.png"])
def test_a_path_that_cannot_be_encoded_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.mkv").write_bytes(b"")
    said = r"a\\ud[8f]..[./].* cannot encode '\\ud[8f]..' in file names\. Remove"
    with pytest.raises(PictureError, match=said):
        rlfn.upscale(tmp_path / name, output=tmp_path / "b.png")
    with pytest.raises(OutputError, match=said):
        rlfn.upscale(np.zeros((20, 20), np.uint8), output=tmp_path / name)
    with pytest.raises(PictureError, match=said):
        rlfn.upscale_video(tmp_path / name, tmp_path / "b.mkv")
    with pytest.raises(OutputError, match="cannot encode"):
        rlfn.upscale_video(tmp_path / "a.mkv", tmp_path / "a\ud800.mkv")


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    for source, target in (("a.gif", "b.gif"), ("a.mkv", "b.mkv")):
        with pytest.raises(PictureError, match=rf"There is no file '.*{source}'\. Check"):
            rlfn.upscale_video(tmp_path / source, tmp_path / target)


def test_a_video_does_not_replace_itself(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(b"")
    (tmp_path / "b.mkv").hardlink_to(tmp_path / "a.mkv")
    with pytest.raises(OptionError, match=r"a\.mkv would be replaced by its own result"):
        rlfn.upscale_video(tmp_path / "a.mkv", tmp_path / "b.mkv")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_pixels": "a"}, r"max_pixels was given as 'a'\. Allowed: a whole number above 0, or None"),
        ({"max_pixels": -1}, r"max_pixels was given as -1\."),
        ({"start": "x"}, r"A start of 'x' seconds was given\. Allowed: 0 or more seconds, a finite number"),
        ({"duration": "x"}, r"A duration of 'x' seconds was given\. Allowed: more than 0 seconds"),
        ({"crf": "x"}, r"A quality of crf=x was asked for\. Allowed: 0 \(best\) to 51, a whole number"),
        ({"crf": 20.5}, r"A quality of crf=20\.5 was asked for\."),
        ({"crf": True}, r"A quality of crf=True was asked for\."),
        ({"codec": ["h264"]}, r"There is no video codec .*Allowed: h264, hevc"),
        ({"preset": ["fast"]}, r"There is no preset .*Allowed: ultrafast"),
        ({"progress": 5}, r"progress was given as 5\. Allowed: a function"),
        ({"cancel": 5}, r"cancel was given as 5\. Allowed: a threading\.Event"),
        ({"video": 5}, r"video was given as 5\. Allowed: a path\. Videos are read from files"),
        ({"video": bytes(9999)}, r"video was given as b'[^.]{1,30}\.\.\.[^.]{1,30}'\. Allowed: a path"),
        ({"video": io.BytesIO()}, r"video was given as <.*BytesIO.*>\. Allowed: a path"),
        ({"output": None}, r"output was given as None\. Allowed: a path"),
        ({"output": 4}, r"output was given as 4\. .*The second argument is the output; scale is the third\."),
    ],
)
def test_arguments_for_videos_of_another_kind_are_refused_by_name(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        rlfn.upscale_video(**{"video": "none.mkv", "output": "b.mkv", **options})  # type: ignore[arg-type]


def test_a_closed_file_is_refused() -> None:
    closed = io.BytesIO(b"")
    closed.close()
    with pytest.raises(OptionError, match=r"cannot be read: .*closed file.* Give one that is open"):
        rlfn.upscale(closed)


def test_subclasses_of_arrays_and_whole_numbers_are_taken_as_such() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 24), np.uint8)
    plain = rlfn.upscale(image, 2, model="rlfn-xs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix(image)
    assert type(rlfn.upscale(matrix, 2, model="rlfn-xs")) is np.ndarray
    np.testing.assert_array_equal(rlfn.upscale(matrix, 2, model="rlfn-xs"), plain)
    upscaler = rlfn.Upscaler("rlfn-xs-x2")  # for many pictures it may take another engine
    np.testing.assert_array_equal(upscaler(matrix), upscaler(image))
    np.testing.assert_array_equal(rlfn.upscale(image, 2, model="rlfn-xs", tile=np.int64(128)), plain)
    threads = rlfn.upscale(image, np.float32(2), model="rlfn-xs", threads=np.int64(2), engine="onnxruntime")
    assert threads.shape == plain.shape
    assert rlfn.Upscaler("rlfn-xs-x2", engine="onnxruntime", threads=np.int64(1))(image).shape == plain.shape


def test_what_a_pillow_picture_cannot_say_is_a_warning(tmp_path: Path) -> None:
    given = Picture(np.full((20, 24, 3), 90, np.uint8), Metadata(color=StatedColor((9, 16))))
    write_picture(given, tmp_path / "hdr.png")
    with pytest.warns(rlfn.PictureWarning, match="not every program heeds the profile"):
        made = rlfn.upscale(tmp_path / "hdr.png", 2, model="rlfn-xs")
    assert made.info["icc_profile"]


def test_a_misspelt_option_is_refused() -> None:
    for call in (rlfn.upscale, rlfn.upscale_with_details):
        with pytest.raises(TypeError, match="unexpected keyword argument 'scal'"):
            call(RGB, scal=2)  # type: ignore[call-arg]


def test_details_take_the_arguments_of_upscale(nearest: object, tmp_path: Path) -> None:
    details = rlfn.upscale_with_details(RGB, 2)
    np.testing.assert_array_equal(details.picture, rlfn.upscale(RGB, 2))
    assert (details.input_size, details.output_size, details.format) == ((23, 17), (46, 34), None)
    assert details.seconds > 0
    assert rlfn.upscale_with_details(RGB, scale=2, output=tmp_path / "a.webp").format == "webp"
    with pytest.raises(TypeError, match="multiple values for argument 'scale'"):
        rlfn.upscale_with_details(RGB, 2, scale=3)  # type: ignore[call-arg, misc]


def test_pictures_and_videos_share_loaded_models() -> None:
    from rlfn.api import pictures, videos

    assert pictures.pool is videos.pool


def test_every_error_that_the_functions_name_is_public() -> None:
    every = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, rlfn.RlfnError)}
    assert every <= set(rlfn.__all__)
    for function in (rlfn.upscale, rlfn.upscale_with_details, rlfn.upscale_video):
        raises = function.__doc__.partition("Raises:")[2]
        names = re.findall(r"\w+Error", raises)
        assert names
        assert set(names) <= set(rlfn.__all__)


@pytest.mark.parametrize("call", [rlfn.upscale, rlfn.upscale_with_details])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_progress_is_the_share_that_is_done(nearest: object, call: Callable[..., object], channels: tuple) -> None:
    seen: list[float] = []
    call(RANDOM.integers(0, 256, (80, 90, *channels), dtype=np.uint8), tile=48, progress=seen.append)
    assert len(seen) > 2
    assert all(0 < share <= 1 for share in seen)
    assert seen == sorted(seen)
    assert seen[-1] == 1


@pytest.mark.parametrize("engine", ["onnxruntime", "ncnn", "openvino"])
def test_an_exception_of_progress_ends_the_work(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(engine)

    class Enough(Exception):  # noqa: N818
        pass

    def stop(share: float) -> None:
        raise Enough

    how: dict = {"model": "rlfn-s", "engine": engine, "threads": 2}
    with pytest.raises(Enough):
        rlfn.upscale(np.zeros((200, 200, 3), np.uint8), 2, output=tmp_path / "a.png", progress=stop, **how)
    assert not list(tmp_path.iterdir())
    assert rlfn.upscale(RGB, 2, **how).shape == (34, 46, 3)


def test_models_are_released(nearest: type) -> None:
    rlfn.upscale(RGB)
    (kept,) = (weakref.ref(one) for one in pool.POOL._kept.values())
    assert rlfn.upscale(RGB).shape == (68, 92, 3)
    assert kept() is not None
    rlfn.unload_models()
    gc.collect()
    assert kept() is None
    assert rlfn.upscale(RGB).shape == (68, 92, 3)
    assert pool.POOL._kept
