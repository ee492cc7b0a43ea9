from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rlfn.data.crops import sample_batch, sample_stream
from rlfn.data.degradations import DEGRADATIONS, Bicubic, make_degradation
from rlfn.data.pack import Pack
from rlfn.data.photo import KERNELS, Photo, compress, compress_webp, reduce
from rlfn.errors import MissingExtraError, OptionError
from rlfn.images.resize import resize
from synthetic import synthetic

OFF: dict[str, Any] = {"clean": 0.0, "blur": 0.0, "poisson": 0.0, "gaussian": 0.0, "smoothed": 0.0, "jpeg": 0.0}
OFF |= {"blur_uneven": 0.0, "jpeg_again": 0.0, "webp": 0.0}


def stream() -> np.random.Generator:
    return sample_stream(1, 2, 3)


def flat(value: int = 128, side: int = 240) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


@pytest.mark.parametrize("name", DEGRADATIONS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_degradation_has_the_right_size_and_is_repeatable(name: str, scale: int) -> None:
    degradation, hr = make_degradation(name), synthetic(24 * scale, 19 * scale)
    lr = degradation.apply(hr, scale, stream())
    assert lr.shape == (24, 19, 3)
    assert lr.dtype == np.uint8
    assert np.array_equal(lr, degradation.apply(hr, scale, stream()))
    limit = 40 if name == "real-esrgan" else 25
    assert np.abs(lr.astype(float) - resize(hr.astype(float), scale=1 / scale)).mean() < limit


@pytest.mark.parametrize("scale", [2, 3, 4, 5])
def test_kernels_agree_with_other_implementations(scale: int) -> None:
    hr = synthetic(11 * scale, 13 * scale)
    assert np.abs(reduce(hr, scale, "bicubic") - resize(hr.astype(np.float64), scale=1 / scale)).max() < 1e-3
    means = hr.reshape(11, scale, 13, scale, 3).mean(axis=(1, 3))
    assert np.abs(reduce(hr, scale, "area") - means).max() < 1e-3
    planes = [Image.fromarray(hr[:, :, c].astype(np.float32)) for c in range(3)]
    triangle = np.stack([np.asarray(plane.resize((13, 11), Image.Resampling.BILINEAR)) for plane in planes], axis=-1)
    assert np.abs(reduce(hr, scale, "bilinear") - triangle)[1:-1, 1:-1].max() < 1e-3


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sigma", [0.4, 2.5])
def test_blur_is_a_gaussian_before_the_reduction(kernel: str, sigma: float) -> None:
    hr = synthetic(32, 40)
    reach = int(np.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    padded = np.pad(hr.astype(float), ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    rows = sum(w * padded[k : k + 32] for k, w in enumerate(weights))
    blurred = sum(w * rows[:, k : k + 40] for k, w in enumerate(weights))
    levels = np.linspace(0, 255, 32 * 40 * 3).reshape(32, 40, 3).astype(np.uint8)
    assert np.abs(reduce(levels, 4, kernel, 0.0) - reduce(levels, 4, kernel, sigma))[3:-3, 3:-3].max() < 1
    assert np.abs(reduce(hr, 4, kernel, sigma) - _reduce_float(blurred, 4, kernel)).max() < 1e-3


@pytest.mark.parametrize(("sigma", "across", "angle"), [(2.4, 0.6, 0.5), (0.4, 2.0, 2.2), (1.5, 1.0, 0.0)])
def test_an_anisotropic_blur_is_a_rotated_gaussian(sigma: float, across: float, angle: float) -> None:
    hr, reach = synthetic(40, 48), int(np.ceil(3 * max(sigma, across)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along, beside = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    weights = np.exp(-0.5 * ((along / sigma) ** 2 + (beside / across) ** 2))
    padded = np.pad(hr.astype(float), ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, weights.shape, axis=(0, 1))
    blurred = np.einsum("hwcyx,yx->hwc", windows, weights / weights.sum())
    found, expected = reduce(hr, 4, "area", sigma, across, angle), _reduce_float(blurred, 4, "area")
    assert np.abs(found - expected).max() < 0.3
    assert np.abs(found - expected).mean() < 0.03


def _reduce_float(picture: np.ndarray, scale: int, kernel: str) -> np.ndarray:
    """Reduce a float picture by a whole and a fractional part, each of which is a picture of uint8."""
    scaled = np.rint(picture * 256**2).astype(np.int64)
    parts = [(scaled >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)]
    return sum(reduce(part, scale, kernel).astype(float) * 256.0**-n for n, part in enumerate(parts))


def test_without_any_step_it_is_the_plain_reduction() -> None:
    hr = synthetic(40, 48)
    for kernel in KERNELS:
        out = Photo(**OFF, kernels=(kernel,)).apply(hr, 4, stream())
        assert np.array_equal(out, np.clip(np.floor(reduce(hr, 4, kernel) + 0.5), 0, 255))


def test_every_kernel_is_drawn_as_often_as_it_is_listed() -> None:
    hr = synthetic(40, 48)
    results = [Photo(**OFF).apply(hr, 4, sample_stream(0, 0, k)).tobytes() for k in range(400)]
    assert len(set(results)) == 3
    shares = sorted(results.count(one) / 400 for one in set(results))
    assert shares == pytest.approx([0.25, 0.25, 0.5], abs=0.06)


def test_a_share_stays_the_bicubic_reduction(pack: Pack) -> None:
    hr = synthetic(40, 48)
    clean = [np.array_equal(Photo().apply(hr, 4, sample_stream(0, 0, k)), resize(hr, scale=0.25)) for k in range(200)]
    assert np.mean(clean) == pytest.approx(0.25, abs=0.08)
    arguments: dict[str, Any] = {"seed": 0, "iteration": 0, "first": 0, "count": 9, "pictures": pack.split(0, "all")}
    for scale in (4, 5):  # the pack has one of them
        lr, hr_planes = sample_batch(pack, scale=scale, patch=6, degradation=Photo(clean=1.0), **arguments)
        if scale in pack.scales:
            assert np.array_equal(lr, sample_batch(pack, scale=scale, patch=6, degradation=Bicubic(), **arguments)[0])
        for small, big in zip(lr, hr_planes, strict=True):
            made = resize(np.ascontiguousarray(big.transpose(1, 2, 0)), scale=1 / scale).transpose(2, 0, 1)
            difference = made[:, 2:-2, 2:-2].astype(int) - small[:, 2:-2, 2:-2]
            assert np.abs(difference).max() <= 1  # a turned crop is rounded in another order
    drawn = sample_batch(pack, scale=4, patch=6, degradation=Photo(), **(arguments | {"count": 200}))[0]
    plain = sample_batch(pack, scale=4, patch=6, degradation=Bicubic(), **(arguments | {"count": 200}))[0]
    assert np.mean((drawn == plain).all(axis=(1, 2, 3))) == pytest.approx(0.25, abs=0.1)


@pytest.mark.parametrize("sigma", [2.0, 20.0])
def test_gaussian_noise_has_its_deviation(sigma: float) -> None:
    out = Photo(**(OFF | {"gaussian": 1.0, "gaussian_sigma": (sigma, sigma)})).apply(flat(), 2, stream())
    assert out.std() == pytest.approx(sigma, rel=0.03)
    assert out.mean() == pytest.approx(128, abs=0.5)


def test_poisson_noise_grows_with_the_light() -> None:
    photo = Photo(**(OFF | {"poisson": 1.0, "poisson_photons": (500.0, 500.0)}))
    for value in (30, 120):
        out = photo.apply(flat(value), 2, stream())
        assert out.std() == pytest.approx(np.sqrt(value * 255 / 500), rel=0.03)
        assert out.mean() == pytest.approx(value, abs=0.3)
    assert (photo.apply(flat(0), 2, stream()) == 0).all()


def test_smoothed_noise_is_weaker_and_correlated() -> None:
    rough, smooth = (
        Photo(
            **(OFF | {"gaussian": 1.0, "gaussian_sigma": (8.0, 8.0), "smoothed": share, "smoothed_sigma": (0.7, 0.7)})
        )
        .apply(flat(), 2, stream())
        .astype(float)
        - 128
        for share in (0.0, 1.0)
    )
    assert 0.3 * rough.std() < smooth.std() < 0.6 * rough.std()
    alike = [(noise[1:] * noise[:-1]).mean() / noise.var() for noise in (rough, smooth)]
    assert abs(alike[0]) < 0.05
    assert alike[1] > 0.3


def test_a_second_compression_has_another_grid() -> None:
    hr = synthetic(160, 160)
    settings = OFF | {"jpeg": 1.0, "jpeg_quality": (30, 30), "jpeg_halved": 0.0, "kernels": ("area",)}
    once = Photo(**settings).apply(hr, 2, stream())
    twice = Photo(**(settings | {"jpeg_again": 1.0})).apply(hr, 2, stream())
    assert once.shape == twice.shape
    same_grid = compress(once, 30, halved=False).astype(int) - once
    assert np.abs(twice.astype(int) - once).mean() > 3 * np.abs(same_grid).mean()


def test_webp_loses_more_at_lower_quality() -> None:
    picture = synthetic(60, 44)
    errors = [np.abs(compress_webp(picture, quality).astype(int) - picture).mean() for quality in (30, 60, 98)]
    assert errors[0] > errors[1] > errors[2] > 0
    photo = Photo(**(OFF | {"jpeg": 1.0, "webp": 1.0, "jpeg_quality": (60, 60), "kernels": ("area",)}))
    hr = synthetic(120, 88)
    plain = Photo(**(OFF | {"kernels": ("area",)})).apply(hr, 2, stream())
    assert np.array_equal(photo.apply(hr, 2, stream()), compress_webp(plain, 60))


@pytest.mark.parametrize(("quality", "halved"), [(30, False), (95, False), (60, True)])
def test_jpeg_equals_pillows(quality: int, halved: bool) -> None:
    from io import BytesIO

    picture = synthetic(48, 40)
    data = BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=quality, subsampling=2 if halved else 0)
    expected = np.abs(np.asarray(Image.open(data)).astype(int) - picture).mean()
    assert np.abs(compress(picture, quality, halved=halved).astype(int) - picture).mean() == pytest.approx(
        expected, 0.05
    )


def test_lower_quality_is_further_from_the_picture() -> None:
    hr = synthetic(200, 200)
    errors = []
    for quality in (30, 60, 95):
        photo = Photo(**(OFF | {"jpeg": 1.0, "jpeg_quality": (quality, quality), "kernels": ("area",)}))
        errors.append(np.abs(photo.apply(hr, 2, stream()) - reduce(hr, 2, "area")).mean())
    assert errors[0] > 1.2 * errors[1] > 2 * errors[2]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sigma", [0.2, 2.0])
def test_crops_equal_the_whole_picture(pack: Pack, kernel: str, sigma: float) -> None:
    photo = Photo(**(OFF | {"blur": 1.0, "blur_sigma": (sigma, sigma), "kernels": (kernel,)}))
    whole = [photo.apply(pack.hr(0)[:68, :100], 4, stream())]
    arguments: dict[str, Any] = {"seed": 0, "iteration": 0, "first": 0, "count": 30, "scale": 4, "patch": 6}
    lr, hr = sample_batch(pack, **arguments, pictures=np.array([0]), degradation=photo)
    _, reference = sample_batch(pack, **arguments, pictures=np.array([0]), degradation=Bicubic())
    places = [np.lib.stride_tricks.sliding_window_view(p.transpose(2, 0, 1), (3, 6, 6))[0] for p in whole]
    for crop in lr:
        turned = [t[:, ::y, ::x] for t in (crop, crop.transpose(0, 2, 1)) for y in (1, -1) for x in (1, -1)]
        assert any((windows == view).all(axis=(2, 3, 4)).any() for windows in places for view in turned)
    assert hr.shape == reference.shape


def test_photo_samples_are_repeatable_and_independent_of_the_batch(pack: Pack) -> None:
    arguments: dict[str, Any] = {"seed": 0, "iteration": 5, "scale": 3, "patch": 9, "degradation": Photo()}
    arguments["pictures"] = pack.split(0, "all")
    lr, hr = sample_batch(pack, first=0, count=9, **arguments)
    part = sample_batch(pack, first=4, count=2, **arguments)
    assert np.array_equal(part[0], lr[4:6])
    assert np.array_equal(part[1], hr[4:6])
    means = [resize(crop.transpose(1, 2, 0).astype(float), scale=1 / 3).transpose(2, 0, 1) for crop in hr]
    assert np.abs(np.stack(means) - lr).mean() < 15  # the pairs belong together


def test_photo_needs_no_scale_in_the_pack(pack: Pack) -> None:
    lr, _ = sample_batch(
        pack,
        seed=0,
        iteration=0,
        first=0,
        count=2,
        scale=5,
        patch=5,
        pictures=pack.split(0, "all"),
        degradation=Photo(),
    )
    assert lr.shape == (2, 3, 5, 5)


def test_settings_are_checked_all_at_once() -> None:
    with pytest.raises(OptionError) as caught:
        Photo(blur=1.5, blur_sigma=(0.9, 0.1), jpeg_quality=(30, 101), kernels=("lanczos",), gaussian_sigma=(0.0, 1.0))
    for name in ("blur = 1.5", "blur_sigma", "jpeg_quality", "kernels", "gaussian_sigma"):
        assert name in str(caught.value)
    with pytest.raises(OptionError, match="whole numbers"):
        Photo(jpeg_quality=(30.5, 40))  # type: ignore[arg-type]


def test_degradations_are_made_from_recipes() -> None:
    assert make_degradation("bicubic") == Bicubic()
    made = make_degradation("photo", {"jpeg": 0.25, "jpeg_quality": [40, 90], "kernels": ["area"]})
    assert made == Photo(jpeg=0.25, jpeg_quality=(40, 90), kernels=("area",))
    with pytest.raises(OptionError, match="Did you mean 'bicubic'"):
        make_degradation("bicubc")
    with pytest.raises(OptionError, match="Did you mean 'jpeg_quality'"):
        make_degradation("photo", {"jpg_quality": [40, 90]})
    with pytest.raises(OptionError, match="degradation bicubic has no settings"):
        make_degradation("bicubic", {"jpeg": 1})


def test_a_missing_encoder_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlfn\[train\]'"):
        compress(flat(side=16), 50, halved=False)
