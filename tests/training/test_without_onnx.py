"""What a run leaves where the ONNX file cannot be made: everything else, and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import TINY, tiny_recipe

from rlfn.errors import MissingExtraError, ModelError
from rlfn.export import formats
from rlfn.models.variants import VARIANTS
from rlfn.training.devices import Devices
from rlfn.training.loop import train


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModuleNotFoundError("No module named 'onnx'"), "pip install 'rlfn[torch]'"),
        (MissingExtraError("Quantising", "int8"), "Quantising needs"),
        (ImportError("cannot import name 'one'"), "cannot import name 'one'"),
        (ModelError("The graph differs."), "The graph differs."),
    ],
)
def test_a_run_ends_well_without_its_onnx_file(
    error: Exception,
    reason: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    monkeypatch.setattr(formats, "export", fail)
    assert train(tiny_recipe({"init": "interpolate", "iterations": 2}), tmp_path, data=data, devices=Devices("cpu"))
    said = capsys.readouterr()
    assert f"model.onnx is not written: {reason}" in " ".join((said.out + said.err).split())
    assert not (tmp_path / "model.onnx").exists()
    assert (tmp_path / "model.safetensors").is_file()
    assert (tmp_path / "README.md").is_file()
