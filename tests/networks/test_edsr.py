"""EDSR's start as an interpolation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from rlfn.models.variants import EDSRFields
from rlfn.networks.edsr import EDSR


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 6])
def test_the_interpolating_start_upsamples_bilinearly_a_prime_factor_at_a_time(scale: int) -> None:
    torch.manual_seed(scale)
    network = EDSR(EDSRFields(blocks=2, channels=8), scale)
    network.start_as_interpolation()
    lr = 255.0 * torch.rand(2, 3, 9, 12)
    wanted = lr
    for factor in {1: (), 4: (2, 2), 6: (2, 3)}.get(scale, (scale,)):
        wanted = F.interpolate(wanted, scale_factor=factor, mode="bilinear", align_corners=False)
    border = 2 * scale
    with torch.no_grad():
        inner = (network(lr) - wanted)[..., border:-border, border:-border]
    assert float(inner.abs().max()) < 1e-3


def test_after_three_steps_from_an_interpolation_every_parameter_learns() -> None:
    torch.manual_seed(0)
    network = EDSR(EDSRFields(blocks=2, channels=8), 4)
    network.start_as_interpolation()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    lr, hr = 255.0 * torch.rand(2, 3, 12, 12), 255.0 * torch.rand(2, 3, 48, 48)
    for _ in range(3):
        optimizer.zero_grad()
        (network(lr) - hr).abs().mean().backward()
        optimizer.step()
    assert [name for name, p in network.named_parameters() if not bool(p.grad.abs().sum() > 0)] == []
