"""Frames per second of whole videos, decoding and encoding included, with and without reuse, and for a peer's network.

    python benchmarks/video.py [--models rlfn-xxs-photo rlfn-xs] [--clips screen talk film] [--frames 48] [--peer DIR]

The clips are drawn here, 640x360 in H.264, from the example photograph: a screen recording (text is typed into a
window), a talk (a head moves a little in front of a still room, with the camera's noise) and a film (the camera moves,
with grain). All become 1280x720 in H.264, preset veryfast. Variants run alternately, round by round; the numbers are
medians. The second number is the CPU time per frame, summed over all threads, which is less sensitive to other load and
proportional to the work. ``--peer`` is a folder with ``realesr-animevideov3-x2.param``
and ``.bin``: the network runs in ncnn on the CPU, inside the same pipeline.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.hardware import default_threads
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.video.run import VideoRun
from rlfn.jobs.video.settings import VideoSettings
from rlfn.models.traits import Traits

WIDTH, HEIGHT, RATE = 640, 360, 30


def photo(height: int, width: int) -> NDArray[np.uint8]:
    from rlfn.images.files import read_picture

    image = read_picture(Path(__file__).parents[1] / "examples" / "astronaut.png").pixels
    return np.tile(image, (-(-height // image.shape[0]), -(-width // image.shape[1]), 1))[:height, :width]


def screen(number: int) -> NDArray[np.uint8]:
    """A window with lines of text, of which one grows by a letter every third frame; a cursor blinks."""
    image = np.full((HEIGHT, WIDTH, 3), 236, np.uint8)
    image[:24] = (52, 58, 64)
    image[40:340, 40:600] = 255
    letters = np.random.default_rng(0).integers(0, 2, (400, 8, 5), dtype=np.uint8) * 215
    typed = 300 + number // 3
    for letter in range(typed):
        row, column = divmod(letter, 60)
        at = 60 + 18 * row, 60 + 8 * column
        image[at[0] : at[0] + 8, at[1] : at[1] + 5] -= letters[letter % 400][:, :, None]
    if number // 15 % 2:
        row, column = divmod(typed, 60)
        image[58 + 18 * row : 70 + 18 * row, 61 + 8 * column] = 0
    return image


def talk(number: int) -> NDArray[np.uint8]:
    room = photo(HEIGHT, WIDTH).copy()
    head = photo(512, 512)[20:220, 150:310]
    across, down = round(6 * np.sin(number / 9)), round(3 * np.sin(number / 5))
    room[100 + down : 300 + down, 240 + across : 400 + across] = head
    return with_noise(room, number, 1.0)


def film(number: int) -> NDArray[np.uint8]:
    wide = photo(HEIGHT + 400, WIDTH + 400)
    top, left = number, 3 * number
    return with_noise(wide[top : top + HEIGHT, left : left + WIDTH], number, 3.0)


def with_noise(image: NDArray[np.uint8], seed: int, sigma: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


CLIPS: dict[str, Callable[[int], NDArray[np.uint8]]] = {"screen": screen, "talk": talk, "film": film}


def write(path: Path, draw: Callable[[int], NDArray[np.uint8]], frames: int) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "medium"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number))))
        container.mux(stream.encode(None))
    return path


class PeerEngine:
    """Real-ESRGAN's network for animated video, in ncnn on the CPU."""

    name, precision, takes_grid = "ncnn", "fp32", False
    traits = Traits("realesr-animevideov3", scale=2, min_side=16, margin=18, stride=2)

    def __init__(self, folder: Path, threads: int) -> None:
        import ncnn

        self._ncnn, self._net = ncnn, ncnn.Net()
        self._net.opt.num_threads = threads
        stem = folder / "realesr-animevideov3-x2"
        if self._net.load_param(f"{stem}.param") or self._net.load_model(f"{stem}.bin"):
            raise SystemExit(f"{stem} cannot be loaded")

    def __call__(self, lr: NDArray[np.float32], grid: object = None) -> NDArray[np.float32]:
        call = self._net.create_extractor()
        call.input("data", self._ncnn.Mat(np.ascontiguousarray(lr[0] / 255)).clone())
        return np.array(call.extract("output")[1])[None] * np.float32(255)


def measured(source: Path, settings: VideoSettings, pool: UpscalerPool) -> tuple[float, float, dict[str, int]]:
    """Return frames per second, CPU milliseconds per frame, and the counts of reused tiles and frames."""
    run = VideoRun(source, source.with_name("out.mp4"), settings, pool)
    began, used = time.perf_counter(), time.process_time()
    run.run()
    frames = run.facts["frames"]
    return frames / (time.perf_counter() - began), 1000 * (time.process_time() - used) / frames, run.facts


def ways(given: argparse.Namespace, threads: int) -> dict[str, VideoSettings]:
    found = {}
    for model in given.models:
        for precision in given.precisions:
            options = EnlargeOptions(model=model, precision=precision, threads=threads, engine=given.engine)
            found[f"{model} {precision}"] = VideoSettings(options, preset="veryfast")
    if given.peer is not None:
        engine: Any = PeerEngine(given.peer, threads)
        found["animevideov3"] = VideoSettings(EnlargeOptions(engine=engine, tile=0), preset="veryfast")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["rlfn-xxs-photo", "rlfn-xs"])
    parser.add_argument("--precisions", nargs="+", default=["fp32"])
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clips", nargs="+", choices=CLIPS, default=list(CLIPS))
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--peer-frames", type=int, default=6)
    given = parser.parse_args()
    pool = UpscalerPool(8)
    with tempfile.TemporaryDirectory() as place:
        print(f"{given.threads} threads, {given.frames} frames, {given.rounds} rounds, frames a second")
        print(f"{'':33} {'frames a second':>24}  {'processor, ms a frame':>24}")
        head = f"{'reuse':>8} {'without':>8} {'ratio':>6}"
        print(f"{'clip':8} {'way':24} {head}  {head}  tiles reused, frames repeated")
        for name in given.clips:
            source = write(Path(place) / f"{name}.mp4", CLIPS[name], given.frames)
            short = write(Path(place) / f"{name}-short.mp4", CLIPS[name], given.peer_frames)
            todo = ways(given, given.threads)
            rates: dict[tuple[str, bool], list[float]] = {}
            costs: dict[tuple[str, bool], list[float]] = {}
            facts = {}
            for settings in todo.values():  # models are loaded
                measured(short, replace(settings, duration=0.05), pool)
            for _ in range(given.rounds):
                for way, settings in todo.items():
                    peer = way == "animevideov3"
                    for reuse in (True, False):
                        clip = short if peer else source
                        rate, cost, facts[way, reuse] = measured(clip, replace(settings, reuse=reuse), pool)
                        rates.setdefault((way, reuse), []).append(rate)
                        costs.setdefault((way, reuse), []).append(cost)
            for way in todo:
                fast, slow = median(rates[way, True]), median(rates[way, False])
                cheap, dear = median(costs[way, True]), median(costs[way, False])
                saved = facts[way, True]
                tiles = saved["computed_tiles"] + saved["reused_tiles"]
                share = saved["reused_tiles"] / tiles if tiles else 0.0
                print(
                    f"{name:8} {way:24} {fast:8.2f} {slow:8.2f} {fast / slow:6.2f}  "
                    f"{cheap:8.0f} {dear:8.0f} {dear / cheap:6.2f}  "
                    f"{share:.0%}, {saved['repeated']} of {saved['frames']}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
