"""Jobs that are killed, lack room or meet each other: what lies there is whole, and the same command goes on."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rlfn.data.pack import JOURNAL, Pack
from rlfn.images.files import Picture, read_picture, write_picture
from synthetic import synthetic

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")

KILLS = int(os.environ.get("RLFN_KILLS", "30"))
TINY_PICTURES = int(os.environ.get("RLFN_TINY_PICTURES", "5000"))

_UPSCALE = ("upscale", "in", "-o", "out", "-r", "-m", "rlfn-xs-x2", "--engine", "onnxruntime", "--threads", "1")
_PACK = ("data", "pack", "in", "-o", "pack", "--scale", "2", "--min-side", "16")


def pictures(folder: Path, count: int, side: int = 48) -> Path:
    (folder / "in" / "sub").mkdir(parents=True)
    for number in range(count):
        home = folder / "in" / ("sub" if number % 3 == 0 else ".")
        write_picture(Picture(synthetic(side, side + number % 5, number)), home / f"{number:04}.png")
    return folder


def start(folder: Path, *arguments: str, bytes_a_file: int | None = None) -> subprocess.Popen[str]:
    def limit() -> None:
        if bytes_a_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, bytes_a_file))

    return subprocess.Popen(
        [sys.executable, "-m", "rlfn", *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=limit,
    )


def stamps(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.png"))}


def check_outputs(folder: Path) -> int:
    """Read every output, which is whole or not there; return how many there are."""
    found = [path for path in (folder / "out").rglob("*.png") if not path.name.startswith(".rlfn-")]
    for path in found:
        source = read_picture(folder / "in" / path.relative_to(folder / "out"))
        made = read_picture(path)
        assert (made.width, made.height) == (2 * source.width, 2 * source.height)
    return len(found)


def killed(folder: Path, rng: random.Random, made: Callable[[], int], *arguments: str) -> bool:
    """Run a command and kill it a moment after it made its next few files; return whether it was still at work."""
    process, wanted = start(folder, *arguments), made() + rng.randint(0, 8)
    while process.poll() is None and made() < wanted:
        time.sleep(0.002)
    time.sleep(rng.uniform(0.0, 0.1))
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.is_file() else []


@pytest.mark.heavy
def test_killed_folder_jobs(tmp_path: Path) -> None:
    pictures(tmp_path, 30)
    before, rng, at_work = stamps(tmp_path / "in"), random.Random(0), 0
    for _ in range(KILLS):
        for path in sorted((tmp_path / "out").rglob("*.png"))[:20]:
            path.unlink()
        at_work += killed(tmp_path, rng, lambda: len(list((tmp_path / "out").rglob("*.png"))), *_UPSCALE)
        check_outputs(tmp_path)
        assert stamps(tmp_path / "in") == before
    process = start(tmp_path, *_UPSCALE)
    _, told = process.communicate()
    assert process.returncode == 0, told
    assert check_outputs(tmp_path) == 30
    assert at_work > KILLS // 2
    print(f"folder jobs: {KILLS} tried, {at_work} killed at work, 0 outputs damaged, inputs as they were")


@pytest.mark.heavy
def test_killed_packing(tmp_path: Path) -> None:
    pytest.importorskip("simplejpeg")
    pictures(tmp_path, 60)
    rng, at_work = random.Random(1), 0
    for _ in range(KILLS // 2):
        at_work += killed(tmp_path, rng, lambda: len(_lines(tmp_path / "pack" / JOURNAL)), *_PACK)
    process = start(tmp_path, *_PACK)
    _, told = process.communicate()
    assert process.returncode == 0, told
    pack = Pack.open(tmp_path / "pack")
    pack.verify()
    assert len(pack) == 60
    assert at_work > 0
    print(f"packing: {KILLS // 2} tried, {at_work} killed at work, the pack is whole")


@pytest.mark.heavy
def test_killed_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from tiny import TINY, tiny_pack, tiny_recipe

    from rlfn.models.variants import VARIANTS
    from rlfn.networks.checkpoints import read_state

    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    pack, script = tiny_pack(tmp_path), Path(__file__).parent.parent / "training" / "run_tiny.py"
    recipe = tiny_recipe({"init": "scratch", "iterations": 40}, saving={"every": 5}).model_dump_json()
    rng, at_work = random.Random(2), 0
    command = [sys.executable, str(script), recipe, str(tmp_path / "run"), str(pack)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(script.parent), str(script.parent.parent), *sys.path]),
    }
    for _ in range(max(1, KILLS // 10)):
        process = subprocess.Popen(
            [*command, "die-at", str(rng.randint(1, 39))], env=environment, stderr=subprocess.PIPE
        )
        process.communicate()
        at_work += process.returncode == -signal.SIGKILL
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "run").rglob("*.safetensors"):
        read_state(path)
    print(f"training: {max(1, KILLS // 10)} tried, {at_work} killed at work, the last run ended well")


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """As on a full disk: writing fails in the middle."""
    pictures(tmp_path, 4)
    process = start(tmp_path, *_UPSCALE, bytes_a_file=4096)
    out, told = process.communicate()
    assert process.returncode == 1, told
    assert "Traceback" not in told + out
    assert told.count("cannot be written") >= 4
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_two_jobs_on_one_folder(tmp_path: Path) -> None:
    pictures(tmp_path, 8)
    before = stamps(tmp_path / "in")
    jobs = [start(tmp_path, *_UPSCALE) for _ in range(2)]
    told = [job.communicate() for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], told
    assert check_outputs(tmp_path) == 8
    assert stamps(tmp_path / "in") == before
    assert not list((tmp_path / "out").rglob(".*"))


@pytest.mark.heavy
def test_many_tiny_pictures_in_flat_memory(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(TINY_PICTURES):
        write_picture(Picture(synthetic(6, 7, number)), tmp_path / "in" / f"{number:05}.png")
    process = start(tmp_path, *_UPSCALE, "--json")
    assert process.stdout is not None
    used = []
    for number, _ in enumerate(process.stdout):
        if number % (TINY_PICTURES // 20 or 1) == 0:
            status = Path(f"/proc/{process.pid}/status").read_text()
            used.append(int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))))
    assert process.wait() == 0
    early, late = max(used[2:6]), max(used[-4:])
    print(f"{TINY_PICTURES} tiny pictures: {early / 1024:.0f} MiB after a fifth, {late / 1024:.0f} MiB at the end")
    assert late < early * 1.15
