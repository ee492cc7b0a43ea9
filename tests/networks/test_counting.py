"""Counts against the field's printed numbers and torch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rlfn.errors import OptionError
from rlfn.models.variants import VARIANTS
from rlfn.networks import build
from rlfn.networks.counting import count

# LR 256x256, x4: multiply-adds in 1e9, activations in 1e6, convolutions
AT_256 = {"rlfn-s": (29.12, 118.10, 57), "rlfn": (33.93, 126.49, 57), "rlfn-ntire": (19.66, 80.05, 39)}
# a result of 1280x720: multiply-adds in 1e9 by scale
AT_720P = {
    "rlfn-s": {2: 98.80, 3: 44.50, 4: 25.59},
    "rlfn": {2: 115.42, 3: 51.93, 4: 29.82},
    "rlfn-ntire": {2: 65.68, 3: 29.78, 4: 17.28},
}


@pytest.mark.parametrize("name", AT_256)
def test_counts_at_256(name: str) -> None:
    found = count(build(VARIANTS[name], 4), 256, 256)
    printed = (round(found.multiply_adds / 1e9, 2), round(found.activations / 1e6, 2), len(found.layers))
    assert printed == AT_256[name]
    assert sum(layer.parameters for layer in found.layers) == found.parameters


@pytest.mark.parametrize(("name", "scale"), [(name, scale) for name, rows in AT_720P.items() for scale in rows])
def test_counts_at_720p(name: str, scale: int) -> None:
    found = count(build(VARIANTS[name], scale), 720 // scale, 1280 // scale)
    assert round(found.multiply_adds / 1e9, 2) == AT_720P[name][scale]


@pytest.mark.parametrize("name", VARIANTS)
def test_torchs_counter_agrees(name: str) -> None:
    network = build(VARIANTS[name], 4)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        network.to("meta")(torch.empty(1, 3, 40, 52))
    # its matrix products, where there are any, sum the branches' kernels once for all pixels and are not counted here
    convolutions = counter.get_flop_counts()["Global"][torch.ops.aten.convolution]
    assert convolutions == 2 * count(network, 40, 52).multiply_adds


def test_layers_are_named_after_their_modules() -> None:
    network = build(VARIANTS["rlfn-s"], 4)
    names = [layer.name for layer in count(network, 20, 30).layers]
    assert names[:2] == ["conv_1", "block_1.c1_r"]
    assert names[-1] == "upsampler.0"
    assert set(names) == {name for name, module in network.named_modules() if isinstance(module, torch.nn.Conv2d)}


def test_the_network_is_left_as_it_was() -> None:
    network = build(VARIANTS["rlfn-ntire"], 4).train()
    count(network, 20, 20)
    assert network.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert next(network.parameters()).device.type == "cpu"


@pytest.mark.parametrize("size", [(0, 20), (14, 20)])
def test_sizes_that_cannot_run_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match=f"{size[1]}x{size[0]}"):
        count(build(VARIANTS["rlfn-s"], 4), *size)
