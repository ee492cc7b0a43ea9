"""Models as contenders of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rlfn.evaluation.benchmark import Contender
from rlfn.inference.upscaler import Upscaler


def load_contenders(
    models: Sequence[str], engine: str = "auto", threads: int | None = None, self_ensemble: bool = False
) -> list[Contender]:
    """Load models into engines; pictures run whole, as the papers' do. Equal names are told apart by their paths.

    Args:
        models: packaged names and files; one that is named twice counts once.
        engine: a name or ``"auto"``.
        threads: CPU threads; None for all.
        self_ensemble: average eight flips and rotations, and add a ``+`` to the name.

    Raises:
        OptionError, ModelError, MissingExtraError: a model cannot be loaded.
    """
    paths = list(dict.fromkeys(models))
    loaded = [Upscaler(path, engine, threads, tile=0) for path in paths]
    stems = [upscaler.model for upscaler in loaded]
    contenders = []
    for path, upscaler in zip(paths, loaded, strict=True):
        name = upscaler.model if stems.count(upscaler.model) == 1 else path.replace("/", "_")
        run = partial(upscaler, self_ensemble=True) if self_ensemble else upscaler
        contenders.append(Contender(name + "+" * self_ensemble, upscaler.scale, run, upscaler.engine))
    return contenders
