"""The table of studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rlfn.errors import OptionError
from rlfn.studies import architecture, compute, contrastive, esa, features, generality, replication, results, warm_start
from rlfn.studies.arms import MINI
from rlfn.studies.request import StudyRequest
from rlfn.studies.runs import check_sets_folder
from rlfn.wording import listing, setting


@dataclass(frozen=True)
class Study:
    """``run(request)`` writes everything into ``request.out``; it returns False where it was asked to stop.

    With the budget ``mini``, :func:`rlfn.studies.replication.run` takes its place.
    """

    run: Callable[[StudyRequest], bool]
    about: str
    trains: bool


STUDIES: dict[str, Study] = {
    "architecture": Study(architecture.run, "the block from RFDN's to RLFN's: cost and quality", trains=True),
    "compute": Study(compute.run, "PSNR against training compute, with a fitted law", trains=False),
    "contrastive": Study(contrastive.run, "the contrastive loss with each feature extractor", trains=True),
    "esa": Study(esa.run, "ESA's group of convolutions: sensitivity, three against one", trains=True),
    "features": Study(features.run, "what each extractor tells apart in a picture and its blurred copy", trains=False),
    "generality": Study(generality.run, "warm start and contrastive loss on EDSR", trains=True),
    "results": Study(results.run, "the main table: every model at hand beside what papers print", trains=False),
    "warm-start": Study(warm_start.run, "warm starts against one long run and a cyclical rate", trains=True),
}
"""Every study by the name that ``rlfn study`` uses."""


def run_study(name: str, request: StudyRequest) -> bool:
    """Run a study at the budget that is asked for; return False where it was asked to stop.

    Raises:
        OptionError: the study has no miniature.
        DataError: the folder of the sets is named, and none is there.
    """
    check_sets_folder(request)
    if not request.budget.mini:
        return STUDIES[name].run(request)
    if name not in MINI:
        raise OptionError(
            f"The study {name} trains nothing, so it has no miniature. Leave out {setting('budget', request.budget)}. "
            f"Studies in miniature: {listing(MINI)}."
        )
    return replication.run(name, request)
