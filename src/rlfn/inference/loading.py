"""From what a user calls a model to a graph or to a torch network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError, ModelError
from rlfn.models.blend import Blend
from rlfn.models.source import ModelSource
from rlfn.models.variants import VARIANTS, Variant

if TYPE_CHECKING:
    from rlfn.networks import Checkpoint


def graph_of(model: ModelSource, precision: str = "fp32") -> bytes:
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

    return onnx_bytes(checkpoint)


def checkpoint_of(model: ModelSource) -> Checkpoint:
    """Return the torch network of a model with its weights.

    Raises:
        MissingExtraError: torch is not installed.
        OptionError: the model is an ONNX file, which torch cannot run.
        ModelError: the file is damaged or holds another network.
    """
    if isinstance(model, Blend):
        clean, photo = (checkpoint_of(end) for end in model.ends)
        return blended(clean, photo, model.share)
    path = model.weights()
    try:
        from rlfn.networks import load_checkpoint
    except ImportError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError(f"Reading the weights {model.name}", "torch") from None
    return load_checkpoint(path)


def tensors_of(model: ModelSource) -> tuple[Variant, int, dict[str, NDArray[np.float32]]]:
    """Return a model's network, its scale and its tensors by name; only a file of the user's own needs torch.

    Raises:
        MissingExtraError: torch is not installed, and the model is a file of weights.
        OptionError: the model is an ONNX file.
        ModelError: the file is damaged or holds another network.
    """
    if isinstance(model, Blend):
        (variant, scale, clean), (*network, photo) = (tensors_of(end) for end in model.ends)
        if network != [variant, scale]:
            raise _unlike()
        share = np.float32(model.share)
        return variant, scale, {name: tensor + share * (photo[name] - tensor) for name, tensor in clean.items()}
    if model.packaged is not None:
        from safetensors.numpy import load_file

        return VARIANTS[model.packaged.variant], model.packaged.scale, load_file(model.weights())
    checkpoint = checkpoint_of(model)
    from rlfn.networks.fuse import fuse_checkpoint

    checkpoint = fuse_checkpoint(checkpoint)
    tensors = {name: tensor.cpu().numpy() for name, tensor in checkpoint.network.state_dict().items()}
    return checkpoint.variant, checkpoint.scale, tensors


def blended(clean: Checkpoint, photo: Checkpoint, share: float) -> Checkpoint:
    """Return ``clean`` with every weight moved by ``share`` towards that of ``photo``.

    Raises:
        ModelError: they are of two different networks.
    """
    import torch

    if (clean.variant, clean.scale) != (photo.variant, photo.scale):
        raise _unlike()
    targets = photo.network.state_dict()
    with torch.no_grad():
        for name, tensor in clean.network.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(targets[name], share)
    return clean


def _unlike() -> ModelError:
    return ModelError("Weights of two different networks cannot be blended.")
