"""The models inside the package: ``weights/manifest.json`` as plain data; files are opened with their hashes checked.

A further model is files and a manifest entry; nothing here changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rlfn.errors import ModelError, OptionError, listing, unknown

WEIGHTS = Path(__file__).parent / "weights"

GRAPH = "onnx"
"""The format that onnxruntime and OpenVINO run."""

TENSORS = "safetensors"
"""The format of the weights themselves."""


@dataclass(frozen=True)
class ModelFile:
    """One file of a model. ``scores`` are its own where its precision changes them, else empty."""

    path: Path
    format: str
    precision: str
    sha256: str
    scores: dict[str, dict[str, float]]

    def read(self) -> bytes:
        """Return the file's bytes.

        Raises:
            ModelError: it is missing, or its SHA-256 is not the manifest's.
        """
        import hashlib

        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"The packaged model file {self.path.name} cannot be read: {error.strerror}. Install rlfn again."
            ) from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ModelError(
                f"The packaged model file {self.path.name} is damaged: its SHA-256 is not the manifest's. "
                "Install rlfn again."
            )
        return data


@dataclass(frozen=True)
class Model:
    """One packaged model: a variant at a scale with weights.

    Attributes:
        scores: set -> {"psnr": dB, "ssim": 0..1} on Y, border = scale, of its fp32 weights.
        training: how it was trained, in a sentence.
    """

    name: str
    variant: str
    scale: int
    parameters: int
    files: tuple[ModelFile, ...]
    scores: dict[str, dict[str, float]]
    training: str
    licence: str

    def file(self, format: str, precision: str = "fp32") -> ModelFile:
        """Return the file of the given format and precision.

        Raises:
            OptionError: there is none; the message lists those that exist.
        """
        for file in self.files:
            if (file.format, file.precision) == (format, precision):
                return file
        have = listing(f"{file.format} {file.precision}" for file in self.files)
        raise OptionError(f"{self.name} has no {format} file of precision {precision}. It has: {have}.")


@lru_cache(maxsize=1)
def models() -> dict[str, Model]:
    """Return the packaged models by name, in the manifest's order: the default of a scale comes first."""
    import json

    manifest = json.loads((WEIGHTS / "manifest.json").read_text(encoding="utf-8"))
    return {name: _model(name, entry) for name, entry in manifest["models"].items()}


def get_model(name: str) -> Model:
    """Return the packaged model called ``name``.

    Raises:
        OptionError: there is none; the message lists those that exist.
    """
    if name not in models():
        raise unknown("packaged model", name, models())
    return models()[name]


def variants() -> tuple[str, ...]:
    """Return the names of the networks that are packaged, in the manifest's order."""
    return tuple(dict.fromkeys(model.variant for model in models().values()))


def model_for_scale(scale: int, variant: str | None = None) -> Model:
    """Return the default model of a scale, or that of a network at that scale.

    Raises:
        OptionError: no packaged model serves it; the message says which scales are served.
    """
    for model in models().values():
        if model.scale == scale and variant in (None, model.variant):
            return model
    have = listing(f"x{model.scale} ({model.name})" for model in models().values())
    raise OptionError(
        f"No packaged model upscales x{scale}. Packaged: {have}. "
        "Give weights of your own with --model, or a smaller size with --width or --height."
    )


def _model(name: str, entry: dict[str, Any]) -> Model:
    files = tuple(
        ModelFile(WEIGHTS / file["file"], file["format"], file["precision"], file["sha256"], file.get("scores", {}))
        for file in entry["files"]
    )
    return Model(
        name=name,
        variant=entry["variant"],
        scale=entry["scale"],
        parameters=entry["parameters"],
        files=files,
        scores=entry["scores"],
        training=entry["training"],
        licence=entry["licence"],
    )
