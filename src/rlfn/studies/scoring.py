"""Scores and latencies of a study's models, measured once and kept in ``measured.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rlfn.atomic import write_bytes
from rlfn.errors import RlfnError
from rlfn.evaluation.benchmark import BICUBIC, Candidate, bicubic, evaluate
from rlfn.evaluation.profile import runner, time_in_turn
from rlfn.evaluation.sets import sets_folder, sets_present
from rlfn.inference.engines import ENGINES, Engine, check_engine, load_engine
from rlfn.inference.upscaler import Upscaler
from rlfn.models.source import GRAPH_SUFFIXES, ModelSource
from rlfn.studies.request import StudyRequest

LATENCY_OUTPUT = (720, 1280)
"""(height, width) of the picture that latency is measured on."""

LATENCY_SECONDS = 2.0
"""Time to spend on the timed calls of each network."""

Scores = dict[str, tuple[float, float]]
"""(PSNR on Y in dB, SSIM on Y) by set."""


class Measured:
    """What was measured of a study's models; kept in files, so that a second call does not measure again.

    Scores lie in ``measured.json``. Latencies lie in ``latency.json``: delete it to time again, on a quieter machine.

    Args:
        request: where the files lie, and which sets are wanted.
        scale: of the models.
    """

    def __init__(self, request: StudyRequest, scale: int = 4) -> None:
        self.request = request
        self.scale = scale
        self.sets = request.sets or tuple(sets_present(scale, request.sets_dir))
        self.failures: list[str] = []
        self.warnings: dict[str, None] = {}
        self._scores = _Kept(request.out / "measured.json")
        self._latencies = _Kept(request.out / "latency.json")

    def scores(self, name: str, model: Path) -> Scores:
        """Return the scores of a model on every set that could be measured."""

        def load() -> Candidate:
            engine = "onnxruntime" if model.suffix.lower() in GRAPH_SUFFIXES else "torch"
            upscaler = Upscaler(str(model), engine=engine, threads=self.request.threads, tile=0)
            return Candidate(name, upscaler.scale, upscaler, engine)

        return self._scored(name, _digest(model), load)

    def bicubic(self) -> Scores:
        """Return the scores of MATLAB's bicubic."""
        return self._scored(BICUBIC, f"{BICUBIC}-x{self.scale}", lambda: bicubic(self.scale))

    def latencies(self, models: Mapping[str, Path]) -> dict[str, dict[str, float]]:
        """Return milliseconds by engine and model, medians for a result of 1280x720; engines that lack are left out.

        The models, of any scales, are timed in turn, so that a busy machine affects them equally. A model that an
        engine cannot load is left out of its row.
        """
        found: dict[str, dict[str, float]] = {}
        for engine in ENGINES:
            files = "|".join(f"{name}={_digest(path)}" for name, path in models.items())
            key = f"latency|{engine}|{self.request.threads}|{files}"
            if key not in self._latencies:
                try:
                    check_engine(engine, self.request.threads)
                except RlfnError as error:
                    self.failures.append(error.template)
                    continue
                self._latencies[key] = self._time(engine, models)
            found[engine] = self._latencies[key]["milliseconds"]
            self.failures += self._latencies[key]["failures"]
        return found

    def _time(self, engine: str, models: Mapping[str, Path]) -> dict[str, Any]:
        self.request.log(f"Timing {len(models)} networks on {engine}")
        loaded: dict[str, Engine] = {}
        failures = []
        for name, path in models.items():
            try:
                loaded[name] = load_engine(engine, ModelSource(str(path)), self.request.threads)
            except RlfnError as error:
                failures.append(f"{name} on {engine}: {error.template}")
        times = time_in_turn([_runner(one) for one in loaded.values()], LATENCY_SECONDS) if loaded else []
        medians = {name: row.median * 1e3 for name, row in zip(loaded, times, strict=True)}
        return {"milliseconds": medians, "failures": failures}

    def _scored(self, name: str, key: str, load: Callable[[], Candidate]) -> Scores:
        """Return kept scores, and measure those that lack."""
        found: Scores = {}
        place = sets_folder(self.request.sets_dir).resolve()
        keys = {which: f"scored|{key}|{which}|{place}" for which in self.sets}
        missing = [which for which in self.sets if keys[which] not in self._scores]
        if missing:
            self.request.log(f"Scoring {name} on {', '.join(missing)}")
            contender = load()
        for which in self.sets:
            if which in missing:
                report = evaluate([contender], [which], self.request.sets_dir)
                self.failures += [f"{name}: {failure.message}" for failure in report.failures]
                for result in report.results:
                    if result.model == name:
                        self._scores[keys[which]] = [result.set, result.psnr, result.ssim, report.sets[0].warning]
            if keys[which] in self._scores:
                title, psnr, ssim, warning = self._scores[keys[which]]
                found[title] = (psnr, ssim)
                if warning:
                    self.warnings[warning] = None
        return found


class _Kept(dict[str, Any]):
    """A dictionary that is its file, written whole at every change."""

    def __init__(self, path: Path) -> None:
        super().__init__(_read(path))
        self._path = path

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        write_bytes(self._path, (json.dumps(self, indent=1) + "\n").encode())


def _runner(engine: Engine) -> Callable[[], object]:
    height, width = (side // engine.traits.scale for side in LATENCY_OUTPUT)
    return runner(engine, height, width)


def _read(path: Path) -> dict[str, Any]:
    """Return what was measured before; a damaged file counts as none, because everything can be measured again."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
