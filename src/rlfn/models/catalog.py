"""The packaged models: ``weights/manifest.json`` as plain data; the hashes of files are checked when they are read.

A new model needs files and a manifest entry, but no change here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from rlfn.errors import ModelError, OptionError, unknown
from rlfn.wording import listing, setting

WEIGHTS = Path(__file__).parent / "weights"

GRAPH = "onnx"
"""The format that onnxruntime and OpenVINO run."""

TENSORS = "safetensors"
"""The format of the weights themselves."""

PRECISIONS = ("fp32", "bf16", "int8")
"""Precisions of the computation. int8 has its own file; bf16 uses the fp32 file."""

_AGAIN = "Install rlfn again."


@dataclass(frozen=True)
class ModelFile:
    """One file of a model. ``scores`` are given if its precision changes them, otherwise empty."""

    path: Path
    format: str
    precision: str
    sha256: str
    scores: dict[str, dict[str, float]]

    def read(self) -> bytes:
        """Return the file's bytes.

        Raises:
            ModelError: it is missing, or its SHA-256 differs from the manifest's.
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
                f"The packaged model file {self.path.name} is damaged: its SHA-256 differs from the manifest's. "
                "Install rlfn again."
            )
        return data


@dataclass(frozen=True)
class Model:
    """One packaged model: a variant at a scale with weights for one purpose, named by the family.

    Attributes:
        family: the weights' purpose; the model's name consists of the family and the scale.
        variant: the network, a row of :data:`rlfn.models.variants.VARIANTS`.
        scores: set -> {"psnr": dB, "ssim": 0..1} on Y, border = scale, of its fp32 weights.
        training: how it was trained, in a sentence.
        bf16: like ``scores`` but computed in bf16, if measured.
        clean: the model for clean pictures from whose weights this one was trained, so that both can be blended;
            None if there is none.
        chain: the stages that made it, in order: ``stage`` (from 1), ``recipe`` and ``settings`` of ``rlfn train``,
            ``iterations``, ``lr_pixels``, ``seconds`` of steps, ``start``, ``teacher``, ``data`` and ``note``.
        int8_chain: the stages of quantization-aware training after those, for the int8 file alone; empty if that file
            has the weights of the others.
    """

    name: str
    family: str
    variant: str
    scale: int
    parameters: int
    files: tuple[ModelFile, ...]
    scores: dict[str, dict[str, float]]
    training: str
    licence: str
    bf16: dict[str, dict[str, float]] = field(default_factory=dict)
    chain: tuple[dict[str, Any], ...] = ()
    clean: str | None = None
    int8_chain: tuple[dict[str, Any], ...] = ()

    @property
    def precisions(self) -> tuple[str, ...]:
        """The supported precisions."""
        have = {file.precision for file in self.files}
        return tuple(name for name in PRECISIONS if name == "bf16" or name in have)

    def scores_in(self, precision: str) -> dict[str, dict[str, float]]:
        """Return the scores in a precision, set -> {"psnr": dB, "ssim": 0..1}; empty if not measured."""
        if precision == "fp32":
            return self.scores
        if precision == "bf16":
            return self.bf16
        return next((file.scores for file in self.files if file.precision == precision), {})

    def loss(self, precision: str) -> float | None:
        """Return the loss in dB of ``precision`` compared with fp32, the mean over the sets; None if not measured."""
        found = self.scores_in(precision)
        losses = [self.scores[name]["psnr"] - scores["psnr"] for name, scores in found.items()]
        return sum(losses) / len(losses) if losses else None

    def file(self, format: str, precision: str = "fp32") -> ModelFile:
        """Return the file of the given format and precision.

        Raises:
            OptionError: there is no such file; the message lists those that exist.
        """
        for file in self.files:
            if (file.format, file.precision) == (format, precision):
                return file
        have = listing(f"{file.format} {file.precision}" for file in self.files)
        raise OptionError(f"There is no {precision} {format} file of {self.name}. It has: {have}.")


@lru_cache(maxsize=1)
def _manifest() -> dict[str, Any]:
    import json

    try:
        found: dict[str, Any] = json.loads((WEIGHTS / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"The list of packaged models, {WEIGHTS / 'manifest.json'}, is damaged. {_AGAIN}") from error
    return found


@lru_cache(maxsize=1)
def models() -> dict[str, Model]:
    """Return the packaged models by name, in the manifest's order: the default of a scale comes first.

    Raises:
        ModelError: the manifest is missing or damaged.
    """
    try:
        found = {name: _model(name, entry) for name, entry in _manifest()["models"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"The list of packaged models, {WEIGHTS / 'manifest.json'}, is damaged. {_AGAIN}") from error
    if not found:
        raise ModelError(f"The list of packaged models, {WEIGHTS / 'manifest.json'}, is empty. {_AGAIN}")
    return found


def get_model(name: str) -> Model:
    """Return the packaged model called ``name``.

    Raises:
        OptionError: there is no such model; the message lists families and models, or for a family its models.
    """
    if name in families():
        own = listing(model.name for model in models().values() if model.family == name)
        raise OptionError(f"{name} is a family. Name one of its models: {own}.")
    if name not in models():
        raise unknown("packaged model or family", name, (*families(), *models()))
    return models()[name]


def families() -> tuple[str, ...]:
    """Return the names of the packaged families, in the manifest's order."""
    return tuple(dict.fromkeys(model.family for model in models().values()))


def photo_families() -> dict[str, str]:
    """Return family for clean pictures -> family for photographs of the same lineage."""
    rows = _manifest().get("families", {})
    return {family: row["photo"] for family, row in rows.items() if row.get("photo") in families()}


def model_for_scale(scale: int, family: str | None = None) -> Model:
    """Return the default model of a scale, or a family's model at that scale.

    Raises:
        OptionError: no packaged model has this scale; the message lists the scales.
    """
    for model in models().values():
        if model.scale == scale and family in (None, model.family):
            return model
    have = listing(f"x{model.scale} ({model.name})" for model in models().values())
    raise OptionError(
        f"No packaged model upscales x{scale}. Packaged: {have}. Give weights of your own with {setting('model')}, "
        f"or a smaller size with {setting('width')} or {setting('height')}."
    )


def _model(name: str, entry: dict[str, Any]) -> Model:
    files = tuple(
        ModelFile(WEIGHTS / file["file"], file["format"], file["precision"], file["sha256"], file.get("scores", {}))
        for file in entry["files"]
    )
    return Model(
        name=name,
        family=entry["family"],
        variant=entry["variant"],
        scale=entry["scale"],
        parameters=entry["parameters"],
        files=files,
        scores=entry["scores"],
        training=entry["training"],
        licence=entry["licence"],
        bf16=entry.get("bf16", {}),
        chain=tuple(entry.get("chain", ())),
        clean=entry.get("clean"),
        int8_chain=tuple(entry.get("int8_chain", ())),
    )
