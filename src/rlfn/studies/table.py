"""The table of studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rlfn.studies import architecture, contrastive, esa, features, generality, results, warm_start
from rlfn.studies.request import StudyRequest


@dataclass(frozen=True)
class Study:
    """``run(request)`` writes everything into ``request.out``; it returns False where it was asked to stop."""

    run: Callable[[StudyRequest], bool]
    about: str
    trains: bool


STUDIES: dict[str, Study] = {
    "architecture": Study(architecture.run, "the block from RFDN's to RLFN's: cost and quality", trains=True),
    "contrastive": Study(contrastive.run, "the contrastive loss with each feature extractor", trains=True),
    "esa": Study(esa.run, "ESA's group of convolutions: sensitivity, three against one", trains=True),
    "features": Study(features.run, "what each extractor tells apart in a picture and its blurred copy", trains=False),
    "generality": Study(generality.run, "warm start and contrastive loss on EDSR", trains=True),
    "results": Study(results.run, "the main table: every model at hand beside what papers print", trains=False),
    "warm-start": Study(warm_start.run, "warm starts against one long run and a cyclical rate", trains=True),
}
"""Every study by the name that ``rlfn study`` uses."""
