"""``rlfn doctor``."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest

import rlfn
from rlfn.errors import ModelError
from rlfn.images.formats import FORMATS
from rlfn.inference.engines import ENGINES
from rlfn.models import catalog
from rlfn.wording import setting


def test_it_says_what_is_here(command) -> None:
    done = command("doctor", "--quick")
    assert (done.status, done.err) == (0, "")
    text = done.out.decode()
    assert text.startswith(f"rlfn {rlfn.__version__}, Python {platform.python_version()}")
    for name in ("numpy", "libvips", *FORMATS, *catalog.models(), *ENGINES):
        assert name in text, name
    assert "speed" not in text


def test_packages_that_lack_are_named(command, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def version(name: str) -> str:
        if name == "pillow-heif":
            raise metadata.PackageNotFoundError
        return "1.2.3"

    monkeypatch.setattr(metadata, "version", version)
    lines = command("doctor", "--quick").lines
    assert "numpy 1.2.3" in lines
    assert "pillow-heif is not installed" in lines


def test_formats_that_lack_a_package_are_named_with_the_line_that_installs_it(
    command, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"PIL": False, "pyjpegxl": False, "pillow_heif": True}
    monkeypatch.setattr("rlfn.images.codecs.codec.find_spec", lambda name: found[name] or None)
    lines = command("doctor", "--quick").lines
    assert "formats: read jpg, png, webp, tiff, avif, heic, gif; written jpg, png, webp, tiff, avif" in lines
    assert "  jxl: not installed. pip install 'rlfn[jxl]'" in lines
    assert "  bmp, pnm, qoi, tga: not installed. pip install 'rlfn[pillow]'" in lines
    assert not any(line.startswith("  heic") for line in lines)


def test_engines_are_listed_with_their_precisions_and_the_one_that_auto_takes(
    command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else object())
    lines = command("doctor", "--quick").lines
    assert "  torch is not installed: pip install 'rlfn[torch]'" in lines
    onnxruntime = next(line for line in lines if line.startswith("  onnxruntime "))
    assert onnxruntime.endswith(": " + ", ".join(ENGINES["onnxruntime"].precisions()))
    assert any(line.startswith("  auto, for rlfn-s-x4: ") for line in lines)


def test_a_damaged_model_file_is_named(command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name, model = next(iter(catalog.models().items()))
    (tmp_path / "cut.onnx").write_bytes(model.files[0].path.read_bytes()[:1000])
    broken = replace(model, files=(*model.files, replace(model.files[0], path=tmp_path / "cut.onnx")))
    monkeypatch.setitem(catalog.models(), name, broken)
    done = command("doctor", "--quick")
    assert done.status == 1
    assert "cut.onnx is damaged" in done.err
    assert done.err.count("\n") == 1


def refuse(*_: object) -> None:
    raise ModelError(f"It is broken. Use {setting('tile', 128)}.")


def test_every_engine_that_is_installed_is_timed(command, nearest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.cli.doctor._SECONDS", 0.0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setitem(ENGINES, "torch", replace(ENGINES["torch"], load=refuse))
    lines = command("doctor").lines
    assert any(line.startswith("  torch: ") and line.endswith("It is broken. Use --tile 128.") for line in lines)
    timed = [line.split(":")[0].strip() for line in lines if "input pixels/s" in line]
    assert timed == [name for name in ENGINES if name != "torch"]


def test_quick_and_speed_contradict(command) -> None:
    done = command("doctor", "--quick", "--speed")
    assert (done.status, done.err) == (2, "rlfn: Give either --quick or --speed, not both.\n")


def test_slow_engines_are_called_a_few_times_only(command, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr("rlfn.inference.upscaler.Upscaler", lambda *_, **__: calls.append)
    monkeypatch.setattr("rlfn.cli.doctor._SECONDS_EACH", 0.0)
    monkeypatch.setattr("rlfn.cli.doctor._SIZES", ((640, 360),))
    monkeypatch.setattr("rlfn.cli.doctor._installed", lambda: ["onnxruntime"])
    assert "640x360" in command("doctor", "--speed").out.decode()
    assert len(calls) == 4


def test_speed_says_which_engine_to_use(command, nearest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.cli.doctor._SECONDS_EACH", 0.0)
    monkeypatch.setattr("rlfn.cli.doctor._SIZES", ((16, 16), (40, 30)))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    text = command("doctor", "--speed").out.decode()
    for size in ("16x16", "40x30"):
        assert text.count(f"{size}: ") == 1
    assert text.count("'auto' chooses") == 2
    for name in ENGINES:
        assert f"{name} 0.0" in text
