"""Training steps with memory as `rlfn train` keeps it and as glibc does by default, in processes by turns.

    python benchmarks/training_memory.py [--variant rlfn-s] [--scale 4] [--patch 48] [--batch 16]
                                         [--steps 20] [--rounds 3]

Each process makes three steps to warm up. The output is, for both, the median over the rounds of LR pixels per second,
page faults per step and peak memory, and the ratio of the speeds. On another C library than glibc both are the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="rlfn-s")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--patch", type=int, default=48, help="low-resolution pixels a side")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kept", choices=("yes", "no"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kept:
        print(json.dumps(measure(options)))
        return
    found: dict[str, list[dict[str, float]]] = {"no": [], "yes": []}
    for _ in range(options.rounds):
        for kept, rows in found.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--kept", kept]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    rates = dict[str, float]()
    for kept, name in (("no", "glibc's default"), ("yes", "memory kept")):
        row = {key: statistics.median(row[key] for row in found[kept]) for key in found[kept][0]}
        rates[kept] = row["rate"]
        print(
            f"{name:16s} {row['rate']:8,.0f} LR px/s {row['faults']:8,.0f} page faults per step "
            f"{row['peak'] / 2**20:6,.0f} MiB"
        )
    print(f"speed, kept / default  {rates['yes'] / rates['no']:.2f}")


def measure(options: argparse.Namespace) -> dict[str, float]:
    from rlfn.cli import tuning

    tuning._keep_from_spinning()
    if options.kept == "yes":
        tuning._keep_freed_memory()

    import torch
    from lightning_fabric import Fabric

    from rlfn.training.guard import Guard
    from rlfn.training.learner import Learner
    from rlfn.training.recipe import Optimizer, Recipe, Stage

    muon = Optimizer(name="muon", lr=1e-3)
    stage = Stage(init="interpolate", iterations=1, patch=options.patch, batch=options.batch, optimizer=muon)
    recipe = Recipe(variant=options.variant, scale=options.scale, stages=(stage,))
    learner = Learner.start(Fabric(accelerator="cpu", devices=1), recipe, 0, None)
    guard = Guard(recipe.guard.spike, recipe.guard.max_skipped)
    shape = (options.batch, 3, options.patch, options.patch)
    lr = torch.rand(shape).to(memory_format=torch.channels_last)
    hr = torch.rand(*shape[:2], *(options.patch * options.scale,) * 2).to(memory_format=torch.channels_last)
    for number in range(WARM_UP + options.steps):
        if number == WARM_UP:
            begun, faults = time.perf_counter(), page_faults()
        learner.step(lr.clone(), hr.clone(), 0.5, 1.0, guard)
    seconds = time.perf_counter() - begun
    return {
        "rate": options.steps * options.batch * options.patch**2 / seconds,
        "faults": (page_faults() - faults) / options.steps,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    main()
