from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rlfn.models.variants import VARIANTS, RLFNFields, Variant
from rlfn.networks.build import build
from rlfn.training.optim import OPTIMIZERS, Muon, Optimizer, make_optimizer, orthogonalise, set_rate, split_parameters

TINY = Variant("tiny", "rlfn", RLFNFields(1, 8, 8, 4), "for tests")


def newton_schulz(matrix: torch.Tensor) -> torch.Tensor:
    """The iteration as its authors print it, one matrix at a time, in double precision."""
    x = matrix.double()
    if matrix.shape[0] > matrix.shape[1]:
        x = x.T
    x = x / x.norm()
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (24, 24)])
def test_orthogonalising_a_batch_equals_each_matrix_alone(shape: tuple[int, int]) -> None:
    matrices = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    ours = orthogonalise(matrices)
    for matrix, result in zip(matrices, ours, strict=True):
        assert torch.allclose(result.double(), newton_schulz(matrix), atol=1e-4)


def test_singular_values_come_near_one_and_directions_stay() -> None:
    matrix = torch.randn(1, 20, 60, generator=torch.Generator().manual_seed(1))
    ours = orthogonalise(matrix)[0]
    values = torch.linalg.svdvals(ours)
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
    u, _, v = torch.linalg.svd(matrix[0], full_matrices=False)
    assert float((ours * (u @ v)).sum() / (ours.norm() * (u @ v).norm())) > 0.98


def test_a_muon_step_by_the_formulas() -> None:
    torch.manual_seed(0)
    kernels = [
        nn.Parameter(torch.randn(6, 4, 3, 3)),
        nn.Parameter(torch.randn(6, 4, 3, 3)),
        nn.Parameter(torch.randn(9, 4, 1, 1)),
    ]
    bias = nn.Parameter(torch.randn(5))
    optimizer = Muon(kernels, [bias], lr=0.1, adam_lr=0.01, momentum=0.9, weight_decay=0.5)
    reference = torch.optim.Adam([mirror := nn.Parameter(bias.detach().clone())], lr=0.01, betas=(0.9, 0.99))
    expected = [kernel.detach().double().clone() for kernel in kernels]
    momenta = [torch.zeros_like(value) for value in expected]
    for _ in range(3):
        for index, kernel in enumerate(kernels):
            kernel.grad = torch.randn_like(kernel)
            gradient = kernel.grad.double()
            momenta[index] = 0.9 * momenta[index] + 0.1 * gradient
            ahead = 0.1 * gradient + 0.9 * momenta[index]
            rows, columns = kernel.shape[0], kernel[0].numel()
            step = newton_schulz(ahead.reshape(rows, columns)) * max(1.0, rows / columns) ** 0.5
            expected[index] = expected[index] * (1 - 0.1 * 0.5) - 0.1 * step.reshape(kernel.shape)
        bias.grad = torch.randn_like(bias)
        mirror.grad = bias.grad.clone()
        optimizer.step()
        reference.step()
    for kernel, value in zip(kernels, expected, strict=True):
        assert torch.allclose(kernel.double(), value, atol=1e-5)
    assert torch.allclose(bias, mirror, atol=1e-6)


def test_first_and_last_layers_and_biases_are_adams() -> None:
    network = build(TINY, 4)
    matrices, others = split_parameters(network)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert len(matrices) + len(others) == len(names)
    assert {"conv_1.weight", "upsampler.0.weight", "conv_2.bias"} <= {names[id(parameter)] for parameter in others}
    assert all(parameter.ndim == 4 for parameter in matrices)
    assert "block_1.c1_r.weight" in {names[id(parameter)] for parameter in matrices}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_network_can_be_split(variant: str) -> None:
    with torch.device("meta"):
        matrices, others = split_parameters(build(VARIANTS[variant], 2))
    assert matrices
    assert others


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_learns_and_its_rate_follows_the_schedule(name: str) -> None:
    torch.manual_seed(0)
    network = build(TINY, 2)
    before = copy.deepcopy(network)
    optimizer = make_optimizer(network, Optimizer(name=name, lr=5e-3, adam_lr=5e-3, clip=1.0))
    x, y = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 32, 32)
    losses = []
    for _ in range(20):
        loss = (network(x) - y).abs().mean()
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.9 * losses[0]
    assert set_rate(optimizer, 0.0) == 0.0
    after = copy.deepcopy(network)
    (network(x) - y).abs().mean().backward()
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), after.parameters(), strict=True))
    assert not torch.equal(before.conv_1.weight, network.conv_1.weight)


def test_only_adams_gradients_are_clipped() -> None:
    network = build(TINY, 2)
    optimizer = make_optimizer(network, Optimizer(name="muon", lr=0.0 + 1e-9, adam_lr=1e-9, clip=0.5))
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    matrices, others = split_parameters(network)
    assert torch.stack([parameter.grad.norm() for parameter in others]).norm() == pytest.approx(0.5, rel=1e-4)
    assert all(bool((parameter.grad == 1).all()) for parameter in matrices)
