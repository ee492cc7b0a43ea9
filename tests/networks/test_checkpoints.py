"""Reading and writing weights, and refusing what is no network."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rlfn.errors import ModelError, OptionError, OutputError
from rlfn.models.variants import VARIANTS, Variant, get_variant
from rlfn.networks import Checkpoint, build, load_checkpoint, save_checkpoint
from rlfn.networks.checkpoints import fold_range
from rlfn.training.checkpoint import write_state


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    variant = get_variant("rlfn-ntire")
    return Checkpoint(build(variant, 2).eval(), variant, 2)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_round_trip(checkpoint: Checkpoint, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    save_checkpoint(path, checkpoint.network, checkpoint.variant, checkpoint.scale, {"trained": "not at all"})
    found = load_checkpoint(path)
    assert (found.variant, found.scale) == (checkpoint.variant, 2)
    assert found.metadata.get("trained", "") == ("not at all" if suffix == ".safetensors" else "")
    for name, tensor in checkpoint.network.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], tensor)
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_weights_give_the_same_file(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """safetensors itself writes metadata in random order."""
    facts = {f"fact {number}": 'ü "quoted"' for number in range(20)}
    for name in ("a", "b"):
        save_checkpoint(tmp_path / f"{name}.safetensors", checkpoint.network, checkpoint.variant, 2, facts)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert load_checkpoint(tmp_path / "a.safetensors").metadata.items() >= facts.items()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("scale", [1, 3, 8])
def test_every_variant_is_recognised(name: str, scale: int, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(build(get_variant(name), scale).state_dict(), path)
    found = load_checkpoint(path)
    assert (found.variant.name, found.scale) == (name, scale)


def test_sizes_outside_the_table_are_read_off_the_file(tmp_path: Path) -> None:
    from rlfn.models.variants import RLFNFields

    fields = RLFNFields(blocks=3, channels=10, mid=7, esa_channels=5)
    path = tmp_path / "weights.pth"
    torch.save(build(Variant("mine", "rlfn", fields, ""), 2).state_dict(), path)
    found = load_checkpoint(path)
    assert (found.variant.name, found.variant.fields) == ("rlfn-custom", fields)


def test_data_parallel_and_wrapped_names_are_understood(checkpoint: Checkpoint, tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in checkpoint.network.state_dict().items()}
    torch.save({"params": state}, tmp_path / "weights.pth")
    assert load_checkpoint(tmp_path / "weights.pth").variant.name == "rlfn-ntire"


def test_folding_the_range_changes_nothing_else(checkpoint: Checkpoint) -> None:
    network = build(checkpoint.variant, 2).eval()
    network.load_state_dict(checkpoint.network.state_dict())
    fold_range(network, trained=1.0, wanted=255.0)
    x = torch.rand(1, 3, 20, 17)
    with torch.inference_mode():
        assert torch.allclose(network(x * 255.0), checkpoint.network(x) * 255.0, rtol=1e-4, atol=1e-2)


def test_foreign_files_are_refused_with_what_was_found(checkpoint: Checkpoint, tmp_path: Path) -> None:
    state = checkpoint.network.state_dict()
    path = tmp_path / "weights.pth"
    cases = {
        "holds a list": [1, 2],
        "holds 1 tensors \\(weight": {"weight": torch.zeros(3)},
        "1 of its tensors are missing, foreign": {name: state[name] for name in list(state)[:-1]},
        "block_1.c5.bias": {**state, "block_1.c5.bias": torch.zeros(3)},
    }
    for message, content in cases.items():
        torch.save(content, path)
        with pytest.raises(ModelError, match=message):
            load_checkpoint(path)


def test_pickled_code_is_never_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.pth", tmp_path / "mark"
    path.write_bytes(pickle.dumps({"weight": _Touch(str(mark))}, protocol=2))
    with pytest.raises(ModelError, match="other than tensors"):
        load_checkpoint(path)
    torch.save({"weight": _Touch(str(mark))}, path)
    with pytest.raises(ModelError, match="other than tensors"):
        load_checkpoint(path)
    assert not mark.exists()


class _Touch:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.mark, "w")


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x08\x00\x00\x00\x00\x00\x00\x00{}"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_damaged_files(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=str(path)):
        load_checkpoint(path)


def test_missing_and_foreign_suffixes(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model file"):
        load_checkpoint(tmp_path / "none.pth")
    (tmp_path / "a.bin").touch()
    with pytest.raises(ModelError, match=r"suffixes: \.safetensors"):
        load_checkpoint(tmp_path / "a.bin")


@pytest.mark.parametrize(("key", "value"), [("scale", "3"), ("variant", "rlfn"), ("value_range", "1")])
def test_metadata_that_contradicts_the_tensors(checkpoint: Checkpoint, tmp_path: Path, key: str, value: str) -> None:
    path = tmp_path / "weights.safetensors"
    facts = {"variant": "rlfn-ntire", "scale": "2", "value_range": "255", key: value}
    save_file(dict(checkpoint.network.state_dict()), path, metadata=facts)
    with pytest.raises(ModelError, match=value):
        load_checkpoint(path)


def test_bad_targets(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"\.safetensors, \.pth"):
        save_checkpoint(tmp_path / "a.onnx", checkpoint.network, checkpoint.variant, 2)
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(tmp_path / "none" / "a.pth", checkpoint.network, checkpoint.variant, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_torchscript_file_is_refused_as_such(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)), str(path))
    with pytest.raises(ModelError, match=r"network\.pt is a TorchScript program, not weights"):
        load_checkpoint(path)


def test_the_state_of_a_run_is_told_from_a_damaged_model(tmp_path: Path) -> None:
    write_state(tmp_path / "iteration-000000001.ckpt", {"weights": torch.zeros(2)})
    with pytest.raises(ModelError, match=r"state of a training run.* Give model\.safetensors or best\.safetensors"):
        load_checkpoint(tmp_path / "iteration-000000001.ckpt")
