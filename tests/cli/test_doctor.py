"""``rlfn doctor``."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest

import rlfn
from rlfn.images.formats import FORMATS
from rlfn.inference.engines import ENGINES
from rlfn.models import catalog


def test_it_says_what_is_here(command) -> None:
    done = command("doctor", "--quick")
    assert (done.status, done.err) == (0, "")
    text = done.out.decode()
    assert text.startswith(f"rlfn {rlfn.__version__}, Python {platform.python_version()}")
    for name in ("numpy", "onnxruntime", "libvips", *FORMATS, *catalog.models()):
        assert name in text, name
    assert "speed" not in text


def test_packages_that_lack_are_named(command, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def version(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError
        return "1.2.3"

    monkeypatch.setattr(metadata, "version", version)
    lines = command("doctor", "--quick").lines
    assert "  torch: not installed" in lines
    assert "  numpy 1.2.3" in lines


def test_a_damaged_model_file_is_named(command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name, model = next(iter(catalog.models().items()))
    (tmp_path / "cut.onnx").write_bytes(model.files[0].path.read_bytes()[:1000])
    broken = replace(model, files=(*model.files, replace(model.files[0], path=tmp_path / "cut.onnx")))
    monkeypatch.setitem(catalog.models(), name, broken)
    done = command("doctor", "--quick")
    assert done.status == 1
    assert "cut.onnx is damaged" in done.err
    assert done.err.count("\n") == 1


def test_every_engine_that_is_installed_is_timed(command, nearest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.cli.doctor._SECONDS", 0.0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    lines = command("doctor").lines
    timed = [line.split(":")[0].strip() for line in lines if "input pixels/s" in line]
    assert timed == list(ENGINES)
