"""Extraction of a network's tensors from checkpoints of other programs: nested dictionaries and name prefixes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_TABLES = (
    *("params_ema", "params-ema", "model_ema", "ema", "params", "state_dict", "model_state_dict", "model", "net"),
    *("net_g_ema", "net_g", "netG", "generator", "network", "weights"),
)
"""Keys of the tensors, averaged weights first."""

_WHOLE = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""Prefixes of all names in a wrapped network: DataParallel, a compiled network, a Lightning module."""

_GENERATORS = ("net_g_ema.", "net_g.", "netG.", "generator.")
"""Prefixes of the generator in checkpoints that contain its discriminators too."""

_DEEPEST = 8


class NoTensors(Exception):  # noqa: N818
    """The content of a file is not a state dict; the message continues a sentence that begins with the file's name."""


def tensors_in(content: object) -> dict[str, Tensor]:
    """Return the tensors of the network in a checkpoint's content, under the network's own names, in float32.

    Dictionaries are searched under the keys that training programs use, and the prefixes of wrappers are removed.
    Whether the result is a known network is checked by :func:`rlfn.networks.checkpoints.identify`.

    Raises:
        NoTensors: there are no tensors, or some are not plain tensors.
    """
    table = content
    for _ in range(_DEEPEST):
        if not isinstance(table, Mapping) or all(isinstance(value, Tensor) for value in table.values()):
            break
        inner = next((table[key] for key in _TABLES if isinstance(table.get(key), Mapping)), None)
        if inner is None:
            break
        table = inner
    if not isinstance(table, Mapping) or not table:
        raise NoTensors(f"holds a {type(table).__name__}, not a state dict of tensors")
    found = {name: tensor for name, tensor in _unprefixed(table).items() if _is_plain(name, tensor)}
    return {name: tensor.float() for name, tensor in found.items()}


def _unprefixed(table: Mapping[Any, Any]) -> dict[str, Any]:
    named = {str(name): value for name, value in table.items()}
    for _ in range(_DEEPEST):
        generator = next((one for one in _GENERATORS if any(name.startswith(one) for name in named)), None)
        if generator is not None:
            named = {name.removeprefix(generator): one for name, one in named.items() if name.startswith(generator)}
            continue
        whole = next((one for one in _WHOLE if all(_is_wrapped(name, one) for name in named)), None)
        if whole is None:
            break
        named = {name.removeprefix(whole): value for name, value in named.items()}
    return named


def _is_wrapped(name: str, prefix: str) -> bool:
    """Return whether a name belongs to a wrapped network; with a number after the prefix it is the network's own."""
    return name.startswith(prefix) and not name.removeprefix(prefix)[:1].isdigit()


def _is_plain(name: str, value: object) -> bool:
    """Refuse non-tensors, and tensors that claim more elements than the file stores."""
    if not isinstance(value, Tensor):
        raise NoTensors(f"holds a {type(value).__name__} as '{name[:60]}', not a tensor")
    strided = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
    if not strided or value.is_complex() or value.untyped_storage().nbytes() < value.numel() * value.element_size():
        raise NoTensors(f"holds '{name[:60]}', which is not a plain tensor")
    return True
