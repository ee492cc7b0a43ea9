"""The overhead of HTTP: the same picture through ``rlfn.upscale`` and through a server, alternately.

    python benchmarks/serve_overhead.py [--rounds 15] [--size 640x360] [--engine auto] [--threads 1]

The server is ``rlfn serve`` with one worker, without its cache, on the loopback, with the priority of this process.
*ratio* is the median over the rounds of the request's time divided by the API's; *outside* is the part of a request
outside the worker: sending, waiting for the worker, and the response.
"""

from __future__ import annotations

import argparse
import io
import json
import threading
import time

import httpx
import numpy as np

import rlfn
from rlfn.images.files import Picture, read_picture, write_picture
from rlfn.images.photograph import PHOTOGRAPH
from rlfn.serve.app import make_app
from rlfn.serve.server import DrainingServer, configuration
from rlfn.serve.settings import ServeSettings

MODELS = (("rlfn-xs", 2), ("rlfn-xs", 4), ("rlfn-s", 2), ("rlfn-s", 4))


def picture(width: int, height: int) -> bytes:
    photo = read_picture(PHOTOGRAPH).pixels
    down, across = -(-height // photo.shape[0]), -(-width // photo.shape[1])
    stream = io.BytesIO()
    pixels = np.ascontiguousarray(np.tile(photo, (down, across, 1))[:height, :width])
    write_picture(Picture(pixels), stream, format="jpg")
    return stream.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    width, height = map(int, asked.size.split("x"))
    data = picture(width, height)
    settings = ServeSettings(engine=asked.engine, threads=asked.threads, cache=0, nice=0)
    server = DrainingServer(configuration(make_app(settings), settings, port=0))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1/upscale"
    print(f"| {asked.size} | API | HTTP | ratio | outside |\n|---|---|---|---|---|")
    with httpx.Client(timeout=300) as client:
        for model, scale in MODELS:
            times = []
            for number in range(asked.rounds + 1):
                began = time.perf_counter()
                own = rlfn.upscale(
                    data, scale, model=model, engine=asked.engine, threads=asked.threads, restore="off", format="jpg"
                )
                middle = time.perf_counter()
                answer = client.post(address, params={"scale": scale, "model": model, "restore": "off"}, content=data)
                end = time.perf_counter()
                assert answer.content == own, "the server made another picture"
                inside = json.loads(answer.headers["rlfn-details"])["seconds"]
                if number:
                    times.append(
                        (middle - began, end - middle, (end - middle) / (middle - began), end - middle - inside)
                    )
            api, http, ratio, outside = np.median(times, axis=0)
            print(
                f"| {model} x{scale} | {api:.3f} s | {http:.3f} s | {ratio:.3f} | {1000 * outside:.1f} ms |", flush=True
            )
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main()
