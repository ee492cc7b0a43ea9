"""Slow and silent clients, and the graceful shutdown, with a listening server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from rlfn.jobs.record import Details
from rlfn.serve import server as server_module
from rlfn.serve.responses import ResultResponse
from rlfn.serve.work import JobResult
from serving import get, picture_bytes, post
from waiting import PATIENCE, until


def connected(address: str) -> socket.socket:
    place = urlsplit(address)
    return socket.create_connection((str(place.hostname), int(place.port or 0)), PATIENCE)


def test_a_body_that_stops_coming_is_given_up(listening: Any) -> None:
    address = listening(patience=0.2)

    with connected(address) as slow:
        slow.sendall(b"POST /v1/upscale HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n" + bytes(50))
        slow.settimeout(PATIENCE)
        answer = HTTPResponse(slow)
        answer.begin()
        assert (answer.status, json.loads(answer.read())["code"]) == (408, "request_timeout")
    assert get(f"{address}/healthz").json()["status"] == "ok"


def test_a_connection_without_a_request_is_closed(listening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_HEAD_SECONDS", 0.2)
    with connected(listening()) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        silent.settimeout(PATIENCE)
        try:
            left = silent.recv(100)
        except ConnectionResetError:
            left = b""
        assert left == b""


def test_a_client_that_receives_nothing_is_disconnected() -> None:
    facts = Details((1, 1), (4, 4), "png", "m", "e", "fp32", 0.0, "", "cpu", (), 0.1)
    answer = ResultResponse(
        JobResult(bytes(1_000_000), facts), mixed=False, cached=False, patience=0.1, disconnected=lambda: False
    )
    taken = []

    async def send(message: Any) -> None:
        taken.append(message)
        if len(taken) > 2:
            await asyncio.Event().wait()  # the network takes no more

    async def never() -> Any:
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as thread:  # a browser's loop may run in this one
        thread.submit(asyncio.run, answer({"type": "http"}, never, send)).result()
    assert not answer.complete
    assert len(taken) == 3


def test_shutdown_fails_waiting_jobs_and_finishes_running_ones(listening: Any, gated_workers: Any) -> None:
    address = listening(cache=0)
    gated_workers.gate.clear()
    answers: dict[str, httpx2.Response] = {}

    def ask(name: str, width: int) -> None:
        answers[name] = post(f"{address}/v1/upscale?width={width}", content=picture_bytes())

    threads = [threading.Thread(target=ask, args=row) for row in (("running", 30), ("waiting", 31))]
    health = httpx2.Client(timeout=PATIENCE)
    for waiting, thread in enumerate(threads):
        thread.start()
        jobs = {"status": "ok", "waiting": waiting, "running": 1}
        until(lambda jobs=jobs: health.get(f"{address}/healthz").json() == jobs)
    ending = next(server for server in gated_workers.servers if server.started)
    ending.handle_exit(15, None)
    threads[1].join(PATIENCE)
    assert (answers["waiting"].status_code, answers["waiting"].json()["code"]) == (503, "shutting_down")
    assert "retry-after" in answers["waiting"].headers
    assert health.get(f"{address}/healthz").status_code == 503
    refused = health.post(f"{address}/v1/upscale", content=picture_bytes())
    assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
    gated_workers.gate.set()
    threads[0].join(PATIENCE)
    assert answers["running"].status_code == 200
    until(lambda: ending.should_exit)
