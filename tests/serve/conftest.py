"""A server whose pictures are enlarged by the nearest-neighbour engine, in a thread."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from rlfn.serve.openapi import document
from rlfn.serve.server import DrainingServer, configuration
from rlfn.serve.settings import ServeSettings
from serving import GatedWorkers
from waiting import PATIENCE, until


@pytest.fixture
def gated_workers(nearest: Any) -> Iterator[GatedWorkers]:
    gate = threading.Event()
    gate.set()
    yield GatedWorkers(gate)
    gate.set()


Serving = Callable[..., TestClient]


@pytest.fixture
def serving(gated_workers: GatedWorkers) -> Iterator[Serving]:
    """Make clients of applications with the given settings."""
    opened = []

    def make(**settings: Any) -> TestClient:
        client = TestClient(gated_workers.app(ServeSettings(**settings)), base_url="http://127.0.0.1")
        client.event_hooks = {"response": [documented(ServeSettings(**settings)), resolve_location]}
        client.__enter__()
        opened.append(client)
        return client

    yield make
    gated_workers.gate.set()
    for client in opened:
        client.__exit__(None, None, None)


def documented(settings: ServeSettings) -> Callable[[httpx2.Response], None]:
    """Return a check that an answer is one that the OpenAPI document lists."""
    paths = document(settings)["paths"]

    def check(answer: httpx2.Response) -> None:
        asked = answer.request.url.path
        path = next((one for one in paths if re.fullmatch(re.sub(r"\{id\}", "[^/]+", one), asked)), "")
        operation = paths.get(path, {}).get(answer.request.method.lower())
        if operation is None:
            return
        listed = operation["responses"].get(str(answer.status_code))
        assert listed is not None, f"{answer.request.method} {path} is not documented to send {answer.status_code}"
        if kinds := listed.get("content"):
            assert answer.headers["content-type"].partition(";")[0] in kinds
        if "Retry-After" in listed.get("headers", {}):
            assert answer.headers["retry-after"].isdecimal()

    return check


def resolve_location(answer: httpx2.Response) -> None:
    """Make the Location of an answer a full path."""
    if "location" in answer.headers:
        answer.headers["location"] = answer.url.join(answer.headers["location"]).path


Listening = Callable[..., str]


@pytest.fixture
def listening(gated_workers: GatedWorkers) -> Iterator[Listening]:
    """Start servers that listen on the loopback; their addresses come back."""
    servers: list[tuple[DrainingServer, threading.Thread]] = []

    def start(**settings: Any) -> str:
        given = ServeSettings(**settings)
        server = DrainingServer(configuration(gated_workers.app(given), given, port=0))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        servers.append((server, thread))
        gated_workers.servers.append(server)
        until(lambda: server.started)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield start
    gated_workers.gate.set()
    for server, _ in servers:
        server.should_exit = True
    for _, thread in servers:
        thread.join(PATIENCE)
