"""Models as candidates of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import PurePath

from rlfn.evaluation.benchmark import Candidate
from rlfn.inference.upscaler import Upscaler


def load_candidates(
    models: Sequence[str],
    engine: str = "auto",
    threads: int | None = None,
    self_ensemble: bool = False,
    precision: str = "fp32",
) -> list[Candidate]:
    """Load models into engines; pictures run whole, as in the papers.

    Args:
        models: packaged names and files; duplicates are ignored.
        engine: a name or ``"auto"``.
        threads: CPU threads; None for all.
        self_ensemble: average eight flips and rotations, and add a ``+`` to the name.
        precision: see :class:`rlfn.inference.upscaler.Upscaler`; fp32 by default, so that scores are comparable.

    Raises:
        OptionError, ModelError, MissingExtraError: a model cannot be loaded.
    """
    paths = list(dict.fromkeys(models))
    loaded = [Upscaler(path, engine=engine, threads=threads, tile=0, precision=precision) for path in paths]
    candidates = []
    for name, upscaler in zip(distinct_names(paths, [upscaler.model for upscaler in loaded]), loaded, strict=True):
        run = partial(upscaler, self_ensemble=True) if self_ensemble else upscaler
        candidates.append(
            Candidate(name + "+" * self_ensemble, upscaler.scale, run, upscaler.engine, upscaler.precision)
        )
    return candidates


def distinct_names(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names, with duplicates replaced by the shortest parts of their paths that are distinct.

    Slashes become ``_``, so that a name can be used as a folder.

    >>> distinct_names(["a/run-1/model.pth", "a/run-2/model.pth", "x/other.pth"], ["model", "model", "other"])
    ['run-1', 'run-2', 'other']
    >>> distinct_names(["run/model.pth", "run/model.onnx", "model.pth"], ["model", "model", "model"])
    ['run_model.pth', 'model.onnx', 'model.pth']
    """
    found = list(names)
    for name in {name for name in names if list(names).count(name) > 1}:
        places = [place for place, other in enumerate(names) if other == name]
        for place, part in zip(places, _differing([PurePath(paths[place]).parts for place in places]), strict=True):
            found[place] = part
    return found


def _differing(paths: list[tuple[str, ...]]) -> list[str]:
    """Return for each path the shortest run of its parts that differs from all other paths, counted from the end."""
    longest = max(len(parts) for parts in paths)
    ended = [("",) * (longest - len(parts)) + parts for parts in paths]
    # a single part that differs in all paths is the most readable; the file name is the last part
    for place in range(longest - 1, -1, -1):
        column = [parts[place] for parts in ended]
        if len(set(column)) == len(column) and "" not in column:
            return column
    found = []
    for parts in ended:
        length = next(
            (count for count in range(1, longest) if sum(other[-count:] == parts[-count:] for other in ended) == 1),
            longest,
        )
        found.append("_".join(part.strip("/") for part in parts[-length:] if part.strip("/")))
    return found
