"""ncnn behind a wall: what of it can crash or give garbage is kept from happening here.

- An ``ncnn.Mat`` made from an array does not copy it: :class:`Call` holds the arrays for as long as ncnn reads them.
- ncnn reads eight channels at once from addresses that are multiples of 32 bytes, and dies elsewhere: :func:`aligned`.
- An unknown blob is a crash: names are compared with the graph's.
- A result lies in memory of the net's own and dies with it: callers copy what they keep.
- Threads of OpenMP spin: a net computes on the thread that calls it, and no other.

The interpreter lock is free while a net computes, and threads may share a net.
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

INSTALL_NCNN = "pip install ncnn"
"""ncnn is in the base install; the extra of that name is for exports."""

_ALIGNMENT = 64

_OFF = (
    "use_vulkan_compute",
    "use_fp16_packed",
    "use_fp16_storage",
    "use_fp16_arithmetic",
    "use_bf16_packed",
    "use_bf16_storage",
)
"""Options that would make fp32 something else."""


def import_ncnn() -> Any:
    """Return the module ncnn.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import ncnn
    except ImportError:
        raise MissingExtraError("The engine ncnn", install=INSTALL_NCNN) from None
    return ncnn


def pack_of(channels: int) -> int:
    """Return how many channels lie side by side: a plane is (C / pack, H, W, pack).

    It is ncnn's own layout on AVX2; on other processors ncnn converts.
    """
    return next(pack for pack in (8, 4, 1) if channels % pack == 0)


def aligned(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return an array of zeros that begins at a multiple of 64 bytes."""
    size = int(np.prod(shape))
    room = np.zeros(size + _ALIGNMENT // 4, np.float32)
    start = -room.ctypes.data % _ALIGNMENT // 4
    return room[start : start + size].reshape(shape)


class Memory:
    """Where nets have their results and their scratch: stores of their own would each keep a tile's worth."""

    def __init__(self) -> None:
        ncnn = import_ncnn()
        self.blobs, self.scratch = ncnn.PoolAllocator(), ncnn.PoolAllocator()


def new_net(threads: int) -> Any:
    """Return an empty net of ncnn's that computes in fp32 on so many threads of the processor."""
    net = import_ncnn().Net()
    net.opt.num_threads = threads
    for option in _OFF:
        if hasattr(net.opt, option):  # older versions have fewer
            setattr(net.opt, option, False)
    return net


def fill_net(net: Any, graph: Graph) -> None:
    """Load a graph into an empty net, whose options are settled.

    Raises:
        RlfnError: ncnn cannot load it.
    """
    failed = net.load_param_mem(graph.text())
    with tempfile.TemporaryDirectory(prefix="rlfn-") as folder:
        path = Path(folder) / "weights.bin"  # the binding reads weights from files alone
        path.write_bytes(graph.weights())
        failed = failed or net.load_model(os.fspath(path))
    if failed:
        raise RlfnError("ncnn cannot load a graph of rlfn's own. Please report this with its version.")


class Net:
    """A graph that ncnn has loaded, computing in fp32 on the thread that runs it."""

    def __init__(self, graph: Graph, memory: Memory) -> None:
        self._ncnn, self._memory = import_ncnn(), memory
        self._inputs, self._outputs = frozenset(graph.inputs), frozenset(graph.outputs)
        self._net = new_net(1)
        self._net.opt.blob_allocator, self._net.opt.workspace_allocator = memory.blobs, memory.scratch
        fill_net(self._net, graph)

    def __call__(self, **given: NDArray[np.float32]) -> Call:
        """Begin a computation on arrays (C, H, W) or packed ones, both as :func:`aligned` makes them."""
        assert given.keys() == self._inputs, (sorted(given), sorted(self._inputs))
        return Call(self._ncnn, self._net.create_extractor(), given, self._outputs)


class Call:
    """A computation: asked for one output after the other, it computes what that needs."""

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
        """Return the output ``name``, packed; a view that lives as long as this call and its net."""
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
    """Return a view of a result, packed as :func:`pack_of` says whatever ncnn's layout on this processor is."""
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
