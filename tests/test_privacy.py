"""Nothing is written but the output, and nothing is sent: with a fresh home, a read-only one, and none."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from rlfn.images.files import read_picture, write_picture
from rlfn.inference.engines import ENGINES

ROOT = Path(__file__).parents[1]
INSTALLED = [name for name, row in ENGINES.items() if find_spec(row.module)]

CODE = """
import socket, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo") and "AF_UNIX" not in str(arguments):
        print("SENT", event, arguments)
sys.addaudithook(watch)
sys.argv = ["rlfn", "upscale", {picture!r}, "-o", "out/large.png", "--engine", {engine!r}, "-m", "rlfn-s-x2"]
from rlfn.cli import main
main()
"""


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("home", ["fresh", "read-only", "none"])
@pytest.mark.parametrize("engine", INSTALLED)
def test_nothing_but_the_output_is_written_and_nothing_is_sent(tmp_path: Path, engine: str, home: str) -> None:
    places = {name: tmp_path / name for name in ("home", "work", "temporary")}
    for place in places.values():
        place.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "ORT_", "OMP_"))}
    environment |= {"TMPDIR": str(places["temporary"]), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(places["home"])}
    if home == "read-only":
        environment["HOME"] = "/proc/self"  # not even root may write there
    elif home == "none":
        del environment["HOME"]
    code = CODE.format(picture=str(ROOT / "examples" / "astronaut.png"), engine=engine)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=places["work"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, done.stdout
    assert done.stderr == ""
    assert files_of(tmp_path) == {"work/out/large.png"}


BULK = """
import socket, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo") and "AF_UNIX" not in str(arguments):
        print("SENT", event, arguments)
sys.addaudithook(watch)
sys.argv = ["rlfn", "bulk", {folder!r}, "out", "-m", "rlfn-xs-x2", "--workers", "1"]
from rlfn.cli import main
main()
"""


def test_bulk_work_leaves_its_output_alone_and_ray_reports_nothing(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    for name in ("home", "work", "in"):
        (tmp_path / name).mkdir()
    picture = read_picture(ROOT / "examples" / "astronaut.png")
    write_picture(replace(picture, pixels=picture.pixels[:20, :30]), tmp_path / "in" / "a.png")
    mine = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "RAY_"))}
    mine |= {"HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    before = left_by_ray()
    done = subprocess.run(
        [sys.executable, "-c", BULK.format(folder=str(tmp_path / "in"))],
        cwd=tmp_path / "work",
        env=mine,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("1 upscaled; ")  # after status lines, on a slow machine
    assert len(done.stderr.splitlines()) == 1
    found = files_of(tmp_path) - {"in/a.png"}
    assert {name for name in found if not name.endswith(".parquet")} == {"work/out/a.png"}
    assert len(found) == 2
    assert left_by_ray() <= before


def left_by_ray() -> set[str]:
    """Return the folders of Ray's sessions and of its shared memory that are there."""
    return {str(path) for pattern in ("rlfn-*/session_*", "ray/session_*") for path in Path("/tmp").glob(pattern)}
