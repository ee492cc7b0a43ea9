"""Every network of the table: its contract, its files, its numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rlfn.errors import ModelError, OptionError
from rlfn.evaluation.metrics import psnr
from rlfn.models.variants import (
    SCALES,
    VARIANTS,
    EDSRFields,
    Fields,
    IMDNFields,
    PlainFields,
    RFDNFields,
    RLFNFields,
    SPANFields,
    Variant,
)
from rlfn.networks import ARCHITECTURES, build, load_checkpoint, save_checkpoint
from rlfn.networks.checkpoints import fold_range

SMALL: dict[str, Fields] = {
    "rlfn": RLFNFields(2, 4, 5, 2),
    "rfdn-rfdb": RFDNFields(2, 6, 2, "rfdb"),
    "rfdn-srb": RFDNFields(2, 4, 2, "srb"),
    "rfdn-plain": RFDNFields(2, 4, 2, "plain"),
    "rfdn-one": RFDNFields(2, 4, 2, "srb", 1),
    "edsr": EDSRFields(2, 4),
    "imdn": IMDNFields(2, 8),
    "span": SPANFields(3, 4),
    "plain": PlainFields(2, 4),
    "plain-train": PlainFields(2, 4, expand=3),
}

# counted once, and equal to what the networks' own papers and repositories print, in thousands
PARAMETERS_X4 = {
    "rlfn": 543740,
    "rlfn-s": 470208,
    "rlfn-ntire": 317218,
    "rfdn-aim": 433448,
    "edsr-baseline": 1517571,
    "imdn-aim": 893936,
    "span-ch28": 150688,
    "rlfn-xs": 88752,
    "rlfn-xxs": 25968,
}

# four samples of the output for the input and the weights of `patterned`, computed once
GOLDEN = {
    "rlfn": [-4.807294, 18.33674, -19.06032, 32.1286],
    "rfdn-rfdb": [-105.8508, 8.409335, 17.75694, 48.80837],
    "rfdn-srb": [52.10242, -13.72278, 5.061076, 34.90986],
    "rfdn-plain": [52.07928, -13.72169, 5.055279, 34.90149],
    "rfdn-one": [-78.32442, -10.38648, 26.20018, 26.43537],
    "edsr": [154.3071, 95.42453, 82.4425, 75.29825],
    "imdn": [-192.9919, -47.38134, 23.38002, 196.6813],
    "span": [-181.8412, -237.1708, 255.7506, 242.0521],
    "plain": [118.3209, 217.8106, 122.1578, 90.56063],
    "plain-train": [106.4299, 213.9479, 139.8898, 83.85391],
}


def small(name: str, scale: int = 2) -> tuple[nn.Module, Variant]:
    architecture = name.split("-")[0]
    variant = Variant(f"{architecture}-custom", architecture, SMALL[name], "small, for tests")
    return build(variant, scale).eval(), variant


def patterned(network: nn.Module) -> nn.Module:
    """Give every parameter values that depend on nothing but its place."""
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters(), 1):
            places = torch.arange(parameter.numel(), dtype=torch.float64).reshape(parameter.shape)
            parameter.copy_(0.1 * torch.sin(places * 0.7 + number))
    return network


def picture(height: int = 17, width: int = 16) -> Tensor:
    places = torch.arange(3 * height * width, dtype=torch.float64).reshape(1, 3, height, width)
    return (127.5 + 127.5 * torch.sin(places * 0.37)).float()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("scale", SCALES)
def test_shapes_and_smallest_side(name: str, scale: int) -> None:
    with torch.device("meta"):
        network, variant = small(name, scale)
        least = ARCHITECTURES[variant.architecture].min_side
        assert network(torch.empty(2, 3, least, least + 3)).shape == (2, 3, scale * least, scale * (least + 3))


@pytest.mark.parametrize(("name", "count"), PARAMETERS_X4.items())
def test_parameter_counts(name: str, count: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in build(VARIANTS[name], 4).parameters()) == count


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_network_is_recognised_from_its_file(name: str, suffix: str, tmp_path: Path) -> None:
    network = build(VARIANTS[name], 3)
    path = tmp_path / f"weights{suffix}"
    save_checkpoint(path, network, VARIANTS[name], 3)
    found = load_checkpoint(path)
    assert (found.variant, found.scale) == (VARIANTS[name], 3)
    for key, tensor in network.state_dict().items():
        assert torch.equal(found.network.state_dict()[key], tensor)


@pytest.mark.parametrize("name", SMALL)
def test_sizes_outside_the_table_are_read_from_the_file(name: str, tmp_path: Path) -> None:
    network, variant = small(name, 5)
    save_checkpoint(tmp_path / "w.safetensors", network, variant, 5)
    found = load_checkpoint(tmp_path / "w.safetensors")
    assert (found.variant.fields, found.scale) == (variant.fields, 5)


@pytest.mark.parametrize("name", SMALL)
def test_golden_outputs(name: str) -> None:
    network, _ = small(name)
    with torch.inference_mode():
        out = patterned(network)(picture())[0]
    found = [out[0, 0, 0], out[1, 9, 20], out[2, 33, 31], out.double().std()]
    assert [float(value) for value in found] == pytest.approx(GOLDEN[name], rel=1e-4)


def test_a_file_with_one_foreign_tensor_is_refused(tmp_path: Path) -> None:
    network, _ = small("rfdn-rfdb")
    state = network.state_dict()
    state["B1.c9.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"looks like rfdn-custom x2, but 1 of its tensors.*B1\.c9\.weight"):
        load_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["rlfn", "rfdn-rfdb", "rfdn-srb", "rfdn-plain", "plain", "plain-train"])
def test_the_range_folds_exactly(name: str) -> None:
    network, _ = small(name)
    lr = picture()
    with torch.inference_mode():
        wanted = patterned(network)(lr / 255.0) * 255.0
        fold_range(network, trained=1.0)
        assert torch.allclose(network(lr), wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["edsr", "imdn", "span"])
def test_a_range_that_cannot_fold_is_refused(name: str) -> None:
    network, _ = small(name)
    with pytest.raises(OptionError, match=r"is always \[0, 255\]"):
        fold_range(network, trained=1.0)


def test_the_mean_shift_is_not_trained() -> None:
    network, _ = small("edsr")
    assert not [key for key, _ in network.named_parameters() if "mean" in key]
    assert "sub_mean.weight" in network.state_dict()


PEERS = {"rfdn_aim_x4": ("rfdn-aim", 28.641), "imdn_x4": ("imdn-aim", 28.741), "span_ch28_x4": ("span-ch28", 27.825)}


@pytest.fixture(scope="module")
def shared() -> Path:
    folder = os.environ.get("RLFN_SHARED")
    if not folder:
        pytest.skip("RLFN_SHARED does not name the folder with the reference weights and the test sets")
    return Path(folder)


@pytest.mark.parametrize("name", PEERS)
def test_reference_weights_load_and_use_0_to_255(name: str, shared: Path) -> None:
    from skimage.io import imread

    variant, expected = PEERS[name]
    checkpoint = load_checkpoint(shared / "reference" / "peers" / f"{name}.pth")
    assert (checkpoint.variant.name, checkpoint.scale) == (variant, 4)
    bench = shared / "data" / "bench" / "Set5"
    lr = torch.from_numpy(imread(bench / "LR_bicubic" / "X4" / "butterflyx4.png"))
    with torch.inference_mode():
        sr = checkpoint.network(lr.permute(2, 0, 1)[None].float())[0].permute(1, 2, 0).clamp(0, 255).round().numpy()
    hr = imread(bench / "HR" / "butterfly.png")[: sr.shape[0], : sr.shape[1]]
    from rlfn.images.color import luminance

    found = psnr(luminance(sr)[4:-4, 4:-4], luminance(hr)[4:-4, 4:-4])
    assert found == pytest.approx(expected, abs=0.005)


def test_an_unknown_network_is_refused(shared: Path) -> None:
    with pytest.raises(ModelError, match=r"no known network\. Known: rlfn"):
        load_checkpoint(shared / "reference" / "peers" / "carn_m.pth")
