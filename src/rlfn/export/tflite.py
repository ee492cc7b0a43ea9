"""LiteRT (TensorFlow Lite), for Android and small devices: one .tflite file of a fixed shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rlfn.errors import MissingExtraError
from rlfn.export.prepare import prepare
from rlfn.export.request import ExportRequest
from rlfn.networks import Checkpoint
from rlfn.networks.agreement import LoadedExport
from rlfn.networks.quiet import quiet


def write_tflite(checkpoint: Checkpoint, request: ExportRequest, path: Path) -> None:
    """Write a .tflite file of the fixed shape of ``request``.

    Raises:
        MissingExtraError: litert-torch is not installed.
    """
    try:
        with quiet():
            import litert_torch
    except ImportError:
        raise MissingExtraError("The export format tflite", "tflite") from None
    network, example = prepare(checkpoint, request)
    with quiet():
        litert_torch.convert(network, (example,)).export(str(path))


def load_tflite(path: Path) -> LoadedExport:
    """Load a .tflite file into LiteRT's interpreter on the CPU.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise MissingExtraError("Checking an export to tflite", "tflite") from None
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        interpreter.set_tensor(given, pictures)
        interpreter.invoke()
        found: NDArray[Any] = interpreter.get_tensor(made)
        return found

    return run
