"""The convolutions of a network that int8 computes, shared by the export and by quantisation-aware training."""

from __future__ import annotations

from torch import nn

from rlfn.errors import OptionError
from rlfn.networks.plain import BranchedConv

_ESA_ENDS = (".esa.conv1.", ".esa.conv4.")
"""Parts of the names of ESA's first and last weights, which see all channels; the other weights of ESA stay float."""

_OF_LARGE_VALUES = ("block_1.c5.", "conv_2.")
"""Parts of the names of the weights of RLFN's convolutions whose inputs have large values and small differences."""

ROUNDED_IN_TRAINING = "rounded_in_training"
"""The key in a model file's metadata that tells that the last stage of its training rounded the weights, as int8."""


def is_sensitive(weight: str) -> bool:
    """Return whether the convolution of a weight of this name stays float.

    Those inside ESA affect whole regions. What the 1x1 convolution of RLFN's first block and the convolution after the
    blocks read causes most of the error of int8. Both in float take about a tenth of the time of int8.
    """
    inside = ".esa." in weight and not any(part in weight for part in _ESA_ENDS)
    return inside or any(f".{part}" in f".{weight}" for part in _OF_LARGE_VALUES)


def integer_convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    """Return the convolutions that int8 computes, by name: all but the first, the last, and :func:`is_sensitive`.

    Raises:
        OptionError: the network does not declare its first and last convolution, or it has branches.
    """
    ends = getattr(network, "range_ends", None)
    found = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    if not ends or not set(ends) <= set(found):
        raise OptionError(f"{type(network).__name__} cannot be trained for int8. Allowed: RLFN, RFDN, plain chains.")
    if any(isinstance(module, BranchedConv) for module in network.modules()):
        raise OptionError("A network with branches cannot be trained for int8. Name the variant into which it fuses.")
    return {name: conv for name, conv in found.items() if name not in ends and not is_sensitive(f"{name}.weight")}
