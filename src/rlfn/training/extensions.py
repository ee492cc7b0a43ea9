"""A user's own networks, losses and degradations: see :mod:`rlfn.networks.extensions`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from rlfn.data.degradations import DEGRADATIONS, Degradation
from rlfn.errors import OptionError
from rlfn.networks.extensions import add_rows, installed, load_module, register_networks
from rlfn.training.losses import PIXEL_LOSSES

_SIDE = 48


def load_extensions(files: Iterable[str | Path]) -> None:
    """Load the installed extensions and those in ``files``, so that recipes know their names.

    Raises:
        OptionError: one cannot be loaded, a name is taken, or a row does not do what its table asks of it.
    """
    for module in [*installed(), *(load_module(Path(file)) for file in files)]:
        losses, degradations = getattr(module, "LOSSES", {}), getattr(module, "DEGRADATIONS", {})
        for name, loss in losses.items():
            _check_loss(name, loss, module)
        for name, kind in degradations.items():
            _check_degradation(name, kind, module)
        register_networks(module)
        add_rows(PIXEL_LOSSES, losses, "loss", module)
        add_rows(DEGRADATIONS, degradations, "degradation", module)


def _check_loss(name: str, loss: Callable[[Any, Any], Any], module: ModuleType) -> None:
    sr, hr = torch.rand(2, 3, _SIDE, _SIDE, requires_grad=True), torch.rand(2, 3, _SIDE, _SIDE)
    try:
        found = loss(sr, hr)
        found.backward()
    except Exception as error:  # whatever the user's code raises
        raise _wrong("loss", name, module, f"fails on two (2, 3, {_SIDE}, {_SIDE}) tensors: {error}") from error
    if found.ndim != 0 or not bool(found.isfinite()) or sr.grad is None:
        raise _wrong("loss", name, module, "does not give a finite number with a gradient")


def _check_degradation(name: str, kind: type[Degradation], module: ModuleType) -> None:
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise _wrong("degradation", name, module, "is not a dataclass")
    if any(field.default is field.default_factory for field in fields(kind)):
        raise _wrong("degradation", name, module, "has a setting without a default")
    hr = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    try:
        degradation = kind()
        lr = degradation.apply(hr, 2, np.random.default_rng(0))
        margin = int(degradation.margin) + int(degradation.packed)
    except Exception as error:  # whatever the user's code raises
        raise _wrong("degradation", name, module, f"fails on an ({_SIDE}, {_SIDE}, 3) image: {error}") from error
    if lr.dtype != np.uint8 or lr.shape != (_SIDE // 2, _SIDE // 2, 3) or margin < 0:
        raise _wrong("degradation", name, module, f"makes {lr.dtype} of {lr.shape}, not uint8 of half the size")


def _wrong(kind: str, name: str, module: ModuleType, what: str) -> OptionError:
    return OptionError(f"The {kind} '{name}' of the extension {module.__file__ or module.__name__} {what}.")
