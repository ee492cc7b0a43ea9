"""A family for photographs made up from a packaged one: its weights are moved a little, in every kind of file."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from rlfn.models import catalog

CLEAN, PHOTO = "rlfn-xs", "rlfn-xs-photo"


def _moved(name: str, folder: Path) -> list[dict[str, str]]:
    """Write the files of a model with other weights; return their rows of the manifest."""
    model, random = catalog.get_model(name), np.random.default_rng(0)
    with safe_open(model.file(catalog.TENSORS).path, "numpy") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors = {
        key: (value * random.uniform(0.9, 1.1, value.shape)).astype(np.float32) for key, value in tensors.items()
    }
    graph = onnx.load_from_string(model.file(catalog.GRAPH).read())
    for tensor in graph.graph.initializer:
        if tensor.name in tensors:
            tensor.raw_data = tensors[tensor.name].tobytes()
    paths = {kind: folder / f"{name}-moved.{kind}" for kind in (catalog.TENSORS, catalog.GRAPH)}
    save_file(tensors, paths[catalog.TENSORS], metadata)
    paths[catalog.GRAPH].write_bytes(graph.SerializeToString())
    return [
        {
            "file": str(path),
            "format": kind,
            "precision": "fp32",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for kind, path in paths.items()
    ]


@pytest.fixture(scope="session")
def photo_files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, str]]]:
    folder = tmp_path_factory.mktemp("photo")
    return {scale: _moved(f"{CLEAN}-x{scale}", folder) for scale in (4, 2)}


@pytest.fixture
def photo_family(photo_files: dict[int, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add ``rlfn-xs-photo`` at x4, which can be blended with ``rlfn-xs``, and at x2, which cannot."""
    manifest = copy.deepcopy(catalog._manifest())
    for scale, files in photo_files.items():
        entry = {**manifest["models"][f"{CLEAN}-x{scale}"], "family": PHOTO, "files": files}
        manifest["models"][f"{PHOTO}-x{scale}"] = {**entry, "clean": f"{CLEAN}-x4"} if scale == 4 else entry
    manifest["families"] = {CLEAN: {"photo": PHOTO}}
    yield from _instead(manifest, monkeypatch)


@pytest.fixture
def no_photo_family(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take every family for photographs away."""
    yield from _instead({**catalog._manifest(), "families": {}}, monkeypatch)


def _instead(manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(catalog, "_manifest", lambda: manifest)
    catalog.models.cache_clear()
    yield
    catalog.models.cache_clear()
