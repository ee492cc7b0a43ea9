"""Bulk processing on several local nodes, while workers, nodes and the driver itself are killed at random.

``RLFN_BULK_PICTURES`` and ``RLFN_BULK_KILLS`` set how many; 2,000 and 30 by default.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray")
pytest.importorskip("pyarrow")

from rlfn.images.files import Picture, write_picture
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.jobs.batch import Batch, Settings
from rlfn.jobs.bulk.manifest import read_manifest
from rlfn.jobs.bulk.ray_cluster import import_ray
from rlfn.jobs.plan import Naming, make_plan
from synthetic import synthetic

pytestmark = pytest.mark.heavy

PICTURES = int(os.environ.get("RLFN_BULK_PICTURES", "2000"))
KILLS = int(os.environ.get("RLFN_BULK_KILLS", "30"))
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes below one, as /proc tells."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(stat[1]), []).append(int(entry.name))
    work = [pid]
    while work:
        for child in parents.get(work.pop(), []):
            yield child
            work.append(child)


class Machines:
    """A head without cores and nodes with one each, all on this machine."""

    def __init__(self, count: int) -> None:
        import_ray()
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
        self.nodes = [self.cluster.add_node(**NODE) for _ in range(count)]

    def workers(self) -> list[int]:
        found = []
        for node in self.nodes:
            raylet = node.all_processes["raylet"][0].process.pid
            for pid in descendants(raylet):
                try:
                    title = Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:
                    continue
                if title.startswith(b"ray::RayWorker"):
                    found.append(pid)
        return found

    def replace_node(self, chance: random.Random) -> None:
        node = self.nodes.pop(chance.randrange(len(self.nodes)))
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.append(self.cluster.add_node(**NODE))


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    found = Machines(2)
    yield found
    found.cluster.shutdown()


def test_thirty_kills_lose_nothing_and_double_nothing(tmp_path: Path, machines: Machines) -> None:
    chance, source, target = random.Random(0), tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(PICTURES):
        size = chance.randrange(24, 64), chance.randrange(24, 64)
        write_picture(Picture(synthetic(*size, seed=number)), source / f"{number:05d}.png")
    killed: Counter[str] = Counter()
    runs = 0
    while True:
        driver = start(source, target, machines.cluster.address)
        runs += 1
        while driver.poll() is None:
            time.sleep(chance.uniform(1.0, 4.0))
            if killed.total() < KILLS:
                killed.update(kill(chance, machines, driver))
        if killed.total() >= KILLS and driver.returncode == 0:
            break
        if killed.total() < KILLS:  # it was done too soon: take some of its work away
            for path in sorted(target.glob("*.png")):
                if chance.random() < 0.2:
                    path.unlink()
    print(f"{PICTURES} pictures, {runs} runs, kills: {dict(killed)}")
    assert_whole(source, target, tmp_path / "batch")


def start(source: Path, target: Path, address: str) -> subprocess.Popen[bytes]:
    how = ["-m", "rlfn-xs-x2", "--engine", "onnxruntime", "--workers", "2", "--address", address]
    command = [sys.executable, "-m", "rlfn", "bulk", str(source), str(target), *how]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def kill(chance: random.Random, machines: Machines, driver: subprocess.Popen[bytes]) -> list[str]:
    """Kill somebody and return what it was; nobody where no worker has begun."""
    kind = chance.choices(["worker", "node", "driver"], [6, 1, 1])[0]
    workers = machines.workers()
    if not workers:
        return []
    if kind == "driver":
        driver.kill()
        driver.wait()
    elif kind == "node":
        machines.replace_node(chance)
    else:
        os.kill(chance.choice(workers), signal.SIGKILL)
    return [kind]


def assert_whole(source: Path, target: Path, batch: Path) -> None:
    settings = Settings(EnlargeOptions(model="rlfn-xs-x2", engine="onnxruntime", threads=1))
    plan = make_plan([str(source)], str(batch), Naming("x2"))
    assert {record.status for record in Batch(settings).run(plan.jobs)} == {"done"}
    table: Any = read_manifest(str(target / "_manifest"))
    rows = {row["key"]: row for row in table.to_pylist()}
    assert len(rows) == table.num_rows == len(plan.jobs)
    wanted = {path.name: path.read_bytes() for path in batch.iterdir()}
    found = {path.name: path.read_bytes() for path in target.iterdir() if path.name != "_manifest"}
    assert found.keys() == wanted.keys()
    assert [name for name, data in wanted.items() if found[name] != data] == []
    import hashlib

    for row in rows.values():
        assert row["status"] == "done"
        data = found[row["output"]]
        assert (row["output_bytes"], row["output_sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        picture = np.frombuffer((source / row["key"]).read_bytes(), np.uint8)
        assert row["input_sha256"] == hashlib.sha256(picture.tobytes()).hexdigest()
