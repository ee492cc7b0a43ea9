"""The pipeline with a family for photographs: the weights that run, what is told of them, and what stays as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from photo_family import CLEAN, PHOTO, no_photo_family, photo_family, photo_files  # noqa: F401 - fixtures
from rlfn.api.pictures import upscale, upscale_with_details
from rlfn.errors import ModelError, OptionError
from rlfn.images.coding import CodingInfo
from rlfn.images.files import Picture, write_picture
from rlfn.images.resize import resize
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.loading import tensors_of
from rlfn.inference.restore import PixelEvidence, RestoreStrength, strength_for
from rlfn.inference.sizing import Wanted
from rlfn.inference.upscaler import Upscaler
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.batch import Batch, Settings
from rlfn.jobs.plan import Job
from rlfn.models import catalog
from rlfn.models.blend import Blend
from rlfn.models.catalog import Model
from rlfn.models.source import ModelSource
from synthetic import synthetic

FAST = {"engine": "onnxruntime", "threads": 1}
NOISY = synthetic(40, 48)
SMOOTH = resize(np.full((12, 14, 3), 90, np.uint8), scale=4.0)


def run(image: NDArray[np.uint8], **options: object):
    options = {"model": CLEAN, **FAST, **options}
    wanted = Wanted(options.pop("scale", None), options.pop("width", None))
    return Enlarger(EnlargeOptions(wanted, **options))(image)  # type: ignore[arg-type]


def direct(model: str, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return Upscaler(model, engine="onnxruntime", threads=1)(image)


@pytest.mark.usefixtures("no_photo_family")
def test_without_such_a_family_nothing_changes_and_the_reason_says_so() -> None:
    made = run(NOISY)
    np.testing.assert_array_equal(made.image, direct(f"{CLEAN}-x4", NOISY))
    assert (made.plan.restore.strength, made.plan.upscaler.model) == (0.0, f"{CLEAN}-x4")
    assert made.plan.restore.reason == "no weights for photographs of rlfn-xs reach x4"
    with pytest.raises(OptionError, match=r"no weights for photographs of rlfn-xs-x4 at x4\. Families that have them"):
        run(NOISY, restore=1)


@pytest.mark.usefixtures("photo_family")
class TestWithAFamilyForPhotographs:
    @pytest.fixture(autouse=True)
    def blends_help(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rlfn.inference.enlarge.APART", {})

    def test_off_and_clean_pictures_are_exactly_as_before(self) -> None:
        for image, restore in ((NOISY, "off"), (NOISY, 0), (SMOOTH, "auto")):
            made = run(image, restore=restore)
            np.testing.assert_array_equal(made.image, direct(f"{CLEAN}-x4", image))
            assert (made.plan.restore.strength, made.plan.upscaler.model) == (0.0, f"{CLEAN}-x4")

    def test_full_strength_is_the_other_family(self) -> None:
        made = run(NOISY, restore=1)
        np.testing.assert_array_equal(made.image, direct(f"{PHOTO}-x4", NOISY))
        assert made.plan.restore == RestoreStrength(1.0, "as asked")
        assert made.plan.upscaler.model == f"{PHOTO}-x4"

    def test_auto_follows_the_pixels(self) -> None:
        made = run(NOISY)
        assert made.plan.restore.strength == 1.0
        assert made.plan.restore.reason.startswith("chroma noise of ")
        np.testing.assert_array_equal(made.image, direct(f"{PHOTO}-x4", NOISY))

    def test_auto_follows_the_file(self) -> None:
        enlarger = Enlarger(EnlargeOptions(model=CLEAN, **FAST))
        made = enlarger(SMOOTH, coding=CodingInfo(True, 92, True))
        assert (made.plan.restore.strength, made.plan.restore.reason) == (0.5, "JPEG of quality 92, subsampled chroma")
        assert made.plan.upscaler.model == f"{PHOTO}-x4 at 0.5"

    def test_the_blended_tensors_lie_between_the_ends(self) -> None:
        ends = ModelSource(f"{CLEAN}-x4"), ModelSource(f"{PHOTO}-x4")
        variant, scale, tensors = tensors_of(Blend(*ends, 0.25))
        assert (variant.name, scale) == ("rlfn-xs", 4)
        low, high = (tensors_of(end)[2] for end in ends)
        for name, tensor in tensors.items():
            np.testing.assert_allclose(tensor, 0.75 * low[name] + 0.25 * high[name], rtol=1e-5, atol=1e-7)
        with pytest.raises(ModelError, match="two different networks cannot be blended"):
            tensors_of(Blend(ends[0], ModelSource("rlfn-s-x4"), 0.25))

    @pytest.mark.parametrize("engine", ["openvino", "torch"])
    def test_blended_weights_are_alike_in_every_engine(self, engine: str) -> None:
        pytest.importorskip(engine)
        one = run(NOISY, restore=0.5, precision="fp32").image.astype(int)
        other = run(NOISY, restore=0.5, engine=engine, precision="fp32").image.astype(int)
        assert np.abs(one - other).max() <= 1
        ends = [run(NOISY, restore=end, precision="fp32").image.astype(int) for end in (0, 1)]
        assert all(np.abs(one - end).max() > 1 for end in ends)

    def test_weights_without_a_clean_end_run_at_0_or_1(self) -> None:
        made = run(SMOOTH, scale=2, restore="auto")
        assert made.plan.upscaler.model == f"{CLEAN}-x2"
        enlarger = Enlarger(EnlargeOptions(Wanted(2), CLEAN, **FAST))
        made = enlarger(SMOOTH, coding=CodingInfo(True, 92))
        assert (made.plan.restore.strength, made.plan.upscaler.model) == (1.0, f"{PHOTO}-x2")
        with pytest.raises(OptionError, match=r"rlfn-xs-photo-x2 cannot be blended\. Give restore=off or restore=1"):
            run(SMOOTH, scale=2, restore=0.5)

    def test_a_scale_without_weights_of_its_own_is_reduced_from_a_larger_one(self) -> None:
        made = run(NOISY, scale=3, restore=0.5)
        assert made.image.shape == (120, 144, 3)
        assert made.plan.upscaler.model == f"{PHOTO}-x4 at 0.5"
        named = run(NOISY, model=f"{CLEAN}-x3", restore=1)
        assert (named.image.shape, named.plan.upscaler.model) == ((120, 144, 3), f"{PHOTO}-x4")
        assert run(NOISY, scale=3, restore="off").plan.upscaler.model == f"{CLEAN}-x3"
        assert run(NOISY, width=100, restore=1).plan.upscaler.model == f"{PHOTO}-x4"

    def test_the_family_itself_runs_as_it_is(self) -> None:
        for restore in ("auto", 1):
            made = run(SMOOTH, model=PHOTO, restore=restore)
            assert (made.plan.upscaler.model, made.plan.restore.strength) == (f"{PHOTO}-x4", 1.0)
        with pytest.raises(OptionError, match="no weights for photographs of rlfn-xs-photo-x4"):
            run(SMOOTH, model=PHOTO, restore=0.5)

    def test_a_file_and_an_engine_of_the_callers_run_as_they_are(self, nearest) -> None:
        path = catalog.get_model(f"{CLEAN}-x2").file(catalog.TENSORS).path
        made = run(NOISY, model=path)
        assert (made.plan.restore.strength, made.plan.restore.reason) == (0.0, "the model or the engine was given")
        handed = Enlarger(EnlargeOptions(engine=nearest()))(NOISY)
        assert handed.plan.restore.strength == 0.0
        with pytest.raises(OptionError, match="no weights for photographs of this model"):
            run(NOISY, model=path, restore=1)

    def test_strengths_have_models_of_their_own_in_the_pool(self) -> None:
        pool = UpscalerPool()
        for restore in (0.25, 0.5, 0.25, 0, 1):
            Enlarger(EnlargeOptions(model=CLEAN, restore=restore, **FAST), pool)(NOISY)
        assert len(pool._kept) == 4

    def test_records_and_the_api_tell_what_was_chosen_and_why(self, tmp_path: Path) -> None:
        source = tmp_path / "photo.jpg"
        source.write_bytes(simplejpeg.encode_jpeg(SMOOTH, 92, "RGB", "420"))
        batch = Batch(Settings(EnlargeOptions(model=CLEAN, **FAST)))
        (record,) = batch.run([Job(source, tmp_path / "out.png")])
        facts = record.as_dict()
        assert facts["restore"] == 0.5
        assert facts["restore_reason"] == "JPEG of quality 92, subsampled chroma"
        told = upscale_with_details(source.read_bytes(), model=CLEAN, **FAST)
        assert (told.restore, told.restore_reason) == (0.5, "JPEG of quality 92, subsampled chroma")
        plain = upscale(SMOOTH, model=CLEAN, restore="off", **FAST)
        np.testing.assert_array_equal(plain, direct(f"{CLEAN}-x4", SMOOTH))

    def test_the_command_tells_it_too(self, command, tmp_path: Path) -> None:
        write_picture(Picture(NOISY), tmp_path / "a.png")
        done = command("upscale", "a.png", "-m", CLEAN, "--engine", "onnxruntime", "--json")
        assert done.records[0]["restore"] == 1.0
        done = command("upscale", "a.png", "-m", CLEAN, "--engine", "onnxruntime", "--overwrite")
        assert "; restored 1: chroma noise of " in done.lines[0]
        done = command("upscale", "a.png", "-m", CLEAN, "--restore", "off", "--overwrite", "--engine", "onnxruntime")
        assert "restored" not in done.lines[0]
        done = command("upscale", "a.png", "-m", CLEAN, "--restore", "2")
        assert done.status == 2
        assert "--restore was given as '2'" in done.err


@pytest.mark.parametrize("model", [None, "rlfn-s", "rlfn-xs"])
@pytest.mark.parametrize("scale", [2, 4])
def test_every_packaged_lineage_has_strengths_between_the_ends(model: str | None, scale: int) -> None:
    enlarger = Enlarger(EnlargeOptions(Wanted(scale), model=model, restore=0.5, **FAST))
    plan = enlarger.plan(SMOOTH)
    assert (plan.restore.strength, plan.upscaler.model) == (0.5, f"{model or 'rlfn-s'}-photo-x{scale} at 0.5")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_int8_goes_without_restoring_where_the_weights_for_photographs_have_no_such_file(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Model.precisions.fget
    few = property(lambda model: ("fp32",) if model.name == "rlfn-xs-photo-x4" else real(model))
    monkeypatch.setattr(Model, "precisions", few)
    enlarger = Enlarger(EnlargeOptions(Wanted(4), model="rlfn-xs", precision=precision, **FAST))
    plan = enlarger.plan(SMOOTH, CodingInfo(True, 60, True))
    if precision == "fp32":
        assert (plan.restore.strength, plan.upscaler.model, plan.warnings) == (1.0, "rlfn-xs-photo-x4", ())
        return
    assert (plan.restore.strength, plan.upscaler.model, plan.upscaler.precision) == (0.0, "rlfn-xs-x4", "int8")
    (told,) = plan.warnings
    assert (
        told == "not restored, though it shows JPEG of quality 60, subsampled chroma: rlfn-xs-photo-x4 has no int8 file"
    )
    with pytest.raises(OptionError, match=r"A strength of 1 was asked for, but rlfn-xs-photo-x4 has no int8 file"):
        Enlarger(EnlargeOptions(Wanted(4), model="rlfn-xs", precision="int8", restore=1, **FAST))


def test_int8_cannot_be_blended() -> None:
    with pytest.raises(OptionError, match=r"cannot be blended in int8\. Give restore=off or restore=1"):
        run(NOISY, model="rlfn-s", scale=4, restore=0.5, precision="int8")
    enlarger = Enlarger(EnlargeOptions(Wanted(4), model="rlfn-s", precision="int8", **FAST))
    assert enlarger.plan(SMOOTH).upscaler.model == "rlfn-s-x4"
    plan = enlarger.plan(SMOOTH, CodingInfo(True, 92, True))
    assert (plan.upscaler.model, plan.restore.strength) == ("rlfn-s-photo-x4", 1.0)


@pytest.mark.parametrize(
    ("model", "scale", "strengths"),
    [
        ("rlfn-s", 4, (1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)),
        ("rlfn-xs", 4, (1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
        ("rlfn-xs", 2, (1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.0)),
    ],
)
def test_auto_takes_an_end_where_blends_do_not_help(model: str, scale: int, strengths: tuple[float, ...]) -> None:
    enlarger = Enlarger(EnlargeOptions(Wanted(scale), model=model, **FAST))
    found = [enlarger.plan(SMOOTH, CodingInfo(True, quality)).restore for quality in (85, 88, 89, 92, 93, 95, 96)]
    assert tuple(choice.strength for choice in found) == strengths
    assert found[4].reason == "JPEG of quality 93"
    lossy = enlarger.plan(SMOOTH, CodingInfo(True)).restore
    assert (lossy.strength, lossy.reason) == (1.0 if scale == 4 else 0.5, "lossy coding")


def test_where_blends_do_not_help_noise_counts_beside_a_known_quality_and_faint_blocks_do_not() -> None:
    fine = CodingInfo(True, 96)
    assert strength_for(fine, PixelEvidence(noise=2.5), 88) == RestoreStrength(1.0, "chroma noise of 2.5 levels")
    assert strength_for(fine, PixelEvidence(blocks=0.1), 88) == RestoreStrength(0.0, "JPEG of quality 96")
    assert strength_for(fine, PixelEvidence(blocks=0.3), 88).strength == 1.0
    assert strength_for(CodingInfo(), PixelEvidence(blocks=0.1), 88).strength == 1.0
    assert strength_for(fine, PixelEvidence(noise=2.5)).strength == 0.5
