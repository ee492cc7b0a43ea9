"""Pictures of 1 to 20 px in every format's own runtime, in a process of its own, so that a crash is seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_formats import require

from rlfn.export.formats import FORMATS, export
from rlfn.export.request import ExportRequest
from rlfn.models.variants import RLFNFields, Variant
from rlfn.networks import Checkpoint, build
from rlfn.networks.wrappers import AnySize

TINY = Variant("rlfn-custom", "rlfn", RLFNFields(blocks=1, channels=6, mid=6, esa_channels=4), "for tests")

SIZES = [(side, side) for side in range(1, 21)] + [(1, 20), (20, 3), (9, 15)]

RUN = """
import sys
from pathlib import Path

import numpy as np

from rlfn.errors import RlfnError
from rlfn.export.formats import FORMATS

to, path, pictures, out = sys.argv[1:]
run = FORMATS[to].load(Path(path))
found = {}
with np.load(pictures) as given:
    for name, lr in given.items():
        try:
            found[name] = run(lr)
        except (RlfnError, RuntimeError, AssertionError) as error:
            print(name, "refused:", error)
np.savez(out, **found)
"""


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    return Checkpoint(build(TINY, 2).eval().requires_grad_(False), TINY, 2)


@pytest.mark.parametrize("image_io", [False, True], ids=["float", "bytes"])
@pytest.mark.parametrize("to", [name for name, row in FORMATS.items() if row.any_size and name != "rlfn"])
def test_any_small_picture_is_upscaled_or_refused(
    checkpoint: Checkpoint, tmp_path: Path, to: str, image_io: bool
) -> None:
    require(to, "fp32")
    row = FORMATS[to]
    if image_io and not row.image_io:
        pytest.skip("the format has none")
    path = tmp_path / f"x{row.suffixes[0]}"
    export(checkpoint, to, path, ExportRequest(image_io=image_io))
    random = np.random.default_rng(0)
    pictures = {f"{h}x{w}": random.integers(0, 256, (1, 3, h, w)).astype(np.float32) for h, w in SIZES}
    given = {
        name: np.ascontiguousarray(lr.transpose(0, 2, 3, 1)).astype(np.uint8) if image_io else lr
        for name, lr in pictures.items()
    }
    np.savez(tmp_path / "lr.npz", **given)
    command = [sys.executable, "-c", RUN, to, str(path), str(tmp_path / "lr.npz"), str(tmp_path / "sr.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-500:]}"
    least = row.least_side(checkpoint)
    with np.load(tmp_path / "sr.npz") as found:
        assert {name for (h, w), name in zip(SIZES, given, strict=True) if min(h, w) >= least} <= set(found)
        for name, sr in found.items():
            wanted = AnySize(checkpoint.network, 15)(torch.from_numpy(pictures[name])).numpy()
            if image_io:
                wanted = np.floor(wanted + 0.5).clip(0, 255).transpose(0, 2, 3, 1)
            assert sr.shape == wanted.shape, name
            assert np.abs(sr.astype(float) - wanted).max() <= 0.01 + image_io, name


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 8, 20)])
@pytest.mark.parametrize("to", ["tflite", "executorch", "ncnn", "onnx"])
def test_a_fixed_shape_may_be_small(
    checkpoint: Checkpoint, tmp_path: Path, to: str, shape: tuple[int, int, int, int]
) -> None:
    """The export is compared with torch on the grown picture before it appears."""
    require(to, "fp32")
    report = export(checkpoint, to, tmp_path / f"x{FORMATS[to].suffixes[0]}", ExportRequest(shape=shape))
    assert f"{shape[3]}x{shape[2]} px" in report.agreement.on


@pytest.mark.parametrize("side", [*range(1, 21)])
def test_the_upscaler_runs_its_own_files_at_any_size(side: int) -> None:
    from rlfn.inference.upscaler import Upscaler

    image = np.random.default_rng(side).integers(0, 256, (side, side + 1, 3), np.uint8)
    assert Upscaler("rlfn-s-x2", engine="onnxruntime")(image).shape == (2 * side, 2 * side + 2, 3)
