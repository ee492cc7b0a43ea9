"""What a user calls a model: a packaged name or the path of a file, resolved to a graph or to weights."""

from __future__ import annotations

import os
from pathlib import Path

from rlfn.errors import ModelError, OptionError, listing, unknown
from rlfn.models import catalog

GRAPH_SUFFIXES = (".onnx",)
TENSOR_SUFFIXES = (".safetensors", ".pth", ".pt")


class Reference:
    """Where a model comes from. Nothing is read before an engine asks for it.

    Args:
        model: a packaged model's name, or the path of a .onnx, .safetensors or .pth file.
        precision: of a packaged model's file, e.g. ``"fp32"``.

    Raises:
        OptionError: neither a packaged name nor a path of a known kind.
        ModelError: the file does not exist.
    """

    def __init__(self, model: str | os.PathLike[str], precision: str = "fp32") -> None:
        self.precision = precision
        self._model: catalog.Model | None = None
        self._path = Path(model)
        if isinstance(model, str) and model in catalog.models():
            self._model = catalog.models()[model]
            self.name = self.label = model
            precisions = sorted({file.precision for file in self._model.files})
            if precision not in precisions:
                raise unknown(f"precision of {model}", precision, precisions)
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
        if precision != "fp32":
            raise OptionError(f"A precision of {precision} was asked for, but only packaged models have several.")
        self.name, self.label = self._path.stem, str(self._path)

    @property
    def has_graph(self) -> bool:
        """Whether there is an ONNX graph without exporting one."""
        return self._model is not None or self._path.suffix.lower() in GRAPH_SUFFIXES

    def graph(self) -> bytes:
        """Return the ONNX graph of a packaged model or a .onnx file.

        Raises:
            ModelError: the file cannot be read or is damaged.
        """
        if self._model is not None:
            return self._model.file(catalog.GRAPH, self.precision).read()
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise ModelError(f"{self._path} cannot be read: {error.strerror}. Check the file.") from error

    def weights(self) -> Path:
        """Return the file of the weights themselves.

        Raises:
            OptionError: the model is an ONNX file, or an int8 one.
            ModelError: a packaged file is damaged.
        """
        if self._model is None and self.has_graph:
            raise OptionError(
                f"{self._path} is an ONNX graph, which torch cannot run. Give the .safetensors or .pth file instead."
            )
        if self.precision != "fp32":
            raise OptionError(
                f"torch runs the weights of {self.name} in fp32, not in {self.precision}. "
                "Use the engine onnxruntime or openvino."
            )
        if self._model is None:
            return self._path
        file = self._model.file(catalog.TENSORS)
        file.read()
        return file.path
