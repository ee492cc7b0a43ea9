"""Pictures of every size, kind and depth through the whole path: a file is read, upscaled, written and read again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlfn.images.files import FORMATS, WRITABLE, Picture, read_picture, write_picture
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.sizing import Wanted
from rlfn.jobs.batch import Batch, Settings
from rlfn.jobs.plan import Naming, make_plan

KINDS = {"gray": (), "gray+alpha": (4,), "rgb": (3,), "rgba": (4,)}
WANTED = [Wanted(), Wanted(scale=2.5), Wanted(scale=0.4), Wanted(width=7), Wanted(width=9, height=4)]


def picture(kind: str, dtype: type, size: tuple[int, int], seed: int) -> Picture:
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (*size, *KINDS[kind]), dtype=dtype)
    if kind == "gray+alpha":
        pixels[..., 1:3] = pixels[..., :1]
    return Picture(pixels, gray=kind.startswith("gray"), bits=8 * pixels.itemsize)


@pytest.mark.parametrize("output", WRITABLE)
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    source=st.sampled_from(["png", "tiff", "jpg", "webp"]),
    kind=st.sampled_from(sorted(KINDS)),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    size=st.tuples(st.integers(1, 40), st.integers(3, 40)),
    wanted=st.sampled_from(WANTED),
    tile=st.sampled_from(["auto", 0, 36]),
    seed=st.integers(0, 99),
)
def test_any_picture_through_the_whole_path(
    tmp_path_factory: pytest.TempPathFactory,
    nearest: object,
    output: str,
    source: str,
    kind: str,
    dtype: type,
    size: tuple[int, int],
    wanted: Wanted,
    tile: object,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("path")
    path = folder / f"a.{source}"
    write_picture(picture(kind, dtype, size, seed), path)
    before = read_picture(path)
    batch = Batch(Settings(EnlargeOptions(wanted, tile=tile), format=output))
    plan = make_plan([str(path)], None, Naming(wanted.label(4), output))
    record = next(batch.run(plan.jobs))
    assert (record.status, record.error) == ("done", None)
    after = read_picture(record.output)
    assert (after.width, after.height) == record.output_size == wanted.size(size[1], size[0], 4)
    row, had_alpha = FORMATS[output], before.pixels.ndim == 3 and before.pixels.shape[2] == 4
    assert after.format == output
    assert after.gray == (before.gray and row.gray)
    if before.pixels.dtype == np.uint16:
        assert (after.pixels.dtype == np.uint16) == (max(row.depths) > 8)
        assert ("16 bit reduced" in " ".join(record.warnings)) == (max(row.depths) < 16)
    else:
        assert after.pixels.dtype == np.uint8
    if had_alpha and not row.alpha:
        assert any("flattened over white" in warning for warning in record.warnings)
    if not had_alpha and not row.lossy and wanted == Wanted():
        expected = before.pixels.repeat(4, axis=0).repeat(4, axis=1)
        np.testing.assert_allclose(after.pixels.astype(int), expected, atol=1)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (14, 15), (16, 17), (33, 5)])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_real_model_takes_small_and_odd_sizes(
    tmp_path_factory: pytest.TempPathFactory, size: tuple[int, int], kind: str
) -> None:
    folder = tmp_path_factory.mktemp("real")
    write_picture(picture(kind, np.uint16, size, 0), folder / "a.tif")
    batch = Batch(Settings(EnlargeOptions(engine="onnxruntime", threads=1), format="tiff"))
    record = next(batch.run(make_plan([str(folder / "a.tif")], None, Naming("x4", "tiff")).jobs))
    assert (record.status, record.output_size) == ("done", (4 * size[1], 4 * size[0]))
    assert read_picture(record.output).pixels.dtype == np.uint16
