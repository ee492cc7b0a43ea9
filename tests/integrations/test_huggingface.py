"""Models as folders of the Hugging Face hub; the hub itself is stood in for."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from rlfn.errors import MissingExtraError, ModelError, OutputError
from rlfn.integrations.huggingface import from_pretrained, push_to_hub, save_pretrained
from rlfn.models import catalog


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pretrained("rlfn-s-x4", tmp_path_factory.mktemp("hub") / "mine")


def test_a_folder_holds_the_same_network(folder: Path) -> None:
    from rlfn.networks import load_checkpoint

    found = from_pretrained(folder)
    wanted = load_checkpoint(catalog.get_model("rlfn-s-x4").file(catalog.TENSORS).path)
    assert (found.variant, found.scale) == (wanted.variant, wanted.scale)
    lr = torch.rand(1, 3, 20, 20) * 255
    assert torch.equal(found.network(lr), wanted.network(lr))


def test_the_content_of_card_and_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert (config["variant"], config["scale"], config["value_range"]) == ("rlfn-s", 4, 255)
    card = (folder / "README.md").read_text()
    model = catalog.get_model("rlfn-s-x4")
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert model.training in card
    for name, score in model.scores.items():
        assert f"| {name} | {score['psnr']:.3f} | {score['ssim']:.4f} |" in card


def test_the_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    class Api:
        def __init__(self, token: str | None) -> None:
            told.append(token)

        def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
            told.append((repo, private))

        def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> str:
            shutil.copytree(folder_path, tmp_path / "hub")
            return f"https://example.org/{repo_id}"

    def download(name: str, file: str, *, revision: str | None) -> str:
        told.append((name, revision))
        return str(tmp_path / "hub" / file)

    hub = types.ModuleType("huggingface_hub")
    hub.__dict__.update(HfApi=Api, hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert push_to_hub("rlfn-s-x4", "me/mine", private=True, token="t") == "https://example.org/me/mine"
    assert sorted(path.name for path in (tmp_path / "hub").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert 'from_pretrained("me/mine")' in (tmp_path / "hub" / "README.md").read_text()
    assert from_pretrained("me/mine", revision="v1").scale == 4
    assert told == ["t", ("me/mine", True), ("me/mine", "v1")]


def test_files_that_exist_are_replaced_as_a_whole(tmp_path: Path) -> None:
    kept = {name: tmp_path / f"my {name}" for name in ("README.md", "config.json")}
    for name, file in kept.items():
        file.write_text("mine")
        (tmp_path / "hub").mkdir(exist_ok=True)
        (tmp_path / "hub" / name).symlink_to(file)
    save_pretrained("rlfn-s-x4", tmp_path / "hub")
    assert [file.read_text() for file in kept.values()] == ["mine", "mine"]
    assert json.loads((tmp_path / "hub" / "config.json").read_text())["scale"] == 4


def test_errors_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        from_pretrained(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_pretrained("rlfn-s-x4", tmp_path / "file")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlfn\[huggingface\]'"):
        from_pretrained("nobody/nothing")
    hub = types.ModuleType("huggingface_hub")

    def offline(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    hub.__dict__.update(hf_hub_download=offline)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(ModelError, match="no route"):
        from_pretrained("nobody/nothing")
