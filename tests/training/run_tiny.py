"""Train the tiny network in a process of its own: RECIPE_JSON OUT PACK [die-at STEP | two | machines [STEP] | resume].

A run that OUT holds goes on from its newest checkpoint; with ``resume`` there has to be one. With ``two`` each step
lasts a second by the first process's clock and seven by the second's. With ``machines`` it is one of two machines, of
which the second is lost at a step.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from tiny import TINY

from rlfn.errors import RlfnError
from rlfn.models.variants import VARIANTS
from rlfn.training import results
from rlfn.training.devices import Devices
from rlfn.training.learner import Learner, Step
from rlfn.training.loop import train
from rlfn.training.recipe import Recipe

if __name__ == "__main__":
    torch.set_num_threads(1)
    VARIANTS["tiny"] = TINY
    results._write_onnx = lambda *given: None
    recipe, out, data, *more = sys.argv[1:]
    devices = Devices("cpu")
    if more[:1] == ["two"]:
        devices = Devices("cpu", devices=2, strategy="ddp")
    elif more[:1] == ["machines"]:
        devices = Devices("cpu", nodes=2, strategy="ddp")
    if more[1:] and os.environ.get("RANK") in (None, "1"):
        step, count = Learner.step, itertools.count(1)

        def killed(self: Learner, *given: Any) -> Step:
            if next(count) == int(more[1]):
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self, *given)

        Learner.step = killed  # type: ignore[method-assign]
    now = itertools.count(0.0, 7.0 if os.environ.get("RANK") == "1" else 1.0).__next__
    resume = more[:1] == ["resume"] or any(Path(out, "checkpoints").glob("*.ckpt"))
    try:
        train(Recipe.model_validate_json(recipe), Path(out), data=Path(data), devices=devices, now=now, resume=resume)
    except RlfnError as error:
        sys.exit(f"rlfn: {error}")
