"""ncnn on a GPU of any maker, through Vulkan: tile by tile, in fp32."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import RlfnError
from rlfn.forked import outlives_fork
from rlfn.inference.blockwise.layers import Graph
from rlfn.inference.blockwise.nets import fill_net, import_ncnn, new_net
from rlfn.inference.engines.base import CPU, Array
from rlfn.inference.footprint import bytes_per_pixel
from rlfn.inference.hardware import default_threads
from rlfn.inference.loading import tensors_of
from rlfn.inference.vulkan.gpus import Gpu, NoGpuError, no_gpu
from rlfn.inference.vulkan.graphs import grid_blobs, whole_graph
from rlfn.models.grid import Grid, axis_grid
from rlfn.models.source import ModelSource
from rlfn.models.traits import Traits

LARGEST_TILE = 384
"""The largest side of a tile in px, for networks of up to 101 channels."""

_LARGEST_ARRAY = 128 << 20
_ARRAY_BYTES = 9
"""Vulkan warrants arrays of 128 MiB, and Winograd's, the largest, have 9 bytes a pixel and channel."""

_MEMORY_SHARE = 0.5
"""Share of a GPU's free memory for the work on a tile."""

_CLOSE = 0.25
"""Largest difference from the processor, in levels of 255; rounding alone makes a thousandth."""


class VulkanEngine:
    """ncnn on a GPU; if that fails on the way, the same graph on the processor.

    The graphs are made here from the weights' tensors, so that ncnn never reads a file from elsewhere.

    Args:
        model: what a user calls a model.
        threads: of the processor, should the GPU fail; None for all cores.
        gpu: where to compute.

    Raises:
        NoGpuError: the network has no graph for a GPU, or the GPU too little memory, or it computes something else.
    """

    name = "ncnn"
    precision = "fp32"

    def __init__(self, model: ModelSource, threads: int | None, gpu: Gpu) -> None:
        variant, scale, tensors = tensors_of(model)
        made = whole_graph(variant, scale, tensors)
        if made is None:
            raise NoGpuError(
                f"{model.label} is a network of the architecture {variant.architecture}, which has no graph for a GPU"
            )
        self._graph, self.traits = made
        self.takes_grid = len(self._graph.inputs) > 1
        widest = max(tensor.shape[0] for tensor in tensors.values())
        self._most = min(LARGEST_TILE, math.isqrt(_LARGEST_ARRAY // (_ARRAY_BYTES * widest)))
        self._threads, self._gpu = threads, gpu
        self.device, self.fallback_reason = gpu.name, ""
        self._check_memory()
        self._net = _GraphNet(self._graph, threads, gpu)
        self._check_result()
        outlives_fork(self)

    def __call__(self, lr: Array, grid: Grid | None = None) -> Array:
        """Upscale ``lr`` (N, 3, H, W) float32 in [0, 255]."""
        beside = grid_blobs(grid or _whole_grid(lr)) if self.takes_grid else {}
        return np.stack([self._one(tile, beside) for tile in lr])

    def largest_tile(self) -> int:
        """Return the largest side of a tile for the memory that is free now."""
        affordable = self._most if self.device == CPU else self._affordable()
        return max(smallest_tile(self.traits), min(self._most, affordable))

    def _one(self, tile: Array, beside: dict[str, Array]) -> Array:
        try:
            return self._net(lr=tile, **beside)
        except NoGpuError as error:
            if self.device == CPU:
                raise
            self.fallback_reason, self.device = no_gpu(error), CPU
            self._net = _GraphNet(self._graph, self._threads, None)
            return self._net(lr=tile, **beside)

    def _affordable(self) -> int:
        return math.isqrt(int(self._gpu.free_memory() * _MEMORY_SHARE / bytes_per_pixel("vulkan", self.traits.variant)))

    def _check_memory(self) -> None:
        least = smallest_tile(self.traits)
        if self._affordable() < least:
            free = self._gpu.free_memory() / 2**20
            raise NoGpuError(
                f"{self._gpu.name} has {free:,.0f} MiB of free memory, too little for a tile of {least} px. "
                "Close what uses it"
            )

    def _check_result(self) -> None:
        """Compare with the processor: a driver that computes something else is told from one that works."""
        side = max(self.traits.min_side, 16)
        lr = np.random.default_rng(0).uniform(0, 255, (3, side, side + 1)).astype(np.float32)
        beside = grid_blobs(_whole_grid(lr[None])) if self.takes_grid else {}
        off = np.abs(self._net(lr=lr, **beside) - _GraphNet(self._graph, 1, None)(lr=lr, **beside)).max()
        if not off <= _CLOSE:
            raise NoGpuError(
                f"{self._gpu.name} computes something else than the processor, by up to {off:.3g} levels of 255. "
                "A newer driver may help"
            )


class _GraphNet:
    """A graph that ncnn has loaded, on a GPU or, without one, on the processor; inputs and results are unpacked."""

    def __init__(self, graph: Graph, threads: int | None, gpu: Gpu | None) -> None:
        self._inputs, (self._output,) = frozenset(graph.inputs), graph.outputs
        self._ncnn = import_ncnn()
        self._net = new_net(threads or default_threads())
        if gpu is not None:
            self._net.opt.use_vulkan_compute = True
            self._net.set_vulkan_device(gpu.number)
        try:
            fill_net(self._net, graph)
        except RlfnError as error:
            if gpu is None:
                raise
            raise NoGpuError(f"{gpu.name} cannot load the network. A newer driver may help") from error
        self._on_gpu, self._where = gpu is not None, "the processor" if gpu is None else gpu.name

    def __call__(self, **given: NDArray[np.float32]) -> Array:
        """Return a copy of the output.

        Raises:
            NoGpuError: ncnn failed.
        """
        assert given.keys() == self._inputs, (sorted(given), sorted(self._inputs))  # an unknown blob is a crash
        extractor: Any = self._net.create_extractor()
        for name, array in given.items():
            held = np.ascontiguousarray(array, np.float32)  # a Mat of it does not copy it; the Mat's clone does
            extractor.input(name, self._ncnn.Mat(held).clone())
        failed, made = extractor.extract(self._output)
        if failed:
            raise NoGpuError(f"{self._where} failed at a tile; its memory may be used by other programs")
        sr: Array = np.array(made)
        if self._on_gpu and not np.isfinite(sr.sum()):
            raise NoGpuError(f"{self._where} returned NaN or infinite values")
        return sr


def smallest_tile(traits: Traits) -> int:
    """Return the smallest side of a tile that has a core between its margins."""
    return 2 * math.ceil(traits.margin / traits.stride) * traits.stride + traits.stride


def _whole_grid(lr: Array) -> Grid:
    height, width = lr.shape[2:]
    return axis_grid(0, height, height), axis_grid(0, width, width)
