"""The built browser app on the loopback, and a chromium to visit it with."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

BUILT = Path(__file__).parents[2] / "web" / "dist"

UPSCALE = """async ([file, pixels, options]) => {
  const { upscaleToPixels } = await import('./upscale.js');
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const image = pixels && new ImageData(new Uint8ClampedArray(bytes(pixels.data).buffer), pixels.width, pixels.height);
  const source = image ?? new Blob([bytes(file)]);
  const { image: made, ...details } = await upscaleToPixels(source, { device: 'wasm', ...options });
  let coded = '';
  for (let at = 0; at < made.data.length; at += 32768) {
    coded += String.fromCharCode(...made.data.subarray(at, at + 32768));
  }
  return { ...details, data: btoa(coded) };
}"""


class Handler(SimpleHTTPRequestHandler):
    """Serves the app as a plain file server does, or isolated from other origins."""

    isolated = False

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Isolated(Handler):
    isolated = True


def _served(handler: type[Handler]) -> Iterator[str]:
    if not (BUILT / "index.html").is_file():
        pytest.skip("the browser app is not built: cd web && npm ci && npm run build")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(BUILT)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The app behind a server that isolates it: wasm has threads."""
    yield from _served(Isolated)


@pytest.fixture(scope="session")
def plain_site() -> Iterator[str]:
    """The app behind a plain file server."""
    yield from _served(Handler)


@pytest.fixture
def upscale_script() -> str:
    return UPSCALE


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page in a context of its own; what it writes to the console as an error fails the test."""
    contexts, complaints = [], []

    def open_page(address: str, **options: Any) -> Any:
        context = browser.new_context(**{"service_workers": "block", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.goto(address)
        page.wait_for_selector("#model option", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture(scope="module")
def upscaled(site: str, browser: Any) -> Iterator[Callable[..., tuple[NDArray[np.uint8], dict[str, Any]]]]:
    """Upscale a file's bytes or an RGBA array in the browser; return RGBA and what is told of it."""
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    page.goto(site)

    def run(source: bytes | NDArray[np.uint8], **options: Any) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        file = pixels = None
        if isinstance(source, bytes):
            file = base64.b64encode(source).decode()
        else:
            data = base64.b64encode(np.ascontiguousarray(source).tobytes()).decode()
            pixels = {"width": source.shape[1], "height": source.shape[0], "data": data}
        told = page.evaluate(UPSCALE, [file, pixels, options])
        made = np.frombuffer(base64.b64decode(told.pop("data")), np.uint8)
        return made.reshape(told["height"], told["width"], 4), told

    yield run
    context.close()
