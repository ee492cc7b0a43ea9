"""The devices that a run computes on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from lightning_fabric import Fabric

from rlfn.errors import OptionError
from rlfn.training.precision import resolve_precision
from rlfn.training.recipe import Recipe
from rlfn.wording import setting


@dataclass(frozen=True)
class Devices:
    """Where a run computes, in Lightning Fabric's words."""

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"


def start_fabric(recipe: Recipe, devices: Devices) -> Fabric:
    """Start the devices.

    Raises:
        OptionError: the machine has no such device, or too few; the message says what Lightning Fabric says.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*fp16 is not supported on CPU")  # refused below
            fabric = Fabric(
                accelerator=devices.accelerator,
                devices=devices.devices,
                num_nodes=devices.nodes,
                strategy=devices.strategy,
                precision=resolve_precision(recipe.precision, devices.accelerator),
            )
    except Exception as error:  # Fabric raises ValueError, RuntimeError and its own errors
        text = str(error).split("\n")[0].rstrip(".")
        raise OptionError(
            f"The run cannot use {setting('accelerator', devices.accelerator)}, "
            f"{setting('devices', devices.devices)}, {setting('strategy', devices.strategy)} and precision "
            f"{recipe.precision}: {text}. "
            f"{setting('accelerator', 'cpu')} is always available."
        ) from error
    if fabric.world_size > 1:  # 1x1 kernels in channels_last have strides of either kind
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    if recipe.precision == "16-mixed" and fabric.device.type == "cpu":
        raise OptionError("precision: a CPU does not compute in 16-mixed. Use 32-true, bf16-mixed or auto, or a GPU.")
    return fabric
