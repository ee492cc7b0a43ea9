"""A server whose pictures are enlarged by the nearest-neighbour engine, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from rlfn.serve.server import DrainingServer, configuration
from rlfn.serve.settings import ServeSettings
from serving import Workshop, until


@pytest.fixture
def workshop(nearest: Any) -> Iterator[Workshop]:
    gate = threading.Event()
    gate.set()
    yield Workshop(gate)
    gate.set()


Serving = Callable[..., TestClient]


@pytest.fixture
def serving(workshop: Workshop) -> Iterator[Serving]:
    """Make clients of applications with the given settings."""
    opened = []

    def make(**settings: Any) -> TestClient:
        client = TestClient(workshop.app(ServeSettings(**settings)), base_url="http://127.0.0.1")
        client.__enter__()
        opened.append(client)
        return client

    yield make
    workshop.gate.set()
    for client in opened:
        client.__exit__(None, None, None)


Listening = Callable[..., str]


@pytest.fixture
def listening(workshop: Workshop) -> Iterator[Listening]:
    """Start servers that listen on the loopback; their addresses come back."""
    servers: list[tuple[DrainingServer, threading.Thread]] = []

    def start(**settings: Any) -> str:
        given = ServeSettings(**settings)
        server = DrainingServer(configuration(workshop.app(given), given, port=0))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        servers.append((server, thread))
        workshop.servers.append(server)
        until(lambda: server.started)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield start
    workshop.gate.set()
    for server, _ in servers:
        server.should_exit = True
    for _, thread in servers:
        thread.join(10)
