"""The app's module beside UpscalerJS: seconds and PSNR on the same pictures in the same chromium, interleaved.

    cd web && npm ci && npm run build && cd bench && npm ci && node build.mjs && cd ../..
    python web/bench/run.py [--rounds 5] [--threads 2] [--backends wasm webgl] [--hr FOLDER]

The page is isolated from other origins, so both runtimes have threads. A time is that from a picture's pixels to the
result's pixels in JavaScript, the model loaded and run once before; the median of the rounds is given. PSNR is that on
Y, a border of the scale cropped, of MATLAB's bicubic reduction made large again: of scikit-image's astronaut (512x512),
and with --hr the mean over the pictures of a folder. The time at x4 is that of the same 256x256 picture as at x2.
"""

from __future__ import annotations

import argparse
import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright
from skimage.data import astronaut

from rlfn.evaluation.metrics import psnr
from rlfn.evaluation.sets import read_rgb
from rlfn.images.color import luminance
from rlfn.images.resize import resize

WEB = Path(__file__).parents[1]
SIDE = 256

OURS = {2: ("rlfn-xxs-photo", "rlfn-xs", "rlfn-s"), 4: ("rlfn-xs", "rlfn-s")}
PEERS = {2: ("default-model", "esrgan-slim x2"), 4: ("esrgan-slim x4",)}

PREPARE = """async () => {
  const { upscaleToPixels } = await import('/dist/upscale.js');
  window.ours = async (model, scale, threads, image) => {
    const begin = performance.now();
    const made = await upscaleToPixels(image, { model, scale, threads, device: 'wasm' });
    const seconds = (performance.now() - begin) / 1000;
    const { width, height, data } = made.image;
    const bytes = new Uint8ClampedArray(width * height * 3);
    for (let from = 0, to = 0; from < data.length; from += 4) for (let c = 0; c < 3; c++) bytes[to++] = data[from + c];
    return { seconds, width, height, bytes, threads: made.threads };
  };
}"""

CALL = """async ([call, width, height, text]) => {
  const raw = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const image = new ImageData(new Uint8ClampedArray(raw.buffer), width, height);
  const made = call.peer ? peer(call.peer, image) : ours(call.ours, call.scale, call.threads, image);
  const { bytes, ...rest } = await made;
  let coded = '';
  for (let at = 0; at < bytes.length; at += 32768) coded += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return { ...rest, coded: btoa(coded) };
}"""


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, isolated."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def call(page: Page, what: dict[str, Any], image: NDArray[np.uint8]) -> tuple[float, NDArray[np.uint8]]:
    """Upscale (H, W, 3) in a page; return its seconds and the result."""
    rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    text = base64.b64encode(rgba.tobytes()).decode()
    made = page.evaluate(CALL, [what, image.shape[1], image.shape[0], text])
    pixels = np.frombuffer(base64.b64decode(made["coded"]), np.uint8)
    return made["seconds"], pixels.reshape(made["height"], made["width"], 3)


def score(made: NDArray[np.uint8], reference: NDArray[np.uint8], scale: int) -> float:
    """Return the PSNR on Y in dB, a border of ``scale`` px cropped."""
    inside = (slice(scale, -scale), slice(scale, -scale))
    return psnr(luminance(made)[inside], luminance(reference)[inside])


def references(folder: Path | None) -> list[NDArray[np.uint8]]:
    """Return the pictures of a folder as RGB."""
    return [read_rgb(path) for path in sorted(folder.iterdir())] if folder else []


def cropped(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Crop a picture to sides that are multiples of ``scale``."""
    return image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale, :3]


def contenders(scale: int, threads: int) -> dict[str, dict[str, Any]]:
    """Return what is called, by name."""
    ours = {name: {"ours": name, "scale": scale, "threads": threads} for name in OURS[scale]}
    return ours | {f"UpscalerJS {name}": {"peer": name} for name in PEERS[scale]}


def measure(page: Page, scale: int, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row for each contender at a scale."""
    large = astronaut()
    timed = resize(large, size=(SIDE, SIDE))
    todo = contenders(scale, given.threads)
    seconds: dict[str, list[float]] = {name: [] for name in todo}
    for turn in range(given.rounds + 1):
        for name, what in todo.items():
            taken, _ = call(page, what, timed)
            if turn:
                seconds[name].append(taken)
    for name, what in todo.items():
        row = {"model": name, "scale": scale, "seconds": round(median(seconds[name]), 3)}
        small = resize(large, size=(512 // scale, 512 // scale))
        row["astronaut"] = round(score(call(page, what, small)[1], large, scale), 2)
        if sets := references(given.hr):
            pairs = [(resize(hr := cropped(image, scale), scale=1 / scale), hr) for image in sets]
            row["set"] = round(mean(score(call(page, what, lr)[1], hr, scale) for lr, hr in pairs), 2)
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backends", nargs="+", default=["wasm"], help="of TensorFlow.js: wasm, webgl, cpu")
    parser.add_argument("--scales", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--hr", type=Path, help="a folder of high-resolution pictures")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    with serving(WEB) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        print(json.dumps({"chromium": browser.version, "threads": given.threads}), flush=True)
        for backend in given.backends:
            page = browser.new_page()
            page.set_default_timeout(0)
            page.goto(f"{address}/bench/dist/")
            page.wait_for_function("() => Boolean(window.peer)")
            used = page.evaluate(f"useBackend({backend!r}, {given.threads})")
            page.evaluate(PREPARE)
            for scale in given.scales:
                for row in measure(page, scale, given):
                    print(json.dumps({**row, "tensorflow.js": used}), flush=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
