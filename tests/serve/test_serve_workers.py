"""Worker processes: what they make, how they are given up, and what happens when one is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from rlfn.errors import PictureError
from rlfn.images.files import read_picture
from rlfn.serve.crew import CancelledWork, LostWorkerError, ProcessHand
from rlfn.serve.fields import read_fields
from rlfn.serve.settings import ServeSettings
from rlfn.serve.work import Commission, Delivery, TooLargeError
from serving import picture_bytes, until

SETTINGS = ServeSettings(engine="onnxruntime", threads=1)
ROOT = Path(__file__).parents[2]


def commission(picture: bytes, max_pixels: int = 10**6, **fields: str) -> Commission:
    asked = read_fields({"model": "rlfn-xs", "scale": "2", **fields}.items(), SETTINGS)
    return Commission(picture, asked, max_pixels, 10**8)


def with_a_hand(work: Any) -> Any:
    """Run a coroutine function with a worker process."""

    async def run() -> Any:
        hand = ProcessHand(SETTINGS)
        await hand.start()
        try:
            return await work(hand)
        finally:
            hand.close()

    return asyncio.run(run())


def test_a_process_does_the_work_and_raises_what_it_raised() -> None:
    shares: list[float] = []

    async def work(hand: ProcessHand) -> Delivery:
        with pytest.raises(PictureError, match="not a picture"):
            await hand.carry_out(commission(b"nonsense"), shares.append, 60)
        with pytest.raises(TooLargeError):
            await hand.carry_out(commission(picture_bytes(), 100), shares.append, 60)
        return await hand.carry_out(commission(picture_bytes()), shares.append, 60)

    made = with_a_hand(work)
    assert read_picture(made.data).pixels.shape == (32, 40, 3)
    assert (made.details.model, made.details.engine) == ("rlfn-xs-x2", "onnxruntime")
    assert shares
    assert shares[0] == 0.0


def test_work_is_given_up_between_two_tiles_and_the_process_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.serve.crew._END_PATIENCE", 60.0)  # a tile may take long on a busy machine

    async def work(hand: ProcessHand) -> None:
        large = commission(picture_bytes(900, 900), scale="2")
        began = asyncio.Event()
        running = asyncio.create_task(hand.carry_out(large, lambda share: began.set(), 60))
        await asyncio.wait_for(began.wait(), 60)
        process = hand._process
        hand.cancel()
        with pytest.raises(CancelledWork):
            await running
        await hand.carry_out(commission(picture_bytes()), lambda share: None, 60)
        assert hand._process is process

    with_a_hand(work)


def test_a_process_that_does_not_listen_is_ended_and_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.serve.crew._END_PATIENCE", 0.2)

    async def work(hand: ProcessHand) -> None:
        await hand.carry_out(commission(picture_bytes()), lambda share: None, 60)
        process = hand._process
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await hand.carry_out(commission(picture_bytes()), lambda share: None, 0.1)
        assert not process.is_alive()
        made = await hand.carry_out(commission(picture_bytes()), lambda share: None, 60)
        assert made.details.output_size == (40, 32)

    with_a_hand(work)


def test_a_lost_process_is_told_and_begun_anew() -> None:
    async def work(hand: ProcessHand) -> None:
        await hand.carry_out(commission(picture_bytes()), lambda share: None, 60)
        os.kill(hand._process.pid, signal.SIGSTOP)
        running = asyncio.create_task(hand.carry_out(commission(picture_bytes()), lambda share: None, 60))
        await asyncio.sleep(0.1)
        os.kill(hand._process.pid, signal.SIGKILL)
        with pytest.raises(LostWorkerError, match="Send it again"):
            await running
        await hand.carry_out(commission(picture_bytes()), lambda share: None, 60)

    with_a_hand(work)


def test_a_process_is_renewed_after_so_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.serve.crew._RENEW_AFTER", 2)

    async def work(hand: ProcessHand) -> list[int]:
        found = []
        for _ in range(5):
            await hand.carry_out(commission(picture_bytes()), lambda share: None, 60)
            found.append(hand._process.pid)
        return found

    first, second, third, fourth, fifth = with_a_hand(work)
    assert first == second != third == fourth != fifth


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_the_command_serves_and_ends_in_order_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rlfn", "serve", "--port", "0", "--engine", "onnxruntime"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        assert server.stderr is not None
        said = server.stderr.readline()
        address = said.split()[3]
        assert said == f"rlfn serves at {address} (Ctrl-C ends it)\n"
        try:
            until(lambda: answers(address), 30)
            data = picture_bytes()
            answer = httpx.post(f"{address}v1/upscale?model=rlfn-xs&scale=2", content=data, timeout=60)
            assert answer.status_code == 200, answer.text
            expected = read_picture(answer.content).pixels
            children = workers_of(server.pid)
            assert children
        finally:
            server.terminate()
        assert server.wait(20) == 0
        assert server.stderr.read() == ""
    until(lambda: not any(alive(child) for child in children))
    assert not list(tmp_path.iterdir())
    from rlfn.api.pictures import upscale

    own = upscale(data, 2, model="rlfn-xs", engine="onnxruntime")
    assert np.array_equal(read_picture(own).pixels, expected)


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}healthz").status_code == 200
    except httpx.TransportError:
        return False


def workers_of(process: int) -> list[int]:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return [pid for pid, parent in rows if parent == process]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_the_address_that_is_taken_is_said(command: Any) -> None:
    done = command("serve", "--host", "203.0.113.7", "--port", "1")
    assert done.status == 2
    assert "The server cannot listen at 203.0.113.7, port 1" in done.err
    assert "--port; port 0 takes a free one" in done.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--workers", "0"), "0 is too small. Allowed: 1 or more."),
        (("--memory", "1"), "--memory of 1,000,000 bytes cannot hold a request of 32,000,000"),
        (("--engine", "openvno"), "Did you mean 'openvino'?"),
        (("--app", "nowhere"), "There is no built app in nowhere"),
        (("--api-key-file", "nowhere"), "The keys in nowhere cannot be read"),
        (("--cors-origin", "example.org"), "An origin is a scheme and a host"),
        (("--tile", "x"), "tile"),
    ],
)
def test_options_that_are_not_allowed(command: Any, arguments: tuple[str, ...], sentence: str) -> None:
    done = command("serve", *arguments)
    assert done.status == 2
    assert sentence in done.err


def test_the_extra_that_is_missing_is_named(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.cli.serve._MODULES", ("starlette", "rlfn_no_such_module"))
    done = command("serve")
    assert done.status == 2
    assert "pip install 'rlfn[serve]'" in done.err
