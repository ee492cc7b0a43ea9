"""How much memory an engine takes for each input pixel of a tile, as ``benchmarks/memory.py`` measured it."""

from __future__ import annotations

BYTES_PER_PIXEL = {
    ("onnxruntime", "rlfn-s"): 1300,
    ("onnxruntime", "rlfn-xs"): 900,
    ("openvino", "rlfn-s"): 1700,
    ("openvino", "rlfn-xs"): 1000,
    ("torch", "rlfn-s"): 2650,
    ("torch", "rlfn-xs"): 1000,
    ("vulkan", "rlfn-s"): 1950,
    ("vulkan", "rlfn-xs"): 1700,
}
"""By engine and variant: the most of the scales 2 and 4, fp32, the result included.

``vulkan`` is ncnn on a GPU, measured on a Vulkan in software, whose memory is the process's.
"""

UNKNOWN = 2700
"""For what was not measured."""


def bytes_per_pixel(engine: str, variant: str) -> int:
    """Return about how many bytes an engine takes for each input pixel that it is given at once.

    >>> bytes_per_pixel("onnxruntime", "rlfn-xs")
    900
    """
    return BYTES_PER_PIXEL.get((engine, variant), UNKNOWN)
