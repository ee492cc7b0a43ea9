"""A safe wrapper of ncnn that avoids its crashes and undefined behaviour.

- An ``ncnn.Mat`` made from an array does not copy it: :class:`Call` keeps the arrays alive while ncnn reads them.
- ncnn loads up to sixteen channels at once and crashes at addresses that are not multiples of that: :func:`aligned`.
- An unknown blob name crashes: names are checked against the graph's.
- A result lives in the net's memory and is freed with it: callers copy what they keep.
- OpenMP threads spin: a net computes on the calling thread only.

The GIL is released while a net computes, and threads can share a net.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError, RlfnError
from rlfn.inference.blockwise.layers import Graph
from rlfn.inference.hardware import features

INSTALL_NCNN = "pip install ncnn"
"""ncnn is part of the base install; the extra ``ncnn`` is for exports."""

_ALIGNMENT = 64

_OFF = (
    "use_vulkan_compute",
    "use_fp16_packed",
    "use_fp16_storage",
    "use_fp16_arithmetic",
    "use_bf16_packed",
    "use_bf16_storage",
)
"""Options that reduce the precision below fp32; all are turned off."""


def import_ncnn() -> Any:
    """Import and return ncnn.

    Raises:
        MissingExtraError: ncnn is not installed.
    """
    try:
        import ncnn
    except ModuleNotFoundError:
        raise MissingExtraError("The engine ncnn", install=INSTALL_NCNN) from None
    return ncnn


def pack_of(channels: int) -> int:
    """Return the number of interleaved channels: a plane is (C / pack, H, W, pack).

    This is ncnn's native layout on AVX2 and AVX-512; on other processors ncnn converts it.
    """
    widest = 16 if "avx512f" in features() else 8
    return next(pack for pack in (widest, 8, 4, 1) if channels % pack == 0)


def aligned(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return an array of zeros aligned to 64 bytes."""
    size = int(np.prod(shape))
    room = np.zeros(size + _ALIGNMENT // 4, np.float32)
    start = -room.ctypes.data % _ALIGNMENT // 4
    return room[start : start + size].reshape(shape)


class Memory:
    """Allocators for results and scratch memory, shared by nets: separate ones would each keep a tile's memory."""

    def __init__(self) -> None:
        ncnn = import_ncnn()
        self.blobs, self.scratch = ncnn.PoolAllocator(), ncnn.PoolAllocator()


def new_net(threads: int) -> Any:
    """Return an empty ncnn net that computes in fp32 on ``threads`` CPU threads."""
    net = import_ncnn().Net()
    net.opt.num_threads = threads
    for option in _OFF:
        if hasattr(net.opt, option):  # older versions have fewer
            setattr(net.opt, option, False)
    return net


def fill_net(net: Any, graph: Graph) -> None:
    """Load a graph into an empty net whose options are set already.

    Raises:
        RlfnError: ncnn cannot load it.
    """
    failed = net.load_param_mem(graph.text())
    with tempfile.TemporaryDirectory(prefix="rlfn-") as folder:
        path = Path(folder) / "weights.bin"  # the binding reads weights only from files
        path.write_bytes(graph.weights())
        failed = failed or net.load_model(os.fspath(path))
    if failed:
        raise RlfnError("ncnn cannot load a graph built by rlfn. Please report this with its version.")


class Net:
    """A graph loaded by ncnn, computing in fp32 on the calling thread."""

    def __init__(self, graph: Graph, memory: Memory) -> None:
        self._ncnn, self._memory = import_ncnn(), memory
        self._inputs, self._outputs = frozenset(graph.inputs), frozenset(graph.outputs)
        self._net = new_net(1)
        self._net.opt.blob_allocator, self._net.opt.workspace_allocator = memory.blobs, memory.scratch
        fill_net(self._net, graph)

    def __call__(self, **given: NDArray[np.float32]) -> Call:
        """Start a computation on arrays (C, H, W) or packed ones, all allocated by :func:`aligned`."""
        assert given.keys() == self._inputs, (sorted(given), sorted(self._inputs))
        return Call(self._ncnn, self._net.create_extractor(), given, self._outputs)


class Call:
    """A lazy computation: each requested output computes only the layers that it needs."""

    def __init__(
        self, ncnn: Any, extractor: Any, given: dict[str, NDArray[np.float32]], outputs: frozenset[str]
    ) -> None:
        self._extractor, self._outputs, self._held = extractor, outputs, given
        for name, array in given.items():
            assert array.flags.c_contiguous
            assert array.ctypes.data % _ALIGNMENT == 0
            assert array.dtype == np.float32
            extractor.input(name, _to_mat(ncnn, array))

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """Return the output ``name``, packed; a view that is valid as long as this call and its net exist."""
        assert name in self._outputs, name
        failed, mat = self._extractor.extract(name, 1)
        if failed:
            raise RlfnError("ncnn cannot compute a tile. There may be too little memory; close other programs.")
        return _to_array(mat)


def _to_mat(ncnn: Any, array: NDArray[np.float32]) -> Any:
    if array.ndim == 3:
        return ncnn.Mat(array)
    count, height, width, pack = array.shape
    mat = ncnn.Mat(array.reshape(count, height, width * pack))
    mat.w, mat.cstep, mat.elempack, mat.elemsize = width, height * width, pack, 4 * pack
    return mat


def _to_array(mat: Any) -> NDArray[np.float32]:
    """Return a view of a result, packed according to :func:`pack_of` regardless of ncnn's native layout."""
    width, pack = mat.w, mat.elempack
    mat.w, mat.cstep, mat.elempack, mat.elemsize = width * pack, mat.cstep * pack, 1, 4
    flat: NDArray[np.float32] = np.array(mat, copy=False)
    count, height, _ = flat.shape
    wanted = pack_of(count * pack)
    found = flat.reshape(count, height, width, pack)
    if pack == wanted:
        return found
    channels = found.transpose(0, 3, 1, 2).reshape(count * pack // wanted, wanted, height, width)
    return channels.transpose(0, 2, 3, 1)


def unpacked(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a packed plane as (C, H, W)."""
    count, height, width, pack = plane.shape
    return plane.transpose(0, 3, 1, 2).reshape(count * pack, height, width)
