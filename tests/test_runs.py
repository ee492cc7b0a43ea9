"""The scripts in ``runs/`` and the manifest's chains tell the same story, and it can be run."""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydantic")

from rlfn.data.pictures import write_rgb
from rlfn.errors import ModelError
from rlfn.models import catalog
from rlfn.models.variants import get_variant
from rlfn.training.recipe_files import load_recipe

RUNS = Path(__file__).parents[1] / "runs"
PACKS = {
    "hr.pack": "HR pictures, nine tenths",
    "taught-x4.pack": "teacher outputs in place of HR pictures, nine tenths",
    "hr.pack=0.96,flats.pack=0.04": "in proportion, HR pictures 96, flat colours and gradients 4, nine tenths",
    "taught-x2.pack=0.6,hr.pack=0.37,flats.pack=0.03": (
        "in proportion, teacher outputs in place of HR pictures 60, HR pictures 37, flat colours and gradients 3, "
        "nine tenths"
    ),
    "taught-x2.pack=0.5,hr.pack=0.46,flats.pack=0.04": (
        "in proportion, teacher outputs in place of HR pictures 50, HR pictures 46, flat colours and gradients 4, "
        "nine tenths"
    ),
    "taught-x2.pack=0.26,hr.pack=0.7,flats.pack=0.04": (
        "in proportion, teacher outputs in place of HR pictures 26, HR pictures 70, flat colours and gradients 4, "
        "nine tenths"
    ),
    "taught-x2.pack=0.4,hr.pack=0.56,flats.pack=0.04": (
        "in proportion, teacher outputs in place of HR pictures 40, HR pictures 56, flat colours and gradients 4, "
        "nine tenths"
    ),
    "taught-x2.pack=0.2,hr.pack=0.76,flats.pack=0.04": (
        "in proportion, teacher outputs in place of HR pictures 20, HR pictures 76, flat colours and gradients 4, "
        "nine tenths"
    ),
    "taught-x3.pack=0.6,hr.pack=0.4": (
        "teacher outputs reduced to x3 in place of HR pictures for 0.6 of the samples, HR pictures for 0.4, nine tenths"
    ),
    "taught-x4.pack=0.97,flats.pack=0.03": (
        "in proportion, teacher outputs in place of HR pictures 97, flat colours and gradients 3, nine tenths"
    ),
    "taught-x4.pack=0.95,flats.pack=0.05": (
        "in proportion, teacher outputs in place of HR pictures 95, flat colours and gradients 5, nine tenths"
    ),
    "taught-x4.pack=0.62,hr.pack=0.33,flats.pack=0.05": (
        "in proportion, teacher outputs in place of HR pictures 62, HR pictures 33, flat colours and gradients 5, "
        "nine tenths"
    ),
    "hr.pack=0.66,taught-x4.pack=0.28,flats.pack=0.06": (
        "in proportion, HR pictures 66, teacher outputs in place of HR pictures 28, flat colours and gradients 6, "
        "nine tenths"
    ),
    "taught-x4.pack=0.67,hr.pack=0.3,flats.pack=0.03": (
        "in proportion, teacher outputs in place of HR pictures 67, HR pictures 30, flat colours and gradients 3, "
        "nine tenths"
    ),
    "hr.pack=0.54,taught-x4.pack=0.4,flats.pack=0.06": (
        "in proportion, HR pictures 54, teacher outputs in place of HR pictures 40, flat colours and gradients 6, "
        "nine tenths"
    ),
    "taught-x3.pack=0.57,hr.pack=0.38,flats.pack=0.05": (
        "in proportion, teacher outputs reduced to x3 in place of HR pictures 57, HR pictures 38, flat colours and "
        "gradients 5, nine tenths"
    ),
}


def stages(model: catalog.Model) -> list[dict]:
    """Return the stages that made a model's files."""
    return [*model.chain, *model.int8_chain]


STAGES = [(model.name, stage) for model in catalog.models().values() for stage in stages(model)]


def scripted(name: str) -> list[list[str]]:
    """Return the words of every call of ``stage`` in a model's script."""
    lines = (RUNS / f"{name}.sh").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("stage ")]


@pytest.mark.parametrize("model", catalog.models().values(), ids=lambda model: model.name)
def test_the_script_has_the_stages_of_the_chain(model: catalog.Model) -> None:
    calls = scripted(model.name)
    assert [int(call[0]) for call in calls] == list(range(1, len(calls) + 1))
    assert len(calls) == len(stages(model))
    lines = (RUNS / f"{model.name}.sh").read_text(encoding="utf-8").splitlines()
    shipped = [line for line in lines if line.startswith("ship")]
    assert shipped == [f"ship {len(model.chain)}" + (f" {len(calls)}" if model.int8_chain else "")]
    for (number, recipe, pack, *settings), stage in zip(calls, stages(model), strict=True):
        given = dict(setting.split("=", 1) for setting in settings)
        start, teacher = given.pop("stages.0.init", "interpolation"), given.pop("stages.0.teacher", None)
        assert (int(number), recipe, PACKS[pack]) == (stage["stage"], stage["recipe"], stage["data"])
        assert [f"{key}={value}" for key, value in given.items()] == stage["settings"]
        parts = start.split("/")
        assert stage["start"] == (start if len(parts) == 1 else f"{parts[0]}, {parts[1].replace('-', ' ')}")
        assert (stage["teacher"] is None) == (teacher is None and "taught" not in pack)


@pytest.mark.parametrize(("name", "stage"), STAGES, ids=[f"{name}-{stage['stage']}" for name, stage in STAGES])
def test_the_settings_are_a_recipe_that_sees_the_logged_pixels(name: str, stage: dict) -> None:
    recipe = load_recipe(stage["recipe"], [*stage["settings"], "stages.0.teacher=teacher.pth"])
    (only,) = recipe.stages
    assert only.iterations == stage["iterations"]
    assert stage["start"] != "interpolation" or only.init == "interpolate"
    assert recipe.scale == catalog.get_model(name).scale
    assert recipe.variant.removesuffix("-train") == catalog.get_model(name).variant
    sizes = [only.sizes(place / 1000, recipe.scale) for place in range(1000)]
    pixels = only.iterations * sum(batch * patch**2 for patch, batch in sizes) / 1000
    assert pixels == pytest.approx(stage["lr_pixels"], rel=0.015)


def test_two_stages_are_averaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from rlfn.networks import build, load_checkpoint, save_checkpoint

    monkeypatch.syspath_prepend(str(RUNS.parent / "scripts"))
    average = importlib.import_module("average")
    variant = get_variant("rlfn-xs")
    first, second = (build(variant, 2) for _ in range(2))
    files = [str(tmp_path / f"{name}.safetensors") for name in ("first", "second", "average")]
    for file, network in zip(files, (first, second), strict=False):
        save_checkpoint(Path(file), network, variant, 2, {})
    monkeypatch.setattr(sys, "argv", ["average.py", files[0], "0.7", files[1], "-o", files[2]])
    average.main()
    found = load_checkpoint(Path(files[2])).network.state_dict()
    for name, tensor in first.state_dict().items():
        assert torch.allclose(found[name], 0.7 * tensor + 0.3 * second.state_dict()[name], atol=1e-6)
    save_checkpoint(Path(files[1]), build(variant, 4), variant, 4, {})
    with pytest.raises(ModelError, match="two different networks"):
        average.main()


def test_flat_pictures_are_flat_then_in_two_parts_then_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RUNS.parent / "scripts"))
    flat_picture = importlib.import_module("flat_pictures").flat_picture
    colours = [len(np.unique(flat_picture(number).reshape(-1, 3), axis=0)) for number in range(3)]
    assert colours[:2] == [1, 2]
    assert colours[2] > 16
    assert np.array_equal(flat_picture(7), flat_picture(7))
    assert not np.array_equal(flat_picture(7), flat_picture(7, seed=1))
    ends = np.array([flat_picture(number)[0, 0] for number in range(60)])
    assert 15 < np.isin(ends, (0, 255)).all(axis=1).sum() < 45


def test_a_script_asks_for_its_pictures(tmp_path: Path) -> None:
    done = run("rlfn-xs-x4", tmp_path, {})
    assert done.returncode != 0
    assert "Set PICTURES to a folder of high-resolution pictures" in done.stderr


def test_an_average_is_shipped_in_place_of_its_stage(tmp_path: Path) -> None:
    script = tmp_path / "rlfn-xs-x2.sh"
    script.write_text(f"source {shlex.quote(str(RUNS / 'lib.sh'))}\nship 6\n", encoding="utf-8")
    environment = {**os.environ, "PYTHON": "echo", "SETS": "bench"}
    stage = tmp_path / "rlfn-xs-x2" / "stage-6"
    stage.mkdir(parents=True)

    def shipped() -> str:
        told = subprocess.run(["bash", str(script)], cwd=tmp_path, env=environment, capture_output=True, check=True)
        return told.stdout.decode().split()[1]

    assert shipped() == "rlfn-xs-x2/stage-6/model.safetensors"
    (stage / "average.safetensors").touch()
    assert shipped() == "rlfn-xs-x2/stage-6/average.safetensors"


@pytest.mark.heavy
def test_the_scripts_run_from_an_empty_folder(tmp_path: Path) -> None:
    shared = os.environ.get("RLFN_SHARED")
    if not shared:
        pytest.skip("needs the official weights: set RLFN_SHARED")
    (tmp_path / "photos").mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (272, 288, 3), dtype=np.uint8)
        write_rgb(tmp_path / "photos" / f"{number}.png", pixels)
    teachers = Path(shared) / "reference" / "rlfn_official"
    for name, model in catalog.models().items():
        done = run(name, tmp_path, {"PICTURES": "photos", "TEACHERS": str(teachers), "STEPS": "2"})
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / name / f"stage-{len(stages(model))}" / "model.safetensors").exists()


def run(name: str, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a model's script in ``folder``."""
    environment = {**{key: value for key, value in os.environ.items() if key != "PICTURES"}, "PYTHON": sys.executable}
    return subprocess.run(
        ["bash", str(RUNS / f"{name}.sh")],
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
