from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rlfn.errors import ModelError
from rlfn.images.resize import resize
from rlfn.training.extractors import EXTRACTORS, VGG19, Contrastive, make_extractor
from rlfn.training.losses import PIXEL_LOSSES, bicubic_up, contrastive
from rlfn.training.objective import Objective


def pair(seed: int = 0, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 12, 16, generator=generator), torch.rand(count, 3, 12, 16, generator=generator)


def test_values_on_a_constant_difference() -> None:
    hr = torch.full((1, 3, 12, 12), 0.25)
    values = {name: float(loss(hr + 0.5, hr)) for name, loss in PIXEL_LOSSES.items()}
    assert values["l1"] == pytest.approx(0.5)
    assert values["mse"] == pytest.approx(0.25)
    assert values["charbonnier"] == pytest.approx((0.25 + 1e-6) ** 0.5)
    # the spectrum of a constant is one real number, 0.5 * sqrt(144); 12 x 7 complex numbers are kept
    assert values["fourier"] == pytest.approx(6.0 / (12 * 7 * 2))


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_every_loss_is_lowest_at_the_truth_and_can_be_followed(name: str) -> None:
    sr, hr = pair()
    sr.requires_grad_()
    value = PIXEL_LOSSES[name](sr, hr)
    value.backward()
    assert float(value.detach()) > float(PIXEL_LOSSES[name](hr, hr))
    better = PIXEL_LOSSES[name](sr.detach() - sr.grad / sr.grad.abs().max() * 0.05, hr)
    assert float(better) < float(value.detach())


def test_contrastive_by_hand() -> None:
    anchor = [torch.tensor([[1.0, 2.0], [0.0, 4.0]]), torch.tensor([[3.0], [1.0]])]
    positive = [torch.tensor([[2.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0], [2.0]])]
    negative = [torch.tensor([[5.0, 2.0], [2.0, 0.0]]), torch.tensor([[7.0], [0.5]])]
    # layer 1: sample 1 (1 + 0)/2 over (4 + 0)/2 = 1/4, sample 2 (0 + 3)/2 over (2 + 4)/2 = 1/2; mean 3/8
    # layer 2: sample 1 2/4 = 1/2, sample 2 1/0.5 = 2; mean 5/4
    value = contrastive(anchor, positive, negative, [2.0, 0.1])
    assert float(value) == pytest.approx(2.0 * 3 / 8 + 0.1 * 5 / 4, abs=1e-6)


def test_contrastive_of_a_batchs_means_by_hand() -> None:
    anchor = [torch.tensor([[1.0, 2.0], [0.0, 4.0]], requires_grad=True)]
    positive, negative = [torch.tensor([[2.0, 2.0], [0.0, 1.0]])], [torch.tensor([[5.0, 2.0], [2.0, 0.0]])]
    # (1 + 0 + 0 + 3) / 4 over (4 + 0 + 2 + 4) / 4 = 4/10
    value = contrastive(anchor, positive, negative, [3.0], "batch")
    assert float(value.detach()) == pytest.approx(1.2, abs=1e-6)
    (found,) = torch.autograd.grad(value, anchor[0])
    near, far = (anchor[0] - positive[0]).abs().mean(), (anchor[0] - negative[0]).abs().mean()
    (wanted,) = torch.autograd.grad(3.0 * near / far, anchor[0])
    assert torch.allclose(found, wanted, rtol=1e-5)


def test_contrastive_is_finite_where_the_answer_is_the_negative() -> None:
    same = [torch.ones(1, 2)]
    assert float(contrastive(same, [torch.zeros(1, 2)], same, [1.0])) == pytest.approx(1e7, rel=1e-3)


def test_the_negative_is_matlabs_enlargement() -> None:
    random = np.random.default_rng(0)
    lr = random.random((9, 11, 3))
    for scale in (2, 3, 4):
        ours = bicubic_up(torch.from_numpy(lr.transpose(2, 0, 1)).float()[None], scale)[0].permute(1, 2, 0).numpy()
        assert np.abs(ours - resize(lr, scale=scale)).max() < 1e-6


@pytest.mark.parametrize("name", EXTRACTORS)
def test_every_extractor_is_frozen_and_repeatable(name: str) -> None:
    options = Contrastive(extractor=name, vgg19="random", width=8, seed=3)
    first, second = make_extractor(options), make_extractor(options)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    features = first(image)
    assert len(features) == first.layers
    assert all(torch.equal(a, b) for a, b in zip(features, second(image), strict=True))
    assert not any(parameter.requires_grad for parameter in first.parameters())
    other = make_extractor(Contrastive(extractor=name, vgg19="random", width=8, seed=4))
    assert not torch.equal(features[-1], other(image)[-1])


def test_vgg19_reads_torchvisions_file_and_taps_after_the_activation(tmp_path: Path) -> None:
    # the convolutions of torchvision's `features` up to the 13th, and layers that must be left alone
    places = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
    widths = (3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512)
    state = {"classifier.0.weight": torch.zeros(2, 2), "features.30.weight": torch.zeros(2, 2)}
    for index, place in enumerate(places):
        state[f"features.{place}.weight"] = torch.zeros(widths[index + 1], widths[index], 3, 3)
        state[f"features.{place}.bias"] = torch.full((widths[index + 1],), float(index + 1))
    torch.save(state, tmp_path / "vgg19.pth")
    options = Contrastive(extractor="vgg19", vgg19=str(tmp_path / "vgg19.pth"))
    features = make_extractor(options)(torch.zeros(1, 3, 32, 32))
    assert [tuple(f.shape[1:]) for f in features] == [
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
        (512, 2, 2),
    ]
    assert [float(f.flatten()[0]) for f in features] == [1.0, 3.0, 5.0, 9.0, 13.0]


def test_vgg19_from_a_wrong_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(b"no")
    with pytest.raises(ModelError, match="VGG-19"):
        VGG19(torch.nn.ReLU).load(tmp_path / "x.pth")


def test_an_objective_adds_its_weighted_parts_and_halves_agree_with_the_whole() -> None:
    extractor = make_extractor(Contrastive(width=8))
    teacher = torch.nn.Upsample(scale_factor=2)
    weights = {"l1": 0.5, "contrastive": 0.25, "distillation": 2.0, "mse": 0.0}
    objective = Objective(weights, 2, extractor, (), teacher)
    lr = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(3)
    sr, hr = (torch.rand(4, 3, 16, 16, generator=generator) for _ in range(2))
    total, parts = objective(lr, sr, hr)
    assert set(parts) == {"l1", "contrastive", "distillation"}
    assert float(total) == pytest.approx(sum(weights[name] * float(part) for name, part in parts.items()), rel=1e-6)
    assert float(parts["distillation"]) == pytest.approx(float((sr - teacher(lr)).abs().mean()), rel=1e-6)
    halves = [float(objective(lr[half], sr[half], hr[half])[0]) for half in (slice(0, 2), slice(2, 4))]
    assert sum(halves) / 2 == pytest.approx(float(total), rel=1e-5)


def slow_ms_ssim(x: np.ndarray, y: np.ndarray, weights: list[float]) -> float:
    """One channel, by the definition: windows one by one."""
    line = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    value = 1.0
    for number, weight in enumerate(weights):
        terms = []
        for top in range(x.shape[0] - 10):
            for left in range(x.shape[1] - 10):
                a, b = x[top : top + 11, left : left + 11], y[top : top + 11, left : left + 11]
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a, var_b = (window * a * a).sum() - mean_a**2, (window * b * b).sum() - mean_b**2
                both = (window * a * b).sum() - mean_a * mean_b
                light = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
                structure = (2 * both + 9e-4) / (var_a + var_b + 9e-4)
                terms.append(light * structure if number == len(weights) - 1 else structure)
        value *= float(np.mean(terms)) ** weight
        half = x.shape[0] // 2
        x, y = (z[: 2 * half, : 2 * half].reshape(half, 2, half, 2).mean(axis=(1, 3)) for z in (x, y))
    return value


@pytest.mark.parametrize(("side", "count"), [(12, 1), (24, 2), (44, 3)])
def test_ms_ssim_is_its_definition_on_as_many_scales_as_fit(side: int, count: int) -> None:
    random = np.random.default_rng(side)
    y = random.random((1, 3, side, side))
    x = np.clip(y + 0.1 * random.standard_normal(y.shape), 0, 1)
    published = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333][:count]
    weights = [weight / sum(published) for weight in published]
    wanted = 1.0 - np.mean([slow_ms_ssim(a, b, weights) for a, b in zip(x[0], y[0], strict=True)])
    found = PIXEL_LOSSES["ms-ssim"](torch.from_numpy(x), torch.from_numpy(y))
    assert float(found) == pytest.approx(wanted, abs=2e-5)
    assert float(PIXEL_LOSSES["ms-ssim"](torch.from_numpy(y), torch.from_numpy(y))) == pytest.approx(0.0, abs=1e-5)
