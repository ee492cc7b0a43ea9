"""The manifest as it is written, and the stages that a file of weights tells."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rlfn.models.manifest import MANIFEST, entries, file_row, put, stage_of


def test_the_packaged_manifest_names_families() -> None:
    for name, entry in entries().items():
        assert name == f"{entry['family']}-x{entry['scale']}"


def test_entries_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    assert entries(path) == {}
    for number, name in enumerate(("b", "a", "c")):
        put(name, {"number": number}, path=path)
    put("a", {"number": 7}, path=path)
    put("d", {"number": 8}, first=True, path=path)
    assert list(entries(path).items()) == [
        ("d", {"number": 8}),
        ("b", {"number": 0}),
        ("a", {"number": 7}),
        ("c", {"number": 2}),
    ]
    put("c", {"number": 9}, first=True, path=path)
    assert list(entries(path)) == ["c", "d", "b", "a"]
    assert path.read_bytes().endswith(b"}\n")


def test_the_manifest_is_written_as_it_is_kept(tmp_path: Path) -> None:
    """No difference but what was changed: putting an entry back changes no byte."""
    path = tmp_path / "manifest.json"
    path.write_bytes(MANIFEST.read_bytes())
    name = next(iter(entries()))
    put(name, entries()[name], path=path)
    assert path.read_bytes() == MANIFEST.read_bytes()


def test_the_row_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"graph")
    row = {"file": "m.onnx", "format": "onnx", "precision": "fp32", "sha256": hashlib.sha256(b"graph").hexdigest()}
    assert file_row(path, "onnx", "fp32") == row
    assert file_row(path, "onnx", "fp32", {"Set5": {"psnr": 1.0}}) == {**row, "scores": {"Set5": {"psnr": 1.0}}}


def test_a_stage_is_read_from_the_metadata() -> None:
    said = {
        "recipe": "weights-s-x4",
        "stages": "2",
        "iterations": "700",
        "lr_pixels": "123456",
        "hours": "0.2500",
        "initial_weights": "/runs/a/model.safetensors, previous",
        "teachers": "rlfn_s_x4.pth",
        "data": "div2k.pack: 800 pictures, bicubic",
    }
    stage = stage_of(said, number=3)
    assert stage == {
        "stage": 3,
        "recipe": "weights-s-x4",
        "settings": [],
        "iterations": 700,
        "lr_pixels": 123456,
        "seconds": 900,
        "start": "model.safetensors",
        "teacher": "rlfn_s_x4.pth",
        "data": "div2k.pack: 800 pictures, bicubic",
        "note": "",
    }
    assert stage.keys() == entries()["rlfn-s-x4"]["chain"][0].keys()
    assert stage_of({**said, "teachers": "none"})["teacher"] is None
    assert stage_of({"trained": "somehow"}) is None
