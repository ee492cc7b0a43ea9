"""Load test of ``rlfn serve``: many concurrent clients, valid, invalid, slow and disconnecting, and a health probe.

    python benchmarks/serve_load.py --clients 200 --seconds 60
    python benchmarks/serve_load.py --clients 50 --seconds 600      # a soak

It starts a server of its own on the loopback. The exit status is 1 where a response is a 5xx other than 503, where the
99th percentile of /healthz is above 100 ms, or where memory grew by more than a fifth in the second half of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import http.server
import io
import json
import multiprocessing
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from rlfn.images.files import Picture, read_picture, write_picture

ROOT = Path(__file__).parents[1]
CLIENT_KINDS = {"valid": 60, "job": 12, "invalid": 12, "slow": 8, "disconnects": 8}
"""Kinds of requests and their weights."""


@dataclass
class LoadStatistics:
    """Statuses, times and errors of all clients."""

    statuses_by_kind: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)

    def count(self, kind: str, status: int, seconds: float) -> None:
        self.statuses_by_kind[kind, status] += 1
        if status == 200:
            self.seconds[kind].append(seconds)


def pictures(count: int, seed: int = 0) -> list[bytes]:
    """Return parts of the example photograph, 64 to 512 px a side, in three formats."""
    photo = read_picture(ROOT / "examples" / "astronaut.png").pixels
    photo = photo.repeat(2, axis=0).repeat(2, axis=1)
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        width, height = (int(side) for side in rng.integers(64, 513, 2))
        top, left = rng.integers(0, 513 - height), rng.integers(0, 513 - width)
        stream = io.BytesIO()
        part = np.ascontiguousarray(photo[top : top + height, left : left + width])
        write_picture(Picture(part), stream, format=("png", "jpg", "webp")[number % 3])
        made.append(stream.getvalue())
    return made


class Client:
    """One client: sends requests one after another, and honours ``Retry-After``."""

    def __init__(self, http: httpx.AsyncClient, given: list[bytes], statistics: LoadStatistics, seed: int) -> None:
        self.http, self.given, self.statistics = http, given, statistics
        self.random = random.Random(seed)

    async def run(self, deadline: float) -> None:
        await asyncio.sleep(self.random.random())
        while time.monotonic() < deadline:
            kind = self.random.choices([*CLIENT_KINDS], [*CLIENT_KINDS.values()])[0]
            began = time.monotonic()
            try:
                response = await getattr(self, kind)()
            except httpx.HTTPError as error:
                self.statistics.errors[f"{kind}: {type(error).__name__}"] += 1
                await asyncio.sleep(1)
                continue
            if response is None:
                continue
            self.statistics.count(kind, response.status_code, time.monotonic() - began)
            if "retry-after" in response.headers:
                await asyncio.sleep(float(response.headers["retry-after"]) * (0.5 + self.random.random()))

    def query(self) -> dict[str, Any]:
        return {"model": "rlfn-xs", "scale": self.random.choice((2, 3, 4)), "restore": "off"}

    async def valid(self) -> httpx.Response:
        picture = self.random.choice(self.given)
        return await self.http.post("/v1/upscale", params=self.query(), content=picture)

    async def invalid(self) -> httpx.Response:
        picture = self.random.choice(self.given)
        data = self.random.choice((b"no picture", picture[: len(picture) // 2], os.urandom(5000), b""))
        return await self.http.post("/v1/upscale", params=self.query(), content=data)

    async def slow(self) -> httpx.Response:
        picture = self.random.choice(self.given)

        async def body() -> Any:
            for start in range(0, len(picture), max(len(picture) // 5, 1)):
                yield picture[start : start + max(len(picture) // 5, 1)]
                await asyncio.sleep(0.4)

        return await self.http.post("/v1/upscale", params=self.query(), content=body())

    async def disconnects(self) -> None:
        """Leave in the middle: of the upload or of the waiting."""
        work = asyncio.ensure_future(self.slow() if self.random.random() < 0.5 else self.valid())
        await asyncio.sleep(self.random.random())
        work.cancel()
        with_result = await asyncio.gather(work, return_exceptions=True)
        left = isinstance(with_result[0], BaseException)
        self.statistics.statuses_by_kind["disconnects", 0 if left else with_result[0].status_code] += 1  # type: ignore[union-attr]

    async def job(self) -> httpx.Response:
        """Follow a job by its events, and fetch or cancel it."""
        response = await self.http.post("/v1/jobs", params=self.query(), content=self.random.choice(self.given))
        if response.status_code != 202:
            return response
        place = response.headers["location"]
        if self.random.random() < 0.3:
            await asyncio.sleep(self.random.random())
            return await self.http.delete(place)
        async with self.http.stream("GET", place, headers={"Accept": "text/event-stream"}) as events:
            async for _ in events.aiter_lines():
                pass
        return await self.http.get(f"{place}/result")


def probe(places: list[tuple[str, int]], seconds: float, pipe: Any) -> None:
    """Ask servers for their health in turn, in a process of its own; send the milliseconds of each."""
    found: list[list[float]] = [[] for _ in places]
    deadline = time.monotonic() + seconds
    connections = [http.client.HTTPConnection(*place, timeout=30) for place in places]
    while time.monotonic() < deadline:
        for connection, row in zip(connections, found, strict=True):
            began = time.perf_counter()
            try:
                connection.request("GET", "/healthz")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
            row.append(1000 * (time.perf_counter() - began))
            time.sleep(0.02)
    pipe.send(found)


def idle(pipe: Any) -> None:
    """Serve a constant response in a separate process, as the reference for the machine's own latency."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *row: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_address)
    server.serve_forever()


def memory(process: int) -> tuple[int, int]:
    """Return the resident bytes of a process and of all its children."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
    own = sum(rss for pid, _, rss in rows if pid == process)
    return own * 1024, 1024 * sum(rss for _, parent, rss in rows if parent == process)


async def drive(
    address: str, server: int, clients: int, seconds: float
) -> tuple[LoadStatistics, list[tuple[int, int]]]:
    statistics, given, sizes = LoadStatistics(), pictures(60), []
    limits = httpx.Limits(max_connections=2 * clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120) as http_client:
        deadline = time.monotonic() + seconds
        work = [asyncio.ensure_future(Client(http_client, given, statistics, i).run(deadline)) for i in range(clients)]
        while not all(one.done() for one in work):
            sizes.append(await asyncio.to_thread(memory, server))
            await asyncio.sleep(2)
        await asyncio.gather(*work)
    return statistics, sizes


def report(
    statistics: LoadStatistics, health: list[list[float]], sizes: list[tuple[int, int]], seconds: float
) -> tuple[str, list[str]]:
    """Return the figures as text, and the failures."""
    lines, failures = [], []
    for kind in CLIENT_KINDS:
        statuses = {
            status: count for (name, status), count in sorted(statistics.statuses_by_kind.items()) if name == kind
        }
        times = np.array(statistics.seconds[kind] or [float("nan")])
        spread = f"p50 {np.median(times):.2f} s, p99 {np.percentile(times, 99):.2f} s" if len(times) > 1 else ""
        lines.append(f"{kind:12}{statuses} {spread}")
        failures += [
            f"{kind}: {n} responses with {code}" for code, n in statuses.items() if code >= 500 and code != 503
        ]
    done = sum(len(times) for times in statistics.seconds.values())
    lines.append(f"{done} pictures, {done / seconds:.1f} a second; broken connections: {dict(statistics.errors)}")
    for name, row in zip(("/healthz", "idle reference server"), health, strict=True):
        p50, p99 = np.percentile(row, (50, 99))
        lines.append(f"{name}: {len(row)} times, p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max(row):.1f} ms")
    p99 = float(np.percentile(health[0], 99))
    if p99 > 100:
        failures.append(f"/healthz: p99 {p99:.1f} ms")
    for number, name in enumerate(("server", "workers")):
        row = np.array([size[number] for size in sizes]) / 1e6
        middle = row[len(row) // 2 : len(row) // 2 + max(len(row) // 10, 1)].mean()
        lines.append(
            f"memory of the {name}: max {row.max():.0f} MB, halfway {middle:.0f} MB, at the end {row[-1]:.0f} MB"
        )
        if row[-1] > 1.2 * middle + 20:
            failures.append(f"memory of the {name} grew from {middle:.0f} to {row[-1]:.0f} MB")
    return "\n".join(lines), failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--options", default="--workers 1", help="of rlfn serve")
    asked = parser.parse_args()
    command = [sys.executable, "-m", "rlfn", "serve", "--port", "0", *asked.options.split()]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        found = re.search(r"http://\S+", server.stderr.readline())
        assert found is not None
        address = found[0]
        try:
            time.sleep(3)
            spawn = multiprocessing.get_context("spawn")
            receiver, sender = multiprocessing.Pipe(duplex=False)
            control = spawn.Process(target=idle, args=(sender,), daemon=True)
            control.start()
            place = urlsplit(address)
            places = [(str(place.hostname), int(place.port or 0)), receiver.recv()]
            prober = spawn.Process(target=probe, args=(places, asked.seconds, sender))
            prober.start()
            statistics, sizes = asyncio.run(drive(address, server.pid, asked.clients, asked.seconds))
            text, failures = report(statistics, receiver.recv(), sizes, asked.seconds)
            prober.join()
            time.sleep(1)
            health = httpx.get(f"{address}healthz").json()
            held = httpx.get(f"{address}metrics").text
        finally:
            server.terminate()
        print(text)
        left = dict(re.findall(r"^(rlfn_(?:upload|result|cache)_bytes) (\S+)", held, re.MULTILINE))
        print(f"afterwards: {json.dumps(health)}, {left}; exit status on SIGTERM: {server.wait(60)}")
    print(*(f"WRONG: {one}" for one in failures), sep="\n")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
