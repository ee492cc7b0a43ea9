"""ONNX Runtime: the engine of the base install."""

from __future__ import annotations

from rlfn.forked import outlives_fork
from rlfn.inference.engines.base import Array, feed, not_onnx, takes_grid
from rlfn.inference.hardware import default_threads
from rlfn.models.grid import Grid
from rlfn.models.traits import Traits
from rlfn.telemetry import import_silent


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU: the engine of the base install."""

    name = "onnxruntime"

    def __init__(self, model: bytes, threads: int | None = None, precision: str = "fp32") -> None:
        onnxruntime = import_silent("onnxruntime")

        self.precision = precision

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or default_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised; printed they would reach the terminal too
        # its idle threads would spin on after a run and take a core from what comes next: files, or another model
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self._session = onnxruntime.InferenceSession(
                model,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # it prints a report, and tries the same again
            )
            said = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # onnxruntime's errors share no public base class
            raise not_onnx(error) from error
        self.traits = Traits.from_metadata(said)
        outlives_fork(self)
        self.takes_grid = takes_grid([found.name for found in self._session.get_inputs()])

    def __call__(self, lr: Array, grid: Grid | None = None) -> Array:
        """Upscale ``lr`` (N, 3, H, W) float32 in [0, 255]."""
        sr: Array = self._session.run(None, feed(lr, grid))[0]
        return sr
