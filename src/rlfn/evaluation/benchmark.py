"""Scores of models on test sets: the numbers reported in papers.

PSNR and SSIM on Y with a border of ``scale`` px cropped; PSNR on RGB with the same border, as in the NTIRE challenges.
Results are rounded to 8 bit before they are measured; a set's score is the mean over its pictures. Sets can be
spoiled first, to resemble real pictures.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlfn.atomic import make_folder
from rlfn.errors import OptionError, RlfnError
from rlfn.evaluation.metrics import score_rgb, score_y
from rlfn.evaluation.scores import BenchmarkReport, Failure, ImageResult, Result, SetFacts
from rlfn.evaluation.sets import Fingerprint, PicturePair, PictureSet, Sample, find_set, read_pair, warning
from rlfn.evaluation.similarity import check_metrics, similarity_score
from rlfn.evaluation.spoil import CLEAN, Spoil
from rlfn.images.color import to_rgb
from rlfn.images.files import Picture, write_picture
from rlfn.images.resize import resize

Upscale = Callable[[NDArray[np.uint8]], NDArray[Any]]
"""Takes (h, w, 3) uint8 RGB and returns (s h, s w, 3) uint8."""

ScoringProgress = Callable[[str, str, int, int], None]
"""Called with set, picture, number of pictures done and number of pictures."""

_BACKLOG = 8  # maximum number of results that wait to be scored

BICUBIC = "bicubic"
"""The name of the baseline row in every table."""


@dataclass(frozen=True)
class Candidate:
    """Something that upscales: a model on an engine, or bicubic."""

    name: str
    scale: int
    upscale: Upscale
    engine: str
    precision: str = "fp32"


def bicubic(scale: int) -> Candidate:
    """Return MATLAB's bicubic as a candidate."""
    return Candidate(BICUBIC, scale, lambda lr: resize(lr, scale=float(scale)), "numpy")


def evaluate(
    candidates: Sequence[Candidate],
    sets: Sequence[str],
    sets_dir: str | Path | None = None,
    *,
    save: Path | None = None,
    progress: ScoringProgress | None = None,
    spoils: Sequence[Spoil] = (Spoil(CLEAN),),
    metrics: Sequence[str] = (),
) -> BenchmarkReport:
    """Score candidates on sets; bicubic is added for every scale.

    A set or a candidate that fails is listed in the report and does not stop the others.

    Args:
        candidates: models of any scales; each is measured on the sets at its own scale.
        sets: names or folders, see :func:`rlfn.evaluation.sets.find_set`.
        sets_dir: the folder that holds the sets.
        save: write every result to ``save/SET_xS/MODEL/PICTURE.png``.
        progress: called after each picture.
        spoils: how the low-resolution pictures are spoiled first; each gives separate results.
        metrics: additional metrics, names of :data:`rlfn.evaluation.similarity.METRICS`.

    Raises:
        OptionError: there is no such metric, there are no candidates, or two have the same name and scale.
    """
    names = [(candidate.name, candidate.scale) for candidate in candidates]
    if not names or len(set(names)) < len(names):
        raise OptionError("An evaluation needs at least one model, and models of different names.")
    metrics = check_metrics(metrics)
    facts: list[SetFacts] = []
    results: list[Result] = []
    failures: list[Failure] = []
    for scale in sorted({candidate.scale for candidate in candidates}):
        measured = [bicubic(scale), *(candidate for candidate in candidates if candidate.scale == scale)]
        warmed: set[str] = set()
        for which in sets:
            try:
                found = find_set(which, scale, sets_dir)
                for number, spoil in enumerate(spoils):
                    run = _SetRun(found, measured, warmed, _How(save, spoil, metrics))
                    run.measure(progress)
                    facts += [run.facts()] if number == 0 else []
                    results += run.results()
                    failures += run.failures
            except RlfnError as error:
                failures.append(Failure(which, scale, None, error.template))
    return BenchmarkReport(tuple(facts), tuple(results), tuple(failures))


class _How(NamedTuple):
    save: Path | None
    spoil: Spoil
    metrics: tuple[str, ...]

    @property
    def label(self) -> str:
        """Suffix of names for the kind of spoiling."""
        return "" if self.spoil.name == CLEAN else f"_{self.spoil.name}"


class _SetRun:
    """The measurement of one set at one scale.

    The calling thread runs the engines; another thread reads, scores and writes at the same time.
    """

    def __init__(self, found: PictureSet, candidates: list[Candidate], warmed: set[str], how: _How) -> None:
        self.found = found
        self.candidates = {candidate.name: candidate for candidate in candidates}
        self.failures: list[Failure] = []
        self._warmed = warmed
        self._how = how
        self._images: dict[str, list[ImageResult]] = {candidate.name: [] for candidate in candidates}
        self._hr, self._lr = Fingerprint(), Fingerprint()

    def measure(self, progress: ScoringProgress | None) -> None:
        pairs = self.found.pairs
        waiting: deque[tuple[Candidate, str, Future[ImageResult]]] = deque()
        with ThreadPoolExecutor(1) as worker:
            upcoming = worker.submit(self._read, pairs[0])
            for done, pair in enumerate(pairs, 1):
                sample = upcoming.result()
                if done < len(pairs):
                    upcoming = worker.submit(self._read, pairs[done])
                for candidate in list(self.candidates.values()):
                    try:
                        sr, seconds = self._upscale(candidate, sample)
                    except RlfnError as error:
                        self._drop(candidate, sample.name, error)
                        continue
                    waiting.append((candidate, sample.name, worker.submit(self._score, candidate, sample, sr, seconds)))
                while len(waiting) > _BACKLOG:
                    self._collect(*waiting.popleft())
                if progress:
                    progress(self.found.name, pair.name, done, len(pairs))
            while waiting:
                self._collect(*waiting.popleft())

    def _read(self, pair: PicturePair) -> Sample:
        sample = read_pair(pair, self.found.scale)
        self._hr.add(sample.hr)
        self._lr.add(sample.lr)
        return replace(sample, lr=self._how.spoil(sample.lr, sample.name))

    def _upscale(self, candidate: Candidate, sample: Sample) -> tuple[NDArray[Any], float]:
        if candidate.name not in self._warmed:
            candidate.upscale(np.ascontiguousarray(sample.lr[:64, :64]))
            self._warmed.add(candidate.name)
        start = time.perf_counter()
        sr = candidate.upscale(sample.lr)
        return sr, time.perf_counter() - start

    def _score(self, candidate: Candidate, sample: Sample, sr: NDArray[Any], seconds: float) -> ImageResult:
        how = self._how
        if how.save is not None:
            folder = how.save / f"{self.found.name}_x{candidate.scale}{how.label}" / candidate.name
            save_png(folder / f"{sample.name}.png", sr)
        on_y = score_y(sr, sample.hr, candidate.scale)
        on_rgb = score_rgb(sr, sample.hr, candidate.scale)
        extra = {name: similarity_score(name, to_rgb(sr), sample.hr, candidate.scale) for name in how.metrics}
        return ImageResult(sample.name, on_y.psnr, on_y.ssim, on_rgb, seconds, extra)

    def _collect(self, candidate: Candidate, picture: str, score: Future[ImageResult]) -> None:
        try:
            self._images[candidate.name].append(score.result())
        except RlfnError as error:
            self._drop(candidate, picture, error)

    def _drop(self, candidate: Candidate, picture: str, error: RlfnError) -> None:
        """Exclude a candidate from this set: a mean over only some pictures would not be comparable."""
        if self.candidates.pop(candidate.name, None):
            message = f"{picture}{self._how.label}: {error.template}"
            self.failures.append(Failure(self.found.name, self.found.scale, candidate.name, message))

    def facts(self) -> SetFacts:
        found = self.found
        return SetFacts(
            name=found.name,
            scale=found.scale,
            root=str(found.root),
            lr_source=found.lr_source,
            pictures=len(found.pairs),
            hr_fingerprint=str(self._hr),
            lr_fingerprint=str(self._lr),
            warning=warning(found.name, found.scale, self._hr, self._lr),
        )

    def results(self) -> list[Result]:
        return [
            Result(
                self.found.name,
                self.found.scale,
                candidate.name,
                candidate.engine,
                tuple(self._images[candidate.name]),
                candidate.precision,
                self._how.spoil.name,
            )
            for candidate in self.candidates.values()
        ]


def save_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a picture (H, W) or (H, W, 3) as PNG, creating parent folders.

    Raises:
        OutputError: the file cannot be written.
    """
    make_folder(path.parent)
    write_picture(Picture(image), path)
