"""Optimisers: Adam, AdamW, and Muon in float32 for convolutional networks.

A new optimiser is one function and one entry of :data:`OPTIMIZERS`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from rlfn.training.section import Section, known

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan et al., 2024: steepest quintic that stays near 1
_STEPS = 5


Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A decay rate of a running mean."""


class Optimizer(Section):
    """The optimiser of a stage."""

    name: str = "adam"
    """One of the table of optimisers."""
    lr: float = Field(default=5e-4, gt=0.0)
    """The peak learning rate; Muon's for its matrices."""
    adam_lr: float = Field(default=1e-3, gt=0.0)
    """Muon only: the peak rate of its Adam part (first and last convolution, biases)."""
    betas: tuple[Decay, Decay] = Field(default=(0.9, 0.999), strict=False)
    """Adam's decay rates, each from 0 to below 1."""
    eps: float = Field(default=1e-8, gt=0.0)
    """Adam's guard."""
    momentum: float = Field(default=0.95, ge=0.0, lt=1.0)
    """Muon's momentum."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Decoupled for AdamW and for Muon's matrices; added to the gradient for Adam."""
    clip: float | None = Field(default=None, gt=0.0)
    """The largest norm of the gradients (of the Adam part alone, with Muon)."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        return known("optimiser", name, OPTIMIZERS)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Push the singular values of each matrix towards 1 by a quintic Newton-Schulz iteration.

    The coefficients are those of Muon (Jordan et al., 2024): they trade exactness for speed, so the singular values end
    between about 0.7 and 1.2, except those that were almost zero.

    Args:
        matrices: (N, rows, columns) float32; each is treated on its own.

    Returns:
        The same shape: for M = U S V^T approximately U V^T.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised matrix by matrix (Muon; Jordan et al., 2024), with Adam for the rest.

    A convolution's kernel (out, in, kh, kw) counts as the matrix (out, in kh kw). Its step is
    ``-lr sqrt(max(1, rows / columns)) U V^T`` of the Nesterov momentum, after decoupled weight decay
    ``p *= 1 - lr weight_decay``. Matrices of equal shape are treated in one batch, in float32.

    Args:
        matrices: kernels for Muon.
        others: parameters for Adam, without weight decay.
        lr: Muon's rate; a change of the schedule scales both groups' rates.
        adam_lr: Adam's rate.
        momentum: Muon's momentum.
        betas: Adam's two decay rates.
        eps: Adam's guard.
        weight_decay: of the matrices.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        lr: float,
        adam_lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        groups = [
            {"params": list(matrices), "lr": lr, "muon": True},
            {"params": list(others), "lr": adam_lr, "muon": False},
        ]
        defaults = {"momentum": momentum, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], {"lr": lr, **defaults})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make one step; ``closure`` recomputes the loss, as everywhere in torch."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters and group["muon"]:
                self._step_matrices(parameters, group)
            elif parameters:
                self._step_adam(parameters, group)
        return loss

    def _step_matrices(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        gradients, values = _gradients(parameters)
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1.0 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
        by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, parameter in enumerate(parameters):
            by_shape[parameter.shape[0], parameter[0].numel()].append(index)
        if group["weight_decay"]:
            torch._foreach_mul_(values, 1.0 - group["lr"] * group["weight_decay"])
        for (rows, columns), indices in by_shape.items():
            stacked = torch.stack([ahead[index].reshape(rows, columns).float() for index in indices])
            step = orthogonalise(stacked).mul_(-group["lr"] * max(1.0, rows / columns) ** 0.5)
            for index, matrix in zip(indices, step, strict=True):
                values[index].add_(matrix.reshape(values[index].shape).to(values[index].dtype))

    def _step_adam(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["count"] = 0
                self.state[parameter]["mean"] = torch.zeros_like(parameter)
                self.state[parameter]["square"] = torch.zeros_like(parameter)
        first, second = group["betas"]
        gradients, values = _gradients(parameters)
        states = [self.state[parameter] for parameter in parameters]
        means, squares = [state["mean"] for state in states], [state["square"] for state in states]
        count = int(states[0]["count"]) + 1  # a plain number, for a GPU must not be asked at every step
        for state in states:
            state["count"] = count
        torch._foreach_lerp_(means, gradients, 1.0 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1.0 - second)
        below = torch._foreach_sqrt(squares)
        torch._foreach_div_(below, (1.0 - second**count) ** 0.5)
        torch._foreach_add_(below, group["eps"])
        torch._foreach_addcdiv_(values, means, below, -group["lr"] / (1.0 - first**count))


def _gradients(parameters: list[nn.Parameter]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the gradients, and the parameters as the plain list of tensors that torch's batched functions take."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None], list(parameters)


def convolution_ends(network: nn.Module) -> tuple[str, str]:
    """Return the names of the first and the last convolution: the network's own ``range_ends``, or by their order."""
    named = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    first, last = getattr(network, "range_ends", None) or (named[0], named[-1])
    return first, last


def split_parameters(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the kernels for Muon, and the rest: first and last convolution, biases and anything that is not a kernel.

    Kernels with one input weight a filter (depthwise 1x1) are no matrices and belong to the rest.
    """
    ends = convolution_ends(network)
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        inner = parameter.ndim == 4 and name.rsplit(".", 1)[0] not in ends and parameter[0].numel() > 1
        (matrices if inner else others).append(parameter)
    return matrices, others


def _plain(kind: type[torch.optim.Adam], network: nn.Module, options: Optimizer) -> torch.optim.Optimizer:
    return kind(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        lr=options.lr,
        betas=options.betas,
        eps=options.eps,
        weight_decay=options.weight_decay,
        foreach=True,
    )


def _muon(network: nn.Module, options: Optimizer) -> torch.optim.Optimizer:
    matrices, others = split_parameters(network)
    return Muon(
        matrices,
        others,
        lr=options.lr,
        adam_lr=options.adam_lr,
        momentum=options.momentum,
        betas=options.betas,
        eps=options.eps,
        weight_decay=options.weight_decay,
    )


OPTIMIZERS: dict[str, Callable[[nn.Module, Optimizer], torch.optim.Optimizer]] = {
    "adam": partial(_plain, torch.optim.Adam),
    "adamw": partial(_plain, torch.optim.AdamW),
    "muon": _muon,
}
"""Every optimiser by the name that recipes use."""


def make_optimizer(network: nn.Module, options: Optimizer) -> torch.optim.Optimizer:
    """Build the optimiser that ``options.name`` names, with gradient clipping where ``options.clip`` asks for it.

    Each group remembers its peak rate as ``peak_lr``, which :func:`set_rate` scales. The norm of the gradients is
    clipped in a hook before the step, so that scaled gradients (16-bit precision) have been unscaled by then; Muon's
    matrices are left out, since their step does not depend on the gradient's size.
    """
    optimizer = OPTIMIZERS[options.name](network, options)
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    if options.clip is not None:
        clipped = [p for group in optimizer.param_groups if not group.get("muon") for p in group["params"]]
        limit = options.clip
        optimizer.register_step_pre_hook(lambda *_: _clip(clipped, limit))
    return optimizer


def _clip(parameters: list[nn.Parameter], limit: float) -> None:
    nn.utils.clip_grad_norm_(parameters, limit)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Scale every group's peak rate by ``factor`` and return the first group's rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    return float(optimizer.param_groups[0]["lr"])
