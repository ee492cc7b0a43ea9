"""Mutated files: every one is taken or refused with a sentence, in time, by a process that lives on.

The long part: ``pytest tests/hostile -m heavy -s``. RLFN_MUTATIONS is how many files it tries, 10,000 by default.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile import samples
from hostile.campaign import Victim, run
from hostile.mutations import mutated
from rlfn.data.pack import INDEX, seal

MANY = int(os.environ.get("RLFN_MUTATIONS", "10000"))

KINDS: dict[str, tuple[Callable[[], dict[str, bytes]], float]] = {
    "picture": (samples.pictures, 0.7),
    "model": (samples.graphs, 0.1),
    "tensors": (samples.tensors, 0.1),
    "recipe": (samples.recipes, 0.1),
}
"""By kind: what is changed, and its share of a campaign."""


@pytest.mark.parametrize("kind", ["picture", "model", "recipe"])
def test_some_mutations(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    if kind == "recipe":
        pytest.importorskip("pydantic")
    made, _ = KINDS[kind]
    assert run(kind, made(), 60 if kind == "picture" else 15, tmp_path)["violated"] == 0


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutations(kind: str, tmp_path: Path) -> None:
    made, share = KINDS[kind]
    assert run(kind, made(), round(MANY * share), tmp_path, seed=1)["violated"] == 0


@pytest.mark.heavy
def test_many_packs(tmp_path: Path) -> None:
    path = samples.packs(tmp_path)
    good, victim, figures = (path / INDEX).read_bytes(), Victim(), {"ok": 0, "refused": 0, "violated": 0}
    count = round(MANY * 0.05)
    for number in range(count):
        data = mutated(good, good, random.Random(number))
        try:
            index = json.loads(data)
            data = json.dumps(seal(index)).encode() if isinstance(index, dict) else data
        except (ValueError, RecursionError):
            pass
        (path / INDEX).write_bytes(data)
        figures[victim("pack", path).split(None, 1)[0].rstrip(":")] += 1
    victim.end()
    print(f"pack: {count} tried, {figures}")
    assert figures["violated"] == 0
