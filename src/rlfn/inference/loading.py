"""From what a user calls a model to a graph or to a torch network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlfn.errors import MissingExtraError, ModelError
from rlfn.models.blend import Blend
from rlfn.models.reference import Reference

if TYPE_CHECKING:
    from rlfn.networks import Checkpoint


def graph_of(model: Reference, precision: str = "fp32") -> bytes:
    """Return a model's ONNX graph; weights are exported first, which needs torch.

    Args:
        model: what a user calls a model.
        precision: that of the computation; int8 has files of its own, bf16 computes with the fp32 one.

    Raises:
        ModelError: the file cannot be read or is damaged.
        OptionError: there is no such file.
    """
    if model.has_graph:
        return model.graph(precision)
    model.check_precision(precision)
    checkpoint = checkpoint_of(model)
    from rlfn.networks.graph import onnx_bytes

    return onnx_bytes(checkpoint, grid=True)


def checkpoint_of(model: Reference) -> Checkpoint:
    """Return the torch network of a model with its weights.

    Raises:
        MissingExtraError: torch is not installed.
        OptionError: the model is an ONNX file, which torch cannot run.
        ModelError: the file is damaged or holds another network.
    """
    if isinstance(model, Blend):
        return _blended(*(checkpoint_of(end) for end in model.ends), model.share)
    path = model.weights()
    try:
        from rlfn.networks import load_checkpoint
    except ImportError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError(f"Reading the weights {model.name}", "torch") from None
    return load_checkpoint(path)


def _blended(clean: Checkpoint, photo: Checkpoint, share: float) -> Checkpoint:
    """Return ``clean`` with every weight moved by ``share`` towards that of ``photo``."""
    import torch

    if (clean.variant, clean.scale) != (photo.variant, photo.scale):
        raise ModelError("Weights of two different networks cannot be blended.")
    targets = photo.network.state_dict()
    with torch.no_grad():
        for name, tensor in clean.network.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(targets[name], share)
    return clean
