"""The definition of the network: its sizes, its arithmetic, its grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rlfn.errors import OptionError
from rlfn.models.grid import axis_grid, grid_matrices
from rlfn.models.variants import SCALES, VARIANTS, RLFNFields, get_variant
from rlfn.networks import build
from rlfn.networks.rlfn import RLFN, GridTensors

# counted on the official checkpoints (x2, x4) and on the same definition at x3
PARAMETERS = {
    "rlfn-s": {2: 454_620, 3: 461_115, 4: 470_208},
    "rlfn": {2: 526_856, 3: 533_891, 4: 543_740},
    "rlfn-ntire": {2: 302_278, 3: 308_503, 4: 317_218},
}
SMALL = RLFNFields(blocks=2, channels=6, mid=5, esa_channels=4)


def seeded(fields: RLFNFields = SMALL, scale: int = 2) -> RLFN:
    """Return a network whose weights follow from a formula, so that no random generator's version matters."""
    network = RLFN(fields, scale).eval()
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            steps = torch.arange(parameter.numel(), dtype=torch.float64)
            fan_in = max(1, parameter[0].numel())
            parameter.copy_((torch.sin(steps * 1.7 + number) / fan_in**0.5).reshape(parameter.shape).float())
    return network


def ramp(height: int, width: int) -> Tensor:
    steps = torch.arange(3 * height * width, dtype=torch.float64)
    return (127.5 + 127.5 * torch.sin(steps * 0.37)).reshape(1, 3, height, width).float()


@pytest.mark.parametrize(("name", "scale"), [(name, scale) for name, row in PARAMETERS.items() for scale in row])
def test_parameter_counts(name: str, scale: int) -> None:
    network = build(get_variant(name), scale)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name][scale]


def test_convolution_counts() -> None:
    for name, count in (("rlfn-s", 57), ("rlfn", 57), ("rlfn-ntire", 39)):
        network = build(get_variant(name), 4)
        assert sum(isinstance(module, torch.nn.Conv2d) for module in network.modules()) == count


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale(scale: int) -> None:
    assert RLFN(SMALL, scale)(torch.zeros(1, 3, 15, 17)).shape == (1, 3, 15 * scale, 17 * scale)


def test_scales_outside_are_refused() -> None:
    with pytest.raises(OptionError, match="1 to 8"):
        build(VARIANTS["rlfn"], 9)


def test_unknown_variant_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="Did you mean 'rlfn-ntire'"):
        get_variant("rlfn-ntir")


GOLDEN_MEAN = -0.25879779
GOLDEN = {
    (0, 0, 0): 5.0802,
    (1, 5, 7): 6.7513,
    (2, 33, 39): -7.0823,
    (0, 16, 20): 1.5571,
    (1, 30, 2): -14.5362,
    (2, 8, 33): -2.4758,
}


def test_golden_output() -> None:
    """The arithmetic as it is with the official weights; any change of the definition moves these values."""
    with torch.inference_mode():
        sr = seeded()(ramp(17, 20))[0].double()
    assert sr.mean().item() == pytest.approx(GOLDEN_MEAN, rel=1e-5)
    found = [sr[place].item() for place in GOLDEN]
    np.testing.assert_allclose(found, list(GOLDEN.values()), rtol=1e-4, atol=1e-3)


def test_against_the_definition_written_out() -> None:
    """The same network as plain formulas over its state dict."""
    network = seeded(scale=3)
    state = network.state_dict()
    x = ramp(19, 23)

    def conv(y: Tensor, name: str, **how: int) -> Tensor:
        return F.conv2d(y, state[f"{name}.weight"], state[f"{name}.bias"], **how)

    first = y = conv(x, "conv_1", padding=1)
    for block in ("block_1", "block_2"):
        z = y
        for name in ("c1_r", "c2_r", "c3_r"):
            z = conv(z, f"{block}.{name}", padding=1)
            z = torch.where(z > 0, z, 0.05 * z)
        z = conv(z + y, f"{block}.c5")
        a = conv(z, f"{block}.esa.conv1")
        b = F.max_pool2d(conv(a, f"{block}.esa.conv2", stride=2), 7, 3)
        b = F.interpolate(conv(b, f"{block}.esa.conv3", padding=1), (19, 23), mode="bilinear", align_corners=False)
        gate = conv(b + conv(a, f"{block}.esa.conv_f"), f"{block}.esa.conv4")
        y = z / (1 + torch.exp(-gate))
    out = F.pixel_shuffle(conv(conv(y, "conv_2", padding=1) + first, "upsampler.0", padding=1), 3)
    with torch.inference_mode():
        assert torch.allclose(network(x), out, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(15, 15), (16, 17), (33, 21), (40, 64)])
def test_the_whole_pictures_grid_changes_nothing(height: int, width: int) -> None:
    network = seeded()
    x = ramp(height, width)
    matrices = grid_matrices((axis_grid(0, height, height), axis_grid(0, width, width)))
    with torch.inference_mode():
        with_grid = network(x, GridTensors(*(torch.from_numpy(matrix) for matrix in matrices)))
        assert torch.allclose(network(x), with_grid, rtol=1e-5, atol=1e-3)
