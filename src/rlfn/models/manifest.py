"""Writing the manifest of packaged models: entries, file rows, and the stages of a chain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlfn.atomic import write_bytes
from rlfn.models.catalog import WEIGHTS, models

MANIFEST = WEIGHTS / "manifest.json"


def entries(path: Path = MANIFEST) -> dict[str, dict[str, Any]]:
    """Return the manifest's entries by model, in its order; empty if there is no manifest yet."""
    if not path.exists():
        return {}
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["models"]
    return found


def put(name: str, entry: dict[str, Any], *, first: bool = False, path: Path = MANIFEST) -> None:
    """Write a model's entry: replace an existing one of that name, otherwise append it, or insert it ``first``.

    Raises:
        OutputError: the manifest cannot be written.
    """
    whole = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found = whole.get("models", {})
    found = {name: entry, **{key: value for key, value in found.items() if key != name}} if first else found
    found[name] = entry
    write_bytes(path, (json.dumps({**whole, "models": found}, indent=2) + "\n").encode())
    models.cache_clear()


def file_row(
    path: Path, format: str, precision: str, scores: Mapping[str, Mapping[str, float]] | None = None
) -> dict[str, Any]:
    """Return the row of a model's file, with scores if its precision changes them."""
    row: dict[str, Any] = {
        "file": path.name,
        "format": format,
        "precision": precision,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return row if scores is None else {**row, "scores": scores}


def stage_of(metadata: Mapping[str, str], number: int = 1) -> dict[str, Any] | None:
    """Return stage ``number`` of a chain from the metadata of a trained model's file; None if it has none.

    The keys are those of :class:`rlfn.models.catalog.Model`'s ``chain``.

    >>> stage_of({"recipe": "r", "iterations": "20", "lr_pixels": "900", "hours": "0.5",
    ...           "initial_weights": "runs/a.safetensors", "teachers": "none"})["start"]
    'a.safetensors'
    """
    if "recipe" not in metadata:
        return None
    start = metadata.get("initial_weights", "").split(",")[0].strip()
    teachers = metadata.get("teachers", "none")
    return {
        "stage": number,
        "recipe": metadata["recipe"],
        "settings": [],
        "iterations": int(metadata["iterations"]),
        "lr_pixels": int(metadata["lr_pixels"]),
        "seconds": round(float(metadata["hours"]) * 3600.0),
        "start": Path(start).name,
        "teacher": None if teachers == "none" else teachers,
        "data": metadata.get("data", ""),
        "note": "",
    }
