"""Which convolutions of a network int8 may compute, the same for the export and for training against its rounding."""

from __future__ import annotations

from torch import nn

from rlfn.errors import OptionError
from rlfn.networks.plain import BranchedConv

_ESA_ENDS = (".esa.conv1.", ".esa.conv4.")
"""What occurs in the names of ESA's first and last weights, which work on all channels; its others stay float."""


def is_sensitive(weight: str) -> bool:
    """Tell by a weight's name whether its convolution stays float: those inside ESA, whose small map steers regions."""
    return ".esa." in weight and not any(part in weight for part in _ESA_ENDS)


def integer_convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    """Return the convolutions that int8 computes, by name: all but the first, the last, and those inside ESA.

    Raises:
        OptionError: the network does not tell its first and last convolution, or is in a form of branches.
    """
    ends = getattr(network, "range_ends", None)
    found = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    if not ends or not set(ends) <= set(found):
        raise OptionError(f"{type(network).__name__} cannot be trained for int8. Allowed: RLFN, RFDN, plain chains.")
    if any(isinstance(module, BranchedConv) for module in network.modules()):
        raise OptionError("A network in branches cannot be trained for int8. Name the variant into which it is fused.")
    return {name: conv for name, conv in found.items() if name not in ends and not is_sensitive(f"{name}.weight")}
