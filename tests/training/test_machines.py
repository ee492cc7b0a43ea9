"""Training on several machines: torchrun's process groups on the loopback, and one that is lost."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import TINY, tiny_recipe

from rlfn.cli.train import _launched
from rlfn.models.variants import VARIANTS
from rlfn.training import results
from rlfn.training.checkpoint import Checkpoints
from rlfn.training.devices import Devices
from rlfn.training.loop import train
from rlfn.training.recipe import Recipe
from rlfn.training.reporting import read_metrics

CPU = Devices(accelerator="cpu")
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    monkeypatch.setattr(results, "_write_onnx", lambda *given: None)


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(out) if "loss" in row]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def machine(
    rank: int, recipe: Recipe, out: Path, data: Path, *more: str, master: tuple[str, int], before: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """Start torchrun as on one of two machines."""
    places = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    launcher = ["-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"]
    launcher += ["--master-addr", master[0], "--master-port", str(master[1])]
    script = [str(HERE / "run_tiny.py"), recipe.model_dump_json(), str(out), str(data), "machines", *more]
    return subprocess.Popen(
        [*before, sys.executable, *launcher, *script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
    )


def test_a_lost_machine_ends_the_run_with_a_sentence_and_one_goes_on(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 10}, saving={"every": 4, "keep": 3})
    assert train(recipe, tmp_path / "one", data=data, devices=CPU)
    out, master = tmp_path / "two", ("127.0.0.1", free_port())
    both = [machine(rank, recipe, out, data, "7", master=master) for rank in range(2)]
    said = [each.communicate(timeout=240)[0] for each in both]
    assert all(each.returncode for each in both), said
    newest = Checkpoints(out / "checkpoints", 3).paths()[-1]
    assert newest.name == "iteration-000000004.ckpt"
    assert "rlfn: Process 1 of 2 does not reach the others any more: one ended, or its machine did" in said[0], said[0]
    resume = f"Resume the run in {out} (resume), on one machine or on several."
    assert f"The newest checkpoint is {newest}. {resume}" in said[0]
    assert losses(out)[:6] == pytest.approx(losses(tmp_path / "one")[:6], rel=1e-5)
    assert train(recipe, out, data=data, devices=CPU, resume=True)
    assert losses(out) == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


@pytest.mark.parametrize(
    ("given", "devices"),
    [
        ({}, (1, 1)),
        ({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, (1, 1)),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, (4, 2)),
    ],
)
def test_devices_follow_from_torchrun(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], devices: tuple[int, int]
) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert _launched() == devices


@pytest.fixture
def namespaces() -> Iterator[list[str]]:
    """Make two network namespaces with a cable between them, 10.77.0.1 and 10.77.0.2, or skip."""
    names = [f"rlfn-{os.getpid()}-{number}" for number in range(2)]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    if shutil.which("ip") is None:
        pytest.skip("needs the command ip")
    try:
        for name in names:
            ip("netns", "add", name)
        ends = [f"rlfn{os.getpid() % 10000}{letter}" for letter in "ab"]
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
            ip("link", "set", end, "netns", name)
            ip("-n", name, "link", "set", end, "name", "cable")
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "cable")
            for each in ("cable", "lo"):
                ip("-n", name, "link", "set", each, "up")
    except subprocess.CalledProcessError as error:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode().strip()}")
    yield names
    for name in names:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.heavy
def test_machines_with_networks_of_their_own_equal_one(
    data: Path, tmp_path: Path, namespaces: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "cable")
    recipe = tiny_recipe({"init": "scratch", "iterations": 10})
    assert train(recipe, tmp_path / "one", data=data, devices=CPU)
    both = [
        machine(rank, recipe, tmp_path / "two", data, master=("10.77.0.1", 29500), before=("ip", "netns", "exec", name))
        for rank, name in enumerate(namespaces)
    ]
    said = [each.communicate(timeout=240)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
