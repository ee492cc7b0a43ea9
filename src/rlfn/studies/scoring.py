"""Scores and latencies of a study's models, measured once and kept in ``measured.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlfn.errors import RlfnError
from rlfn.evaluation.benchmark import Contender, evaluate
from rlfn.evaluation.profile import runner, time_in_turn
from rlfn.evaluation.sets import sets_present
from rlfn.images.output import write_bytes
from rlfn.inference.engines import ENGINES, load_engine
from rlfn.inference.source import Source
from rlfn.inference.upscaler import Upscaler
from rlfn.studies.request import Request

LATENCY_OUTPUT = (720, 1280)
"""(height, width) of the picture that latency is measured on."""

LATENCY_SECONDS = 2.0
"""Time to spend on the timed calls of each network."""

Scores = dict[str, tuple[float, float]]
"""(PSNR on Y in dB, SSIM on Y) by set."""


class Measured:
    """What was measured of a study's models; kept in a file, so that a second call does not measure again.

    Args:
        request: where the file lies, and which sets are wanted.
        scale: of the models.
    """

    def __init__(self, request: Request, scale: int = 4) -> None:
        self.request = request
        self.scale = scale
        self.sets = request.sets or tuple(sets_present(scale, request.bench))
        self.failures: list[str] = []
        self._path = request.out / "measured.json"
        self._kept = _read(self._path)

    def scores(self, name: str, model: Path) -> Scores:
        """Return the scores of a model on every set that could be measured."""
        found: Scores = {}
        missing = []
        for which in self.sets:
            kept = self._kept.get(self._key(model, which))
            if kept is None:
                missing.append(which)
            else:
                found[kept[0]] = (kept[1], kept[2])
        if not missing:
            return found
        self.request.say(f"Scoring {name} on {', '.join(missing)}")
        upscaler = Upscaler(str(model), "torch", self.request.threads, tile=0)
        contender = Contender(name, upscaler.scale, upscaler, "torch")
        for which in missing:
            report = evaluate([contender], [which], self.request.bench)
            self.failures += [failure.message for failure in report.failures]
            for result in report.results:
                if result.model == name:
                    found[result.set] = (result.psnr, result.ssim)
                    self._kept[self._key(model, which)] = [result.set, result.psnr, result.ssim]
        self._write()
        return found

    def latencies(self, models: Mapping[str, Path]) -> dict[str, dict[str, float]]:
        """Return milliseconds by engine and model, medians for a result of 1280x720; engines that lack are left out.

        The models are timed in turn, so that a busy machine disturbs them alike.
        """
        found: dict[str, dict[str, float]] = {}
        for engine in ENGINES:
            key = "latency|" + engine + "|" + "|".join(f"{name}={_digest(path)}" for name, path in models.items())
            if key not in self._kept:
                self.request.say(f"Timing {len(models)} networks on {engine}")
                try:
                    loaded = [load_engine(engine, Source(str(path)), self.request.threads) for path in models.values()]
                except RlfnError as error:
                    self.failures.append(f"{engine}: {error}")
                    continue
                height, width = (side // self.scale for side in LATENCY_OUTPUT)
                times = time_in_turn([runner(one, height, width) for one in loaded], LATENCY_SECONDS)
                self._kept[key] = {name: row.median * 1e3 for name, row in zip(models, times, strict=True)}
                self._write()
            found[engine] = self._kept[key]
        return found

    def _key(self, model: Path, which: str) -> str:
        return f"scores|{_digest(model)}|{which}|{self.request.bench}"

    def _write(self) -> None:
        write_bytes(self._path, (json.dumps(self._kept, indent=1) + "\n").encode())


def _read(path: Path) -> dict[str, Any]:
    """Return what was measured before; a damaged file counts as none, because everything can be measured again."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
