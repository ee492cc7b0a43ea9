"""Training steps compared with a plain loop, with the same network, batch and threads, interleaved in one process.

    python benchmarks/training.py [--pictures DIR] [--variant rlfn-s] [--scale 4] [--patch 48] [--batch 16]
                                  [--rounds 5] [--threads N]

The plain loop is what EDSR-style frameworks do: a PNG is decoded with Pillow for every sample, each sample is mirrored
and rotated separately, Adam runs without batched kernels, and a loop over the parameters updates their average. The
output is samples per second of loading alone and of whole steps, the fraction of our step spent in the network's
forward and backward pass, and the fraction spent in Muon. Every figure is a median over the rounds.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from data_loading import load_packed, load_plain, make_pictures, write_pngs
from rlfn.data.crops import SampleBatch, batches
from rlfn.data.packing import make_pack
from rlfn.models.variants import get_variant
from rlfn.networks.build import build
from rlfn.training.guard import Guard
from rlfn.training.learner import Learner
from rlfn.training.losses import l1
from rlfn.training.optim import Optimizer
from rlfn.training.recipe import Recipe, Stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="a folder of pictures; by default 8 made-up ones of 2040x1356")
    parser.add_argument("--variant", default="rlfn-s")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--patch", type=int, default=48, help="low-resolution pixels a side")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as work:
        compare(options, Path(work))


def compare(options: argparse.Namespace, work: Path) -> None:
    folder = options.pictures or make_pictures(work / "pictures")
    side = options.patch * options.scale
    pack = make_pack([folder], work / "pack", scales=(options.scale,), min_side=side, skip=True).pack
    pngs = write_pngs(pack, options.scale, work / "png")
    learners = {name: make_learner(options, Optimizer(name=name, lr=1e-4)) for name in ("adam", "muon")}
    guard = Guard()
    ahead = batches(lambda iteration: load_packed(pack, options, iteration), itertools.count())
    plain = PlainLoop(options)
    numbers = itertools.count()

    def our_step(name: str) -> None:
        lr, hr = (to_unit(half) for half in next(ahead)[1])
        learners[name].step(lr, hr, 0.0, 1.0, guard)

    fixed = tuple(to_unit(half) for half in load_packed(pack, options, 0))
    alone = learners["adam"].network

    def network_alone() -> None:
        l1(alone(fixed[0]), fixed[1]).backward()

    muon = learners["muon"]
    network_alone()
    for parameter in muon.network.parameters():
        parameter.grad = torch.randn_like(parameter)
    works: dict[str, Callable[[], object]] = {
        "loading, ours": lambda: load_packed(pack, options, next(numbers)),
        "loading, plain": lambda: load_plain(pack, pngs, options, next(numbers)),
        "step, ours (adam)": lambda: our_step("adam"),
        "step, plain (adam)": lambda: plain.step(load_plain(pack, pngs, options, next(numbers))),
        "step, ours (muon)": lambda: our_step("muon"),
        "network alone": network_alone,
        "muon alone": lambda: muon_alone(muon),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(options.rounds + 1):
        for name, work_once in works.items():
            start = time.perf_counter()
            work_once()
            if number > 0:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    report(options, {name: statistics.median(found) for name, found in times.items()})


def report(options: argparse.Namespace, seconds: dict[str, float]) -> None:
    print(f"{options.variant} x{options.scale}, {options.batch} patches of {options.patch}x{options.patch}")
    for name, value in seconds.items():
        print(f"{name:20s} {1e3 * value:10.2f} ms {options.batch / value:12,.1f} samples/s")
    ours, plain = seconds["step, ours (adam)"], seconds["step, plain (adam)"]
    print(f"loading, ours / plain            {seconds['loading, plain'] / seconds['loading, ours']:6.1f}")
    print(f"whole steps, ours / plain        {plain / ours:6.2f}")
    print(f"network's share of our step      {seconds['network alone'] / ours:6.1%}")
    print(f"Muon's share of its step         {seconds['muon alone'] / seconds['step, ours (muon)']:6.1%}")
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, {options.threads} threads"
    print(f"{versions}, {platform.machine()}", file=sys.stderr)


def make_learner(options: argparse.Namespace, optimizer: Optimizer) -> Learner:
    stage = Stage(init="scratch", iterations=1, patch=options.patch, batch=options.batch, optimizer=optimizer)
    recipe = Recipe(variant=options.variant, scale=options.scale, stages=(stage,))
    return Learner.start(Fabric(accelerator="cpu", devices=1), recipe, 0, None)


def muon_alone(learner: Learner) -> None:
    gradients = [parameter.grad for parameter in learner.network.parameters()]
    if gradients[0] is None:  # the step before has taken them
        for parameter in learner.network.parameters():
            parameter.grad = torch.ones_like(parameter)
    learner.optimizer.step()


def to_unit(half: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(half).float().div_(255.0)


class PlainLoop:
    """One network with torch's unbatched Adam, and the average of its weights kept parameter by parameter."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.network = build(get_variant(options.variant), options.scale).train()
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4, foreach=False)

    def step(self, batch: SampleBatch) -> None:
        lr, hr = (to_unit(half) for half in batch)
        self.optimizer.zero_grad()
        loss = torch.nn.functional.l1_loss(self.network(lr), hr)
        loss.backward()
        self.optimizer.step()
        loss.item()
        with torch.no_grad():
            mine = dict(self.average.named_parameters())
            for name, parameter in self.network.named_parameters():
                mine[name].mul_(0.999).add_(parameter, alpha=0.001)


if __name__ == "__main__":
    main()
