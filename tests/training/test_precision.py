from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import TINY, tiny_pack, tiny_recipe

from rlfn.errors import OptionError
from rlfn.models.variants import VARIANTS
from rlfn.networks.checkpoints import load_checkpoint
from rlfn.training import precision
from rlfn.training.devices import Devices, start_fabric
from rlfn.training.learner import Learner
from rlfn.training.loop import train
from rlfn.training.precision import resolve_precision
from rlfn.training.run import settings_of_run


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that there is no GPU, and a processor without bfloat16."""
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize(
    ("able", "amd", "expected"),
    [
        ("_is_avx512_bf16_supported", True, "bf16-mixed"),
        ("_is_avx512_bf16_supported", False, "32-true"),
        ("_is_amx_tile_supported", False, "bf16-mixed"),
    ],
)
def test_auto_is_bf16_where_the_processor_is_faster_in_it(
    able: str, amd: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve_precision("auto", "auto") == resolve_precision("auto", "cpu") == "32-true"
    monkeypatch.setattr(torch.cpu, able, lambda: True, raising=False)
    monkeypatch.setattr(precision, "is_amd", lambda: amd)
    assert resolve_precision("auto", "auto") == resolve_precision("auto", "cpu") == expected


@pytest.mark.usefixtures("processor")
def test_auto_is_bf16_on_cuda_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for has in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert resolve_precision("auto", "cuda") == ("bf16-mixed" if has else "32-true")
        assert resolve_precision("auto", "cpu") == "32-true"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert resolve_precision("auto", "auto") == "bf16-mixed"


def test_what_is_named_is_kept() -> None:
    assert resolve_precision("16-mixed", "cpu") == "16-mixed"
    assert resolve_precision("32-true", "cuda") == "32-true"


def test_a_cpu_refuses_16_mixed() -> None:
    recipe = tiny_recipe({"init": "interpolate", "iterations": 2}, variant="rlfn-s", precision="16-mixed")
    with pytest.raises(OptionError, match=r"a CPU does not compute in 16-mixed\. Use 32-true, bf16-mixed or auto"):
        start_fabric(recipe, Devices(accelerator="cpu"))


@pytest.mark.parametrize("able", [False, True])
def test_a_run_says_in_which_precision_it_was_trained(
    able: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    monkeypatch.setattr(precision, "_cpu_has_bf16", lambda: able)
    seen: set[bool] = set()
    step = Learner.step

    def noting(self: Learner, lr: torch.Tensor, *rest: object) -> object:
        kernels = [value for name, value in self.network.named_parameters() if name.endswith("c1_r.weight")]
        seen.update(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (lr, *kernels))
        return step(self, lr, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "step", noting)
    recipe = tiny_recipe({"init": "interpolate", "iterations": 2}, precision="auto", saving={"onnx": False})
    out = tmp_path / "run"
    train(recipe, out, data=tiny_pack(tmp_path), devices=Devices(accelerator="cpu"))
    expected = "bf16-mixed" if able else "32-true"
    assert load_checkpoint(out / "model.safetensors").metadata["precision"] == expected
    assert settings_of_run(out)[0].precision == expected
    assert f"| precision | {expected} |" in (out / "README.md").read_text()
    assert seen == {True}
