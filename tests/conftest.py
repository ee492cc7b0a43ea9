"""What several tests need."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray

from rlfn.models.traits import Traits

# a busy machine is not an error
hypothesis.settings.register_profile("rlfn", deadline=None)
hypothesis.settings.load_profile("rlfn")


@pytest.fixture(autouse=True)
def ordinary_signals() -> None:
    """Let each test begin with Python's own handlers.

    A job in the background, or under nohup, ignores some signals, and a command that ran leaves them to the system.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return the chromium of a file's tests: while Playwright lives, no other test of its thread may run a loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    path = os.environ.get("RLFN_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs chromium: apt-get install chromium, or set RLFN_CHROMIUM")
    playwright.expect.set_options(timeout=60_000)
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with the standard sets and the official weights, or skip."""
    place = os.environ.get("RLFN_SHARED")
    if not place or not Path(place).is_dir():
        pytest.skip("needs the standard sets and the official weights: set RLFN_SHARED to their folder")
    return Path(place)


class NearestEngine:
    """An engine that repeats pixels four times: as strict about what it takes as a network, and without its time."""

    name = "nearest"
    precision = "fp32"
    takes_grid = False
    traits = Traits("nearest", scale=4, min_side=15, margin=12, stride=6)

    def __call__(self, lr: NDArray[np.float32], grid: object = None) -> NDArray[np.float32]:
        assert lr.dtype == np.float32
        assert lr.ndim == 4
        assert lr.shape[1] == 3
        assert min(lr.shape[2:]) >= self.traits.min_side
        return lr.repeat(4, axis=2).repeat(4, axis=3)


@pytest.fixture
def nearest(monkeypatch: pytest.MonkeyPatch) -> type[NearestEngine]:
    """Put the nearest-neighbour engine into every row of the table."""
    from rlfn.api import pool
    from rlfn.inference.engines import ENGINES
    from rlfn.inference.upscaler_pool import UpscalerPool

    for name, row in ENGINES.items():
        monkeypatch.setitem(ENGINES, name, replace(row, load=lambda model, threads, precision: NearestEngine()))
    monkeypatch.setattr(pool, "POOL", UpscalerPool())  # what it loads goes with the test
    return NearestEngine


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run the ``rlfn`` command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Command(monkeypatch)


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status and what it printed."""

    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


class Command:
    """Calls ``rlfn.cli.main`` with arguments and standard input."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Done:
        from rlfn.cli import main

        out, err = io.BytesIO(), io.BytesIO()
        # named, because a stream that nobody holds closes what it writes to
        stdout, stderr = (io.TextIOWrapper(buffer, "utf-8", write_through=True) for buffer in (out, err))
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["rlfn", *arguments])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys, "stdout", stdout)
            patch.setattr(sys, "stderr", stderr)
            with pytest.raises(SystemExit) as end:
                main()
        return Done(int(end.value.code or 0), out.getvalue(), err.getvalue().decode())
