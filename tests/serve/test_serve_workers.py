"""Worker processes: results, cancellation, and what happens when one is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from rlfn.errors import PictureError
from rlfn.images.files import read_picture
from rlfn.serve.fields import read_fields
from rlfn.serve.settings import ServeSettings
from rlfn.serve.work import JobResult, TooLargeError, WorkItem
from rlfn.serve.workers import JobCancelled, LostWorkerError, ProcessWorker
from serving import get, picture_bytes, post
from waiting import PATIENCE, until

SETTINGS = ServeSettings(engine="onnxruntime", threads=1)
ROOT = Path(__file__).parents[2]


def item(picture: bytes, max_pixels: int = 10**6, **fields: str) -> WorkItem:
    options = read_fields({"model": "rlfn-xs", "scale": "2", **fields}.items(), SETTINGS)
    return WorkItem(picture, options, max_pixels, 10**8)


def with_worker(work: Any) -> Any:
    """Run a coroutine function with a worker process."""

    async def run() -> Any:
        worker = ProcessWorker(SETTINGS)
        await worker.start()
        try:
            return await work(worker)
        finally:
            worker.close()

    return asyncio.run(run())


def test_a_process_returns_results_and_errors() -> None:
    shares: list[float] = []

    async def work(worker: ProcessWorker) -> JobResult:
        with pytest.raises(PictureError, match="not a picture"):
            await worker.run(item(b"nonsense"), shares.append, PATIENCE)
        with pytest.raises(TooLargeError):
            await worker.run(item(picture_bytes(), 100), shares.append, PATIENCE)
        return await worker.run(item(picture_bytes()), shares.append, PATIENCE)

    made = with_worker(work)
    assert read_picture(made.data).pixels.shape == (32, 40, 3)
    assert (made.details.model, made.details.engine) == ("rlfn-xs-x2", "onnxruntime")
    assert shares
    assert shares[0] == 0.0


def test_a_job_is_cancelled_between_tiles_and_the_process_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.serve.workers._CANCEL_TIMEOUT", PATIENCE)  # a tile may take long on a busy machine

    async def work(worker: ProcessWorker) -> None:
        large = item(picture_bytes(900, 900), scale="2")
        began = asyncio.Event()
        running = asyncio.create_task(worker.run(large, lambda share: began.set(), PATIENCE))
        await asyncio.wait_for(began.wait(), PATIENCE)
        process = worker._process
        worker.cancel()
        with pytest.raises(JobCancelled):
            await running
        await worker.run(item(picture_bytes()), lambda share: None, PATIENCE)
        assert worker._process is process

    with_worker(work)


def test_an_unresponsive_process_is_killed_and_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.serve.workers._CANCEL_TIMEOUT", 0.2)

    async def work(worker: ProcessWorker) -> None:
        await worker.run(item(picture_bytes()), lambda share: None, PATIENCE)
        process = worker._process
        os.kill(process.pid, signal.SIGSTOP)
        cancel = worker.cancel

        def cancel_what_runs() -> None:
            until(lambda: worker._active_number)
            cancel()

        monkeypatch.setattr(worker, "cancel", cancel_what_runs)
        with pytest.raises(TimeoutError):
            await worker.run(item(picture_bytes()), lambda share: None, 0.1)
        assert not process.is_alive()
        made = await worker.run(item(picture_bytes()), lambda share: None, PATIENCE)
        assert made.details.output_size == (40, 32)

    with_worker(work)


def test_a_lost_process_is_reported_and_restarted() -> None:
    async def work(worker: ProcessWorker) -> None:
        await worker.run(item(picture_bytes()), lambda share: None, PATIENCE)
        os.kill(worker._process.pid, signal.SIGSTOP)
        running = asyncio.create_task(worker.run(item(picture_bytes()), lambda share: None, PATIENCE))
        while not worker._active_number:
            await asyncio.sleep(0.01)
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(LostWorkerError, match="Send it again"):
            await running
        await worker.run(item(picture_bytes()), lambda share: None, PATIENCE)

    with_worker(work)


def test_a_process_is_replaced_after_a_number_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.serve.workers._MAX_JOBS_PER_PROCESS", 2)

    async def work(worker: ProcessWorker) -> list[int]:
        found = []
        for _ in range(5):
            await worker.run(item(picture_bytes()), lambda share: None, PATIENCE)
            found.append(worker._process.pid)
        return found

    first, second, third, fourth, fifth = with_worker(work)
    assert first == second != third == fourth != fifth


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_the_command_serves_and_shuts_down_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rlfn", "serve", "--port", "0", "--engine", "onnxruntime"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        address = line.split()[2]
        assert line == f"Serving at {address} (press Ctrl-C to stop)\n"
        try:
            until(lambda: answers(address))
            data = picture_bytes()
            answer = post(f"{address}v1/upscale?model=rlfn-xs&scale=2", content=data)
            assert answer.status_code == 200, answer.text
            expected = read_picture(answer.content).pixels
            children = workers_of(server.pid)
            assert children
        finally:
            server.terminate()
        assert server.wait(PATIENCE) == 0
        assert server.stderr.read() == ""
    until(lambda: not any(alive(child) for child in children))
    assert not list(tmp_path.iterdir())
    from rlfn.api.pictures import upscale

    own = upscale(data, 2, model="rlfn-xs", engine="onnxruntime")
    assert np.array_equal(read_picture(own).pixels, expected)


@pytest.fixture
def serving_process(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Start the command with a slow model's work; return the process and its address."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "rlfn", "serve", "--port", "0", "--engine", "onnxruntime", "--threads", "1"]
        server = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        started.append(server)
        assert server.stderr is not None
        address = server.stderr.readline().split()[2]
        until(lambda: answers(address))
        return server, address

    yield start
    for server in started:
        children = workers_of(server.pid)
        server.kill()
        server.communicate()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def long_job(address: str) -> str:
    """Start a job that takes many seconds; return its URL once it runs."""
    picture = picture_bytes(1500, 1500)
    sent = post(f"{address}v1/jobs?model=rlfn-s&scale=4&restore=1&self_ensemble=true", content=picture)
    job = f"{address}v1/jobs/{sent.json()['id']}"
    until(lambda: get(job).json()["status"] == "running")
    return job


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_when_the_grace_period_is_over_clients_are_told_and_the_server_ends(serving_process: Any) -> None:
    server, address = serving_process("--grace", "1", "--workers", "2", "--cache", "0")
    job = long_job(address)
    found: dict[str, Any] = {}
    ended = threading.Event()

    def wait() -> None:
        query = "model=rlfn-s&scale=4&restore=1&self_ensemble=true"
        found["upscale"] = post(f"{address}v1/upscale?{query}", content=picture_bytes(1400, 1400))

    def listen() -> None:
        found["events"] = get(job, headers={"Accept": "text/event-stream"}).text

    def upload() -> None:
        def slow() -> Iterator[bytes]:
            yield b"x"
            ended.wait(PATIENCE)
            yield b"y"

        with contextlib.suppress(httpx2.TransportError):  # the server may close the connection before it is read
            found["upload"] = post(f"{address}v1/upscale", content=slow())

    threads = [threading.Thread(target=one) for one in (wait, listen, upload)]
    for thread in threads:
        thread.start()
    until(lambda: get(f"{address}healthz").json()["running"] == 2)
    children = workers_of(server.pid)
    server.terminate()
    assert server.wait(PATIENCE) == 0
    ended.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert server.stderr.read() == ""
    assert (found["upscale"].status_code, found["upscale"].json()["code"]) == (503, "shutting_down")
    assert found["upscale"].headers["content-type"] == "application/problem+json"
    assert found["upscale"].headers["retry-after"] == "5"
    assert "event: failed\n" in found["events"]
    assert '"code": "shutting_down"' in found["events"]
    if "upload" in found:
        assert (found["upload"].status_code, found["upload"].json()["code"]) == (503, "shutting_down")
    until(lambda: not any(alive(child) for child in children))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_the_server_at_once(serving_process: Any, sent: signal.Signals) -> None:
    server, address = serving_process("--grace", "600")
    long_job(address)
    children = workers_of(server.pid)
    server.send_signal(sent)
    until(lambda: get(f"{address}healthz").status_code == 503)
    server.send_signal(sent)
    assert server.wait(PATIENCE) == 0
    assert server.stderr.read() == ""
    until(lambda: not any(alive(child) for child in children))


def answers(address: str) -> bool:
    try:
        return get(f"{address}healthz").status_code == 200
    except httpx2.TransportError:
        return False


def workers_of(process: int) -> list[int]:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return [pid for pid, parent in rows if parent == process]


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_unusable_address_is_refused(command: Any) -> None:
    done = command("serve", "--host", "203.0.113.7", "--port", "1")
    assert done.status == 2
    assert "The server cannot listen on 203.0.113.7, port 1" in done.err
    assert "--port; port 0 picks a free one" in done.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--workers", "0"), "0 is too small. Allowed: 1 or more."),
        (("--memory", "inf"), "'inf' is not a finite number."),
        (("--cache", "inf"), "'inf' is not a finite number."),
        (("--max-body", "nan"), "'nan' is not a finite number."),
        (("--seconds", "inf"), "'inf' is not a finite number."),
        (("--keep", "nan"), "'nan' is not a finite number."),
        (("--grace", "inf"), "'inf' is not a finite number."),
        (("--memory", "1"), "--memory of 1,000,000 bytes cannot hold a request of 32,000,000"),
        (("--engine", "openvno"), "Did you mean 'openvino'?"),
        (("--app", "nowhere"), "There is no built app in nowhere"),
        (("--api-key-file", "nowhere"), "The keys in nowhere cannot be read"),
        (("--cors-origin", "example.org"), "An origin is a scheme and a host"),
        (("--tile", "x"), "tile"),
    ],
)
def test_invalid_options(command: Any, arguments: tuple[str, ...], sentence: str) -> None:
    done = command("serve", *arguments)
    assert done.status == 2
    assert sentence in done.err


@pytest.mark.parametrize(("place", "found"), [("src", True), ("lib/python3.12/site-packages", False)])
def test_only_a_checkout_has_an_app_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, found: bool
) -> None:
    from rlfn.cli import serve

    package = tmp_path / place / "rlfn"
    monkeypatch.setattr(serve, "_PACKAGE", package)
    built = package.parents[1] / "web" / "dist"
    assert serve._app_folder(None) is None
    built.mkdir(parents=True)
    (built / "index.html").touch()
    assert serve._app_folder(None) == (built if found else None)
    assert serve._app_folder(built) == built


def test_a_missing_extra_is_named(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.cli.serve._MODULES", ("starlette", "rlfn_no_such_module"))
    done = command("serve")
    assert done.status == 2
    assert "pip install 'rlfn[serve]'" in done.err
