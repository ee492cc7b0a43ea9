"""How a stage starts: from scratch, as an interpolation, from the stage before, or from a checkpoint's weights.

Networks live in files that take [0, 255]. Those whose range folds into their two outer convolutions train in [0, 1],
since torch's default initial weights suit inputs near 1 and the recipes' learning rates belong to that range;
:func:`rlfn.networks.checkpoints.fold_range` is applied when weights enter and leave the loop. The others (EDSR, SPAN)
train on [0, 255], as their authors did. Losses always see [0, 1].
"""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor, nn

from rlfn.errors import ModelError, OptionError
from rlfn.models.variants import VARIANTS, Variant
from rlfn.networks.build import build
from rlfn.networks.checkpoints import Checkpoint, fold_range, load_checkpoint
from rlfn.networks.fuse import reform
from rlfn.training.extractors import make_extractor
from rlfn.training.objective import Objective
from rlfn.training.optim import convolution_ends
from rlfn.training.recipe import Recipe, Stage
from rlfn.training.weight_files import weights_file
from rlfn.wording import listing

FILE_RANGE = 255.0
"""The peak value that networks in files take."""


def trained_range(network: nn.Module) -> float:
    """Return the peak value that a network takes while it is trained: 1 where the range folds into it, else 255."""
    return 1.0 if getattr(network, "range_ends", None) else FILE_RANGE


def run_network(network: nn.Module, lr: Tensor, value_range: float) -> Tensor:
    """Return what a network that takes [0, ``value_range``] makes of ``lr`` (N, 3, h, w) in [0, 1], in [0, 1]."""
    sr: Tensor = network(lr) if value_range == 1.0 else network(lr * value_range) / value_range
    return sr


@runtime_checkable
class Interpolating(Protocol):
    """A network that can be set to equal bilinear upsampling."""

    def start_as_interpolation(self) -> None:
        """Change the weights in place so that the network equals bilinear upsampling away from the borders."""


def start_network(
    recipe: Recipe, stage: Stage, previous: nn.Module | None, log: Callable[[str], None] = lambda text: None
) -> nn.Module:
    """Return the network with which ``stage`` begins, taking the range of :func:`trained_range`.

    Args:
        recipe: names the network and the scale.
        stage: says where to start.
        previous: the averaged weights of the stage before, for ``init = "previous"``.
        log: told which weights of a checkpoint do not fit, where ``partial`` allows that.

    Raises:
        OptionError: the network has no interpolating start.
        ModelError: the checkpoint cannot be read, or is another network's and ``partial`` does not allow that.
    """
    if stage.init == "previous":
        assert previous is not None
        return copy.deepcopy(previous).train().requires_grad_(True)
    network = build(recipe.network, recipe.scale)
    if stage.init == "interpolate":
        if not isinstance(network, Interpolating):
            raise OptionError(
                f"{recipe.network.name} cannot start as an interpolation. "
                "Use init = 'scratch', or the path of a checkpoint."
            )
        network.start_as_interpolation()
    elif stage.starts_from_file:
        _start_from_file(network, recipe, stage, log)
    return network.train()


def freeze(network: nn.Module, patterns: Sequence[str]) -> None:
    """Let the parameters whose names match one of ``patterns`` (as file names do) go without training, in place.

    Raises:
        OptionError: a pattern matches no parameter, or nothing is left to train.
    """
    parameters = dict(network.named_parameters())
    for pattern in patterns:
        names = fnmatch.filter(parameters, pattern)
        if not names:
            raise OptionError(
                f"freeze: no parameter matches {pattern!r}. There are {listing(list(parameters)[:6])}, ..., "
                f"{list(parameters)[-1]}."
            )
        for name in names:
            parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise OptionError(f"freeze: {listing(patterns)} leaves nothing to train.")


def _start_from_file(network: nn.Module, recipe: Recipe, stage: Stage, log: Callable[[str], None]) -> None:
    """Copy a checkpoint's weights into ``network``; at another scale the last layer is resampled or stays new."""
    found = load_checkpoint(weights_file(stage.init))
    checkpoint = reform(found, recipe.network)
    if checkpoint is None and not stage.partial:
        raise ModelError(
            f"{stage.init} holds {_described(found.variant)}, but the recipe trains {_described(recipe.network)}. "
            "Give a checkpoint of the same network, train that one, or set partial = true to take what fits."
        )
    checkpoint = checkpoint or found
    value_range = trained_range(network)
    if value_range != FILE_RANGE and trained_range(checkpoint.network) != FILE_RANGE:
        fold_range(checkpoint.network, FILE_RANGE, value_range)
    old, new = checkpoint.network.state_dict(), network.state_dict()
    if checkpoint.scale != recipe.scale:
        last = convolution_ends(network)[1]
        if stage.tail == "resample":
            for name in (f"{last}.weight", f"{last}.bias"):
                if name in old and old[name].shape[0] == 3 * checkpoint.scale**2:
                    old[name] = resample_tail(old[name], checkpoint.scale, recipe.scale)
        else:
            old = {name: tensor for name, tensor in old.items() if name.rsplit(".", 1)[0] != last}
    fitting = {name: tensor for name, tensor in old.items() if name in new and tensor.shape == new[name].shape}
    if not fitting:
        raise ModelError(f"None of the {len(old)} tensors of {stage.init} fits {_described(recipe.network)}.")
    if len(fitting) < len(new):
        missing = listing(name for name in new if name not in fitting)
        log(f"{stage.init} gives {len(fitting)} of {len(new)} tensors. These keep their initial values: {missing}.")
    network.load_state_dict({**new, **fitting})


def _described(variant: Variant) -> str:
    return f"{variant.name} ({variant.fields})" if variant.name not in VARIANTS else variant.name


def resample_tail(tensor: Tensor, old: int, new: int) -> Tensor:
    """Turn the last layer for scale ``old`` into one for scale ``new``.

    The layer's 3 old^2 output channels are, for each colour, a grid of old x old sub-pixels; the grid is resized to
    new x new (averaged when it shrinks, bilinear when it grows), so the network answers with its old picture, resized.

    Args:
        tensor: weight (3 old^2, C, kh, kw) or bias (3 old^2,).
        old: the scale it was trained for.
        new: the scale wanted.

    Returns:
        (3 new^2, C, kh, kw) or (3 new^2,).
    """
    grid = tensor.reshape(3, old, old, -1).permute(0, 3, 1, 2)
    if new < old:
        grid = F.interpolate(grid, size=(new, new), mode="area")
    else:
        grid = F.interpolate(grid, size=(new, new), mode="bilinear", align_corners=False)
    return grid.permute(0, 2, 3, 1).reshape(3 * new * new, *tensor.shape[1:]).contiguous()


class _InUnits(nn.Module):
    """A file's network, which takes [0, 255], used in [0, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, lr: Tensor) -> Tensor:
        return run_network(self.network, lr, FILE_RANGE)


def load_teacher(recipe: Recipe, stage: Stage) -> Checkpoint:
    """Return the checkpoint that a stage has as its teacher; its network takes [0, 255].

    Raises:
        ModelError: it cannot be read, or upscales by another factor.
    """
    assert stage.teacher is not None
    checkpoint = load_checkpoint(weights_file(stage.teacher))
    if checkpoint.scale != recipe.scale:
        raise ModelError(
            f"The teacher {stage.teacher} upscales by {checkpoint.scale}, the recipe by {recipe.scale}. "
            "Give a teacher of the same scale."
        )
    return checkpoint


def make_objective(recipe: Recipe, stage: Stage) -> Objective:
    """Put together a stage's loss.

    Raises:
        OptionError: the number of layer weights is not the extractor's.
        ModelError: the teacher cannot be read, or upscales by another factor.
    """
    extractor = make_extractor(stage.contrastive) if stage.uses_contrastive else None
    given = len(stage.contrastive.layer_weights)
    if extractor is not None and given not in (0, extractor.layers):
        raise OptionError(
            f"contrastive.layer_weights has {given} weights. {stage.contrastive.extractor} compares "
            f"{extractor.layers} layers: give as many, or none for equal weights."
        )
    teacher = None
    if stage.teacher is not None and not stage.blockwise:
        checkpoint = load_teacher(recipe, stage)
        teacher = _InUnits(checkpoint.network)
    chosen = stage.contrastive
    return Objective(stage.loss, recipe.scale, extractor, chosen.layer_weights, teacher, chosen.ratio)


def finished(network: nn.Module) -> nn.Module:
    """Return a copy of a trained network that takes [0, 255], as files do."""
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    if trained_range(network) != FILE_RANGE:
        fold_range(copied, trained_range(network), FILE_RANGE)
    return copied
