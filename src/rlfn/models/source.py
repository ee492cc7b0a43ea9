"""The source of a model: a packaged name or a file's path, resolved to a graph or a file of weights."""

from __future__ import annotations

import os
from pathlib import Path

from rlfn.errors import ModelError, OptionError
from rlfn.models import catalog
from rlfn.models.graph_guard import check_graph, graph_metadata
from rlfn.models.traits import Traits
from rlfn.wording import listing, setting

GRAPH_SUFFIXES = (".onnx",)
TENSOR_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")


class ModelSource:
    """A model by name or path. Nothing is read until an engine needs it.

    Args:
        model: a packaged model's name, or the path of a .onnx, .safetensors or .pth file.

    Raises:
        OptionError: neither a packaged name nor a path with a known suffix.
        ModelError: the file does not exist.
    """

    def __init__(self, model: str | os.PathLike[str]) -> None:
        if not isinstance(model, str | os.PathLike):
            raise OptionError(
                f"A model of type {type(model).__name__} was given. Allowed: a name such as "
                f"{next(iter(catalog.models()))}, or the path of a model file."
            )
        self._model: catalog.Model | None = None
        self._path = Path(model)
        if isinstance(model, str) and model in catalog.models():
            self._model = catalog.models()[model]
            self.name = self.label = model
            return
        if not self._path.suffix and os.sep not in str(model):
            catalog.get_model(str(model))
        if self._path.suffix.lower() not in GRAPH_SUFFIXES + TENSOR_SUFFIXES:
            raise OptionError(
                f"'{model}' is neither a packaged model nor a model file. Packaged: {listing(catalog.models())}. "
                f"Files end in {listing(GRAPH_SUFFIXES + TENSOR_SUFFIXES)}."
            )
        if not self._path.is_file():
            raise ModelError(f"There is no model file {self._path}. Packaged models: {listing(catalog.models())}.")
        self.name, self.label = self._path.stem, str(self._path)

    @property
    def packaged(self) -> catalog.Model | None:
        """The packaged model; None for a file."""
        return self._model

    @property
    def has_graph(self) -> bool:
        """Whether an ONNX graph exists without an export."""
        return self._model is not None or self._path.suffix.lower() in GRAPH_SUFFIXES

    @property
    def stamp(self) -> tuple[str, int, int]:
        """A key that identifies this model, and changes when its file does."""
        if self._model is not None:
            return self.name, 0, 0
        try:
            facts = os.stat(self._path)
        except OSError as error:
            raise ModelError(f"{self._path} cannot be read: {error.strerror}. Check the file.") from error
        return os.path.realpath(self._path), facts.st_mtime_ns, facts.st_size

    def loss(self, precision: str) -> float | None:
        """Return the loss in dB of ``precision`` compared with fp32, the mean over the sets; None if not measured."""
        return None if self._model is None else self._model.loss(precision)

    def check_precision(self, precision: str) -> None:
        """Refuse a precision that this model does not support.

        Raises:
            OptionError: the precision is int8, and there is no such file.
        """
        if precision != "int8":
            return
        if self._model is None:
            raise OptionError(
                f"{self.label} is not a packaged model, so it has no int8 file. Export the weights in int8 and give "
                f"that file as the model, or use {setting('precision', 'fp32')}."
            )
        self._model.file(catalog.GRAPH, precision)

    def graph(self, precision: str = "fp32") -> bytes:
        """Return the ONNX graph of a packaged model or a .onnx file, to be computed in ``precision``.

        Raises:
            OptionError: there is no file of that precision.
            ModelError: the file cannot be read, is damaged, or is not a plain graph
                (:func:`rlfn.models.graph_guard.check_graph`).
        """
        self.check_precision(precision)
        if self._model is not None:
            return self._model.file(catalog.GRAPH, "int8" if precision == "int8" else "fp32").read()
        data = self._read()
        check_graph(data, self.label)
        return data

    def graph_traits(self) -> Traits:
        """Return the traits that the metadata of a .onnx file states; the graph itself is not read.

        Raises:
            ModelError: the file cannot be read, is damaged, or lacks the metadata.
        """
        metadata = graph_metadata(self._read(), self.label)
        try:
            return Traits.from_metadata(metadata)
        except ModelError as error:
            raise ModelError(f"{self.label}: {error.template}") from error

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise ModelError(f"{self._path} cannot be read: {error.strerror}. Check the file.") from error

    def weights(self) -> Path:
        """Return the path of the weights file.

        Raises:
            OptionError: the model is an ONNX file.
            ModelError: a packaged file is damaged.
        """
        if self._model is None and self.has_graph:
            raise OptionError(
                f"{self._path} is an ONNX graph, which torch cannot run. Give the .safetensors or .pth file instead."
            )
        if self._model is None:
            return self._path
        file = self._model.file(catalog.TENSORS)
        file.read()
        return file.path
