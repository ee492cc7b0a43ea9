"""WebGPU in chromium's software adapter: the same pixels, slowly. Run with -m heavy."""

from __future__ import annotations

import base64
import os
import shutil
from typing import Any

import numpy as np
import pytest

import rlfn

FLAGS = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]


@pytest.mark.heavy
@pytest.mark.parametrize("model", ["rlfn-xs-x2", "rlfn-s-x2"])
def test_webgpu_makes_the_same_pixels(model: str, site: str, browser: Any, upscale_script: str) -> None:
    path = os.environ.get("RLFN_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    launched = browser.browser_type.launch(executable_path=path, args=FLAGS)
    try:
        page = launched.new_page()
        page.goto(site)
        adapter = page.evaluate("navigator.gpu.requestAdapter().then((found) => found && found.info.architecture)")
        if adapter != "swiftshader":
            pytest.skip("this chromium has no software adapter of WebGPU")
        image = np.random.default_rng(0).integers(0, 256, (40, 97, 3)).astype(np.uint8)
        rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
        pixels = {"width": 97, "height": 40, "data": base64.b64encode(rgba.tobytes()).decode()}
        options = {"device": "webgpu", "model": model[:-3], "scale": 2, "tile": 90}
        told = page.evaluate(upscale_script, [None, pixels, options])
        made = np.frombuffer(base64.b64decode(told["data"]), np.uint8).reshape(80, 194, 4)
        wanted = rlfn.Upscaler(model, engine="onnxruntime", threads=1, tile=90, precision="fp32")(image)
        assert told["device"] == "webgpu"
        assert int(np.abs(made[:, :, :3].astype(int) - wanted).max()) <= 1
    finally:
        launched.close()
