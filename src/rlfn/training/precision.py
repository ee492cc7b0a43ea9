"""Which arithmetic a run computes in, where its recipe leaves that to the machine."""

from __future__ import annotations

from typing import Literal

import torch

from rlfn.inference.hardware import is_amd

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
"""What can be computed in, in Lightning Fabric's words."""


def resolve_precision(wanted: Precision | Literal["auto"], accelerator: str) -> Precision:
    """Return the precision that ``wanted`` means on this machine.

    Args:
        wanted: a precision, which is returned as it is, or ``auto``: bf16-mixed where the processor computes
            faster in bfloat16 or on CUDA, else 32-true.
        accelerator: where the run computes, in Fabric's words: ``auto``, ``cpu``, ``cuda``, ``gpu``, ...
    """
    if wanted != "auto":
        return wanted
    on_cuda = accelerator in ("cuda", "gpu") or (accelerator == "auto" and torch.cuda.is_available())
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if on_cuda else _cpu_has_bf16()
    return "bf16-mixed" if has_bf16 else "32-true"


def _cpu_has_bf16() -> bool:
    """Tell whether the processor computes faster in bfloat16: see :func:`~rlfn.inference.hardware.fast_bf16`."""

    def has(name: str) -> bool:
        ask = getattr(torch.cpu, name, None)
        return ask is not None and bool(ask())

    return has("_is_amx_tile_supported") or (has("_is_avx512_bf16_supported") and is_amd())
