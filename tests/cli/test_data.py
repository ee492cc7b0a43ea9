from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from rlfn.cli import main
from rlfn.data.crops import sample_stream
from rlfn.data.degradations import make_degradation
from rlfn.data.pack import Pack
from rlfn.data.pictures import read_rgb, write_rgb


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hr").mkdir()
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 256, (72, 80, 3), np.uint8)
        write_rgb(tmp_path / "hr" / f"000{number}.png", picture)
    return tmp_path / "hr"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["rlfn", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    "scales",
    [("--scale", 2, 3, 4), ("-s", 2, "-s", 3, "-s", 4), ("--scale", 4, 3, "--scale", 2), ("--scale=2", "-s", 3, 4)],
)
def test_pack_takes_several_scales(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    scales: tuple[object, ...],
) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, "data", "pack", *scales, folder, "-o", out, "--min-side", 64) == 0
    assert Pack.open(out).scales == (2, 3, 4)
    assert "3 pictures, x2, x3, x4" in capsys.readouterr().out
    assert run(monkeypatch, "data", "pack", folder, *scales, "-o", out, "--min-side", 64) == 0
    assert "nothing was left to do" in capsys.readouterr().out


def test_pack_takes_several_folders_and_scale_4_by_default(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = folder.rename(tmp_path / "other")
    folder.mkdir()
    write_rgb(folder / "x.png", read_rgb(other / "0000.png"))
    assert run(monkeypatch, "data", "pack", other, folder, "-o", tmp_path / "out", "--min-side", 64) == 0
    pack = Pack.open(tmp_path / "out")
    assert pack.names == ("hr/x.png", "other/0000.png", "other/0001.png", "other/0002.png")
    assert pack.scales == (4,)


def test_degraded_pictures_serve_as_lr_dir(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lr, out = tmp_path / "lr", tmp_path / "out"
    assert run(monkeypatch, "data", "degrade", folder, "-o", lr, "--scale", 3, "--degradation", "photo") == 0
    assert run(monkeypatch, "data", "pack", folder, "--scale", 3, "--lr-dir", lr, "-o", out, "--min-side", 64) == 0
    assert np.array_equal(Pack.open(out).lr(1, 3), read_rgb(lr / "0001x3.png"))


def test_left_out_pictures_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rgb(folder / "tiny.png", np.zeros((9, 9, 3), np.uint8))
    command = ("data", "pack", folder, "-o", tmp_path / "out", "--min-side", 64)
    assert run(monkeypatch, *command) == 2
    assert capsys.readouterr().err.splitlines() == [
        "rlfn: 1 picture cannot be packed. Remove or replace it, or leave it out with --skip.",
        "  tiny.png is 9x9, smaller than 64 pixels a side",
    ]
    assert run(monkeypatch, *command, "--skip") == 0
    assert "left out: tiny.png is 9x9" in capsys.readouterr().err


def test_failed_pictures_end_with_an_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.png").write_text("no")
    assert run(monkeypatch, "data", "degrade", folder, "-o", tmp_path / "out") == 1
    assert "failed: " in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pack", "nowhere", "-o", "out"), "nowhere does not exist"),
        (("degrade", ".", "-o", "out", "--degradation", "foto"), "Did you mean 'photo'"),
        (("degrade", ".", "-o", "out", "-s", 0), "cannot be reduced by 0"),
        (("degrade", ".", "-o", "out", "-s", 0, "--recipe", "photo"), "cannot be reduced by 0"),
        (("degrade", ".", "-o", "."), "Choose a folder outside of it for -o."),
        (("get", "div2"), "Did you mean 'div2k'"),
        (("get", "manga109"), "request it from its owners"),
    ],
)
def test_mistakes_are_said_in_a_sentence(
    arguments: tuple[object, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "data", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("rlfn: ")
    assert len(error.splitlines()) == 1


def test_get_without_a_name_lists_the_sets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from rlfn.data.downloads import DOWNLOADS

    assert run(monkeypatch, "data", "get") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(DOWNLOADS)


def test_get_says_when_no_hash_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rlfn.data import downloads

    file = downloads.File("http://127.0.0.1:9/a.zip", None)
    monkeypatch.setitem(downloads.DOWNLOADS, "mine", downloads.Download("Mine", "free", (file,)))
    assert run(monkeypatch, "data", "get", "mine", "-o", tmp_path) == 2
    captured = capsys.readouterr()
    assert "Licence: free" in captured.out
    assert "no hash is known" in captured.out
    assert "cannot be fetched" in captured.err


def test_degrade_keeps_what_exists_and_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("data", "degrade", folder, "-o", tmp_path / "lr", "-s", 2)
    assert run(monkeypatch, *command) == 0
    assert "kept" not in capsys.readouterr().err
    (tmp_path / "lr" / "0001x2.png").write_bytes(b"mine")
    assert run(monkeypatch, *command) == 0
    assert "Files that exist and were kept: 3. Replace them with --overwrite." in capsys.readouterr().err
    assert run(monkeypatch, *command, "--overwrite") == 0
    assert read_rgb(tmp_path / "lr" / "0001x2.png").shape == (36, 40, 3)


def test_degrade_shows_what_a_recipe_will_train_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"clean": 0.0, "jpeg": 1.0, "jpeg_quality": [20, 20]}
    text = ", ".join(f"{key} = {value}" for key, value in settings.items())
    (tmp_path / "mine.toml").write_text('base = "photo"\nscale = 2\n[data]\ndegradation_settings = { ' + text + " }\n")
    degrade = ("data", "degrade", folder, "-o", tmp_path / "lr", "--recipe", tmp_path / "mine.toml")
    assert run(monkeypatch, *degrade, "--set", "data.degradation_settings.jpeg_halved=0.0") == 0
    wanted = make_degradation("photo", {**settings, "jpeg_halved": 0.0})
    number = int.from_bytes(hashlib.sha256(b"0001.png").digest()[:7], "big")
    hr = read_rgb(folder / "0001.png")
    assert np.array_equal(read_rgb(tmp_path / "lr/0001x2.png"), wanted.apply(hr, 2, sample_stream(0, 0, number)))
    assert run(monkeypatch, *degrade, "--degradation", "photo") == 2


def test_degrade_takes_the_settings_of_a_degradation_without_a_recipe(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("data", "degrade", folder, "--scale", 2, "--degradation", "photo")
    chosen = ("--set", "data.degradation_settings.clean=0.0", "--set", "data.degradation_settings.jpeg=1.0")
    assert run(monkeypatch, *command, "-o", tmp_path / "lr", *chosen) == 0
    wanted = make_degradation("photo", {"clean": 0.0, "jpeg": 1.0})
    number = int.from_bytes(hashlib.sha256(b"0001.png").digest()[:7], "big")
    hr = read_rgb(folder / "0001.png")
    assert np.array_equal(read_rgb(tmp_path / "lr/0001x2.png"), wanted.apply(hr, 2, sample_stream(0, 0, number)))
    for wrong, said in (
        ("data.nonsense=1", "changes a recipe, and none was given"),
        ("data.degradation_settings.jpg=1.0", "Did you mean 'jpeg'?"),
    ):
        capsys.readouterr()
        assert run(monkeypatch, *command, "-o", tmp_path / "other", "--set", wrong) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "other").exists()


def test_degrade_by_a_recipe_names_what_is_not_installed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rlfn.training.recipe_files", None)
    monkeypatch.delattr("rlfn.training.recipe_files", raising=False)
    command = ("data", "degrade", folder, "-o", tmp_path / "lr")
    for more in (("--recipe", "photo"), ("--set", "data.degradation_settings.jpeg=1.0", "--degradation", "photo")):
        assert run(monkeypatch, *command, *more) == 2
        assert "pip install 'rlfn[train]'" in capsys.readouterr().err
