"""What the machine gives: quotas and limits of control groups, of both versions and nested."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from rlfn.inference import hardware


@pytest.fixture(autouse=True)
def read_again() -> Iterator[None]:
    """Forget the memory that was read for other tests, and afterwards the memory of this one."""
    hardware._memory_at.cache_clear()
    yield
    hardware._memory_at.cache_clear()


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for /sys/fs/cgroup."""
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1) if name.startswith(("memory_", "cpu_")) else folder / name).write_text(text)


def of_process(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    read = Path.read_text

    def fake(path: Path, *arguments: object, **options: object) -> str:
        return text if str(path) == "/proc/self/cgroup" else read(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", fake)


def test_version_2_nested(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_process(monkeypatch, "0::/a/b\n")
    write(groups / "a", memory_max="1000000\n", memory_current="400000\n", cpu_max="150000 100000\n")
    write(groups / "a" / "b", memory_max="max\n", memory_current="300000\n", cpu_max="max 100000\n")
    (groups / "a" / "memory.stat").write_text("anon 1\ninactive_file 50000\n")
    assert hardware.available_memory() == 650_000
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert hardware.default_threads() == 2


def test_version_1(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_process(monkeypatch, "5:memory:/job\n4:cpu,cpuacct:/job\n")
    write(groups / "memory" / "job", memory_limit_in_bytes="2000000\n", memory_usage_in_bytes="500000\n")
    (groups / "memory" / "job" / "memory.stat").write_text("total_inactive_file 100\n")
    write(groups / "cpu,cpuacct" / "job")
    (groups / "cpu,cpuacct" / "job" / "cpu.cfs_quota_us").write_text("50000\n")
    (groups / "cpu,cpuacct" / "job" / "cpu.cfs_period_us").write_text("100000\n")
    assert hardware.available_memory() == 1_500_100
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert hardware.default_threads() == 1


@pytest.mark.parametrize("text", ["", "0::/gone\n", "7:memory:/x\n"])
def test_no_limit(groups: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    of_process(monkeypatch, text)
    assert hardware.available_memory() > 10_000_000
    assert hardware.default_threads() >= 1


def test_the_limit_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1, 1))
    assert hardware.available_memory() == 0


def test_the_memory_is_read_at_most_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, reads = [100.0], count(1)
    monkeypatch.setattr(hardware.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(hardware, "_machine_memory", lambda: [next(reads)])
    monkeypatch.setattr(hardware, "_group_memory", list)
    monkeypatch.setattr(hardware, "_process_memory", list)
    found = []
    for moment in (100.0, 100.2, 100.49, 100.5, 100.9, 101.0):
        now[0] = moment
        found.append(hardware.available_memory())
    assert found == [1, 1, 1, 2, 2, 3]
