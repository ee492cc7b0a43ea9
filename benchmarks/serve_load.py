"""Load on ``rlfn serve``: many clients at once, good, bad, slow and vanishing ones, while a probe asks for its health.

    python benchmarks/serve_load.py --clients 200 --seconds 60
    python benchmarks/serve_load.py --clients 50 --seconds 600      # a soak

It starts a server of its own on the loopback. The exit status is 1 where an answer is a 5xx other than 503, where the
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
KINDS = {"good": 60, "job": 12, "bad": 12, "slow": 8, "leaves": 8}
"""What clients do, by weight."""


@dataclass
class Tally:
    """What came of it."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)

    def count(self, kind: str, status: int, seconds: float) -> None:
        self.answers[kind, status] += 1
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
    """One client: it does one thing after another, and comes back when it is told to."""

    def __init__(self, http: httpx.AsyncClient, given: list[bytes], tally: Tally, seed: int) -> None:
        self.http, self.given, self.tally = http, given, tally
        self.random = random.Random(seed)

    async def run(self, deadline: float) -> None:
        await asyncio.sleep(self.random.random())
        while time.monotonic() < deadline:
            kind = self.random.choices([*KINDS], [*KINDS.values()])[0]
            began = time.monotonic()
            try:
                answer = await getattr(self, kind)()
            except httpx.HTTPError as error:
                self.tally.errors[f"{kind}: {type(error).__name__}"] += 1
                await asyncio.sleep(1)
                continue
            if answer is None:
                continue
            self.tally.count(kind, answer.status_code, time.monotonic() - began)
            if "retry-after" in answer.headers:
                await asyncio.sleep(float(answer.headers["retry-after"]) * (0.5 + self.random.random()))

    def query(self) -> dict[str, Any]:
        return {"model": "rlfn-xs", "scale": self.random.choice((2, 3, 4)), "restore": "off"}

    async def good(self) -> httpx.Response:
        picture = self.random.choice(self.given)
        return await self.http.post("/v1/upscale", params=self.query(), content=picture)

    async def bad(self) -> httpx.Response:
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

    async def leaves(self) -> None:
        """Leave in the middle: of the upload or of the waiting."""
        work = asyncio.ensure_future(self.slow() if self.random.random() < 0.5 else self.good())
        await asyncio.sleep(self.random.random())
        work.cancel()
        with_result = await asyncio.gather(work, return_exceptions=True)
        left = isinstance(with_result[0], BaseException)
        self.tally.answers["leaves", 0 if left else with_result[0].status_code] += 1  # type: ignore[union-attr]

    async def job(self) -> httpx.Response:
        """Follow a job by its events, and fetch or cancel it."""
        answer = await self.http.post("/v1/jobs", params=self.query(), content=self.random.choice(self.given))
        if answer.status_code != 202:
            return answer
        place = answer.headers["location"]
        if self.random.random() < 0.3:
            await asyncio.sleep(self.random.random())
            return await self.http.delete(place)
        async with self.http.stream("GET", place, headers={"Accept": "text/event-stream"}) as events:
            async for _ in events.aiter_lines():
                pass
        return await self.http.get(f"{place}/result")


def probe(places: list[tuple[str, int]], seconds: float, told: Any) -> None:
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
    told.send(found)


def idle(told: Any) -> None:
    """Serve nothing but an answer, in a process of its own: what the machine itself costs at the same moments."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *row: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.send(server.server_address)
    server.serve_forever()


def memory(process: int) -> tuple[int, int]:
    """Return the resident bytes of a process and of all its children."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
    own = sum(rss for pid, _, rss in rows if pid == process)
    return own * 1024, 1024 * sum(rss for _, parent, rss in rows if parent == process)


async def drive(address: str, server: int, clients: int, seconds: float) -> tuple[Tally, list[tuple[int, int]]]:
    tally, given, sizes = Tally(), pictures(60), []
    limits = httpx.Limits(max_connections=2 * clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120) as http_client:
        deadline = time.monotonic() + seconds
        work = [asyncio.ensure_future(Client(http_client, given, tally, i).run(deadline)) for i in range(clients)]
        while not all(one.done() for one in work):
            sizes.append(await asyncio.to_thread(memory, server))
            await asyncio.sleep(2)
        await asyncio.gather(*work)
    return tally, sizes


def report(
    tally: Tally, health: list[list[float]], sizes: list[tuple[int, int]], seconds: float
) -> tuple[str, list[str]]:
    """Return the figures as text, and what is wrong."""
    lines, wrong = [], []
    for kind in KINDS:
        statuses = {status: count for (name, status), count in sorted(tally.answers.items()) if name == kind}
        times = np.array(tally.seconds[kind] or [float("nan")])
        spread = f"p50 {np.median(times):.2f} s, p99 {np.percentile(times, 99):.2f} s" if len(times) > 1 else ""
        lines.append(f"{kind:8}{statuses} {spread}")
        wrong += [f"{kind}: {n} answers of {code}" for code, n in statuses.items() if code >= 500 and code != 503]
    done = sum(len(times) for times in tally.seconds.values())
    lines.append(f"{done} pictures, {done / seconds:.1f} a second; broken connections: {dict(tally.errors)}")
    for name, row in zip(("/healthz", "a server that does nothing"), health, strict=True):
        p50, p99 = np.percentile(row, (50, 99))
        lines.append(f"{name}: {len(row)} times, p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {max(row):.1f} ms")
    p99 = float(np.percentile(health[0], 99))
    if p99 > 100:
        wrong.append(f"/healthz: p99 {p99:.1f} ms")
    for number, name in enumerate(("server", "workers")):
        row = np.array([size[number] for size in sizes]) / 1e6
        middle = row[len(row) // 2 : len(row) // 2 + max(len(row) // 10, 1)].mean()
        lines.append(
            f"memory of the {name}: most {row.max():.0f} MB, halfway {middle:.0f} MB, at the end {row[-1]:.0f} MB"
        )
        if row[-1] > 1.2 * middle + 20:
            wrong.append(f"memory of the {name} grew from {middle:.0f} to {row[-1]:.0f} MB")
    return "\n".join(lines), wrong


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
            hears, tells = multiprocessing.Pipe(duplex=False)
            control = spawn.Process(target=idle, args=(tells,), daemon=True)
            control.start()
            place = urlsplit(address)
            places = [(str(place.hostname), int(place.port or 0)), hears.recv()]
            prober = spawn.Process(target=probe, args=(places, asked.seconds, tells))
            prober.start()
            tally, sizes = asyncio.run(drive(address, server.pid, asked.clients, asked.seconds))
            text, wrong = report(tally, hears.recv(), sizes, asked.seconds)
            prober.join()
            time.sleep(1)
            health = httpx.get(f"{address}healthz").json()
            held = httpx.get(f"{address}metrics").text
        finally:
            server.terminate()
        print(text)
        left = dict(re.findall(r"^(rlfn_(?:upload|result|cache)_bytes) (\S+)", held, re.MULTILINE))
        print(f"afterwards: {json.dumps(health)}, {left}; exit status on SIGTERM: {server.wait(60)}")
    print(*(f"WRONG: {one}" for one in wrong), sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
