"""The training loop: ``setup``, then ``fit`` for each stage, then ``validate`` and ``save`` whenever it is time.

Devices, precision and processes are Lightning Fabric's. :mod:`rlfn.training.run` sets a run up; what happens in a step
is in :class:`rlfn.training.learner.Learner`; the loop decides when a stage ends, when to look, when to save, and what
follows from the guard's verdicts.
"""

from __future__ import annotations

import itertools
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import rlfn
from rlfn.errors import TrainingError
from rlfn.training.degradations import make_degradation
from rlfn.training.guard import Guard, Verdict
from rlfn.training.learner import Learner, Position, Step
from rlfn.training.recipe import Recipe
from rlfn.training.reporting import duration, time_left
from rlfn.training.results import write_model, write_results
from rlfn.training.run import Devices, Run, setup
from rlfn.training.sampling import Batch, batches, sample_batch


def train(
    recipe: Recipe,
    out: Path,
    *,
    data: Path | None = None,
    where: Devices | None = None,
    resume: bool = False,
    now: Callable[[], float] = time.perf_counter,
) -> bool:
    """Train what ``recipe`` says and write everything under ``out``.

    Args:
        recipe: the resolved recipe; on resuming, that of :func:`settings_of_run`.
        out: the run's folder.
        data: a pack, instead of the recipe's own ``data.train``.
        where: devices; one of what the machine has by default.
        resume: go on from the newest checkpoint in ``out``.
        now: the clock of stages in hours, in seconds.

    Returns:
        Whether the run came to its end; False if a signal stopped it.

    Raises:
        OptionError, DataError, ModelError: something that was given does not fit.
        OutputError: a file cannot be written.
        TrainingError: the loss exploded again after the roll-back.
    """
    run = setup(recipe, out, data, where or Devices(), resume, now)
    recipe = run.recipe
    try:
        learner = go_on(run) if resume else begin_stage(run, None)
        run.reporter.open()
        while fit(run, learner):
            validate(run, learner)
            if run.position.stage + 1 == len(recipe.stages):
                save(run, learner)
                if run.fabric.is_global_zero:
                    write_results(out, learner.ema.network, recipe, run.pack, run.position, run.reporter)
                return True
            if run.fabric.is_global_zero:
                name = f"stage-{run.position.stage + 1}.safetensors"
                write_model(out / name, learner.ema.network, recipe, run.pack, run.position)
            run.position.next_stage()
            learner = begin_stage(run, learner)
        run.reporter.say(
            f"Stopped at iteration {run.position.total}, everything is saved. Go on with: rlfn train --resume {out}"
        )
        return False
    finally:
        run.stop.restore()
        run.reporter.close()


def begin_stage(run: Run, before: Learner | None) -> Learner:
    """Start the stage at the run's position and save its beginning, to which a roll-back can return."""
    learner = Learner.start(run.fabric, run.recipe, run.position.stage, before)
    run.clock.seconds = 0.0
    run.guard.new_stage()
    save(run, learner)
    return learner


def go_on(run: Run) -> Learner:
    """Take up the run where its newest whole checkpoint left it."""
    state, passed = run.checkpoints.load_last()
    for sentence in passed:
        run.reporter.say(f"{sentence} The one before it is used.")
    run.guard = Guard(**state["guard"])
    run.best = state["best"]
    learner = _restore(run, state)
    run.reporter.drop_after(run.position.total)
    run.reporter.say(f"Going on at iteration {run.position.total}, in stage {run.position.stage + 1}.")
    return learner


def _restore(run: Run, state: dict[str, Any]) -> Learner:
    run.position = Position(**state["position"])
    run.clock.seconds = run.position.seconds
    return Learner.restore(run.fabric, run.recipe, run.position.stage, state["learner"])


def fit(run: Run, learner: Learner) -> bool:
    """Train until the stage ends (True) or a signal asks to stop (False)."""
    samples = _samples(run)
    logged, began = run.position.total, time.monotonic()
    while run.progress < 1.0:
        run.clock.start()
        _, batch = next(samples)
        lr, hr = (_to_device(run, half) for half in batch)
        step = learner.step(lr, hr, run.progress, run.position.rate, run.guard)
        run.clock.stop()
        if step.verdict in (Verdict.ROLL_BACK, Verdict.STOP):
            _roll_back(run, learner, step, batch)
            samples = _samples(run)
            logged, began = run.position.total, time.monotonic()
            continue
        run.position.advance(lr.shape[0] * lr.shape[2] * lr.shape[3] * run.fabric.world_size)
        stop, look, keep = _agree(run)
        if run.position.total % run.recipe.log_every == 0:
            rate = (run.position.total - logged) / max(time.monotonic() - began, 1e-9)
            _log(run, step, rate * lr.shape[0] * run.fabric.world_size, rate)
            logged, began = run.position.total, time.monotonic()
        if look and run.progress < 1.0:
            validate(run, learner)
        if stop or (keep and run.guard.in_a_row == 0):
            save(run, learner)
        if stop:
            return False
    return True


def _samples(run: Run) -> Iterator[tuple[int, Batch]]:
    """Return this device's share of every batch from the run's position on, drawn ahead in a thread."""
    rank, world = run.fabric.global_rank, run.fabric.world_size
    stage, offset = run.stage, run.position.total - run.position.iteration
    pictures = run.pack.split(run.recipe.data.held_out, "train")
    degradation = make_degradation(run.recipe.data.degradation, run.recipe.data.degradation_settings)

    def draw(iteration: int) -> Batch:
        patch, batch = stage.sizes(run.position.progress(stage, iteration - offset), run.recipe.scale)
        return sample_batch(
            run.pack,
            seed=run.recipe.seed + run.position.roll_backs,
            iteration=iteration,
            first=rank * (batch // world),
            count=batch // world,
            scale=run.recipe.scale,
            patch=patch,
            pictures=pictures,
            degradation=degradation,
            skip_flat=run.recipe.data.skip_flat,
        )

    return batches(draw, itertools.count(run.position.total))


def _to_device(run: Run, half: NDArray[np.uint8]) -> Tensor:
    """Return a batch as float32 in [0, 1] on the device, a pixel's channels beside each other."""
    planes = torch.from_numpy(half).to(run.fabric.device)
    return planes.to(torch.float32, memory_format=torch.channels_last).div_(255.0)


def _agree(run: Run) -> tuple[bool, bool, bool]:
    """Return (stop, look, keep), and set the clock: the first process decides for all, any of them may ask to stop."""
    seconds = run.clock.seconds
    look, keep = run.look.due(run.position.total), run.keep.due(run.position.total)
    stop = run.stop.asked
    if run.fabric.world_size > 1:
        first = float(run.fabric.is_global_zero)
        mine = torch.tensor([seconds * first, look * first, keep * first, float(stop)], dtype=torch.float64)
        summed = run.fabric.all_reduce(mine.to(run.fabric.device), reduce_op="sum")
        seconds, look, keep, stop = float(summed[0]), bool(summed[1]), bool(summed[2]), bool(summed[3])
    run.position.seconds = run.clock.seconds = seconds
    return stop, look, keep


def _log(run: Run, step: Step, patches: float, iterations: float) -> None:
    position = run.position
    row = {
        "iteration": position.total,
        "stage": position.stage + 1,
        "progress": run.progress,
        "seconds": position.earlier_seconds + position.seconds,
        "loss": step.loss,
        "mean_loss": run.guard.mean,
        **{f"loss_{name}": float(value) for name, value in step.parts.items()},
        "rate": step.rate,
        "patches_per_second": patches,
        "skipped": run.guard.skipped,
    }
    text = (
        f"stage {position.stage + 1}/{len(run.recipe.stages)} {run.progress:6.1%}  iteration {position.total}"
        f"  loss {run.guard.mean:.5f}  rate {step.rate:.2e}  {patches:.1f} patches/s"
        f"  left {duration(time_left(run.stage, position, iterations))}"
    )
    run.reporter.metrics(row, text, run.progress)


def validate(run: Run, learner: Learner) -> None:
    """Score the averaged weights on the fixed pictures and keep them as ``best.safetensors`` if none were better."""
    run.look.done = time.monotonic()
    if run.validator is not None:
        score, picture = run.validator.score(learner.ema.network)
        row = {
            "iteration": run.position.total,
            "stage": run.position.stage + 1,
            "seconds": run.position.earlier_seconds + run.position.seconds,
            "psnr": score.psnr,
            "ssim": score.ssim,
        }
        text = f"validation after iteration {run.position.total}: {score.psnr:.3f} dB, SSIM {score.ssim:.4f}"
        run.reporter.metrics(row, text, run.progress)
        run.reporter.picture(picture, run.position.total)
        if score.psnr > run.best:
            run.best = score.psnr
            facts = {"validation_psnr": f"{score.psnr:.4f}", "validation_ssim": f"{score.ssim:.5f}"}
            write_model(run.out / "best.safetensors", learner.ema.network, run.recipe, run.pack, run.position, facts)
    run.fabric.barrier()


def save(run: Run, learner: Learner) -> None:
    """Write a checkpoint of everything; the first process writes, the others wait."""
    run.keep.done = time.monotonic()
    if run.fabric.is_global_zero:
        state = {
            "learner": learner.state(),
            "position": asdict(run.position),
            "guard": run.guard.state(),
            "best": run.best,
            "recipe": run.recipe.model_dump_json(),
            "recipe_sha256": run.recipe.hash(),
            "data": str(run.pack.path.resolve()),
            "versions": {
                "rlfn": rlfn.__version__,
                "torch": str(torch.__version__),
                "python": platform.python_version(),
            },
        }
        run.checkpoints.save(run.position.total, state)
    run.fabric.barrier()


def _roll_back(run: Run, learner: Learner, step: Step, batch: Batch) -> None:
    """Return to the last checkpoint at a lower rate; the second time, save the batch and stop.

    Raises:
        TrainingError: the run was rolled back before in this stage.
    """
    if step.verdict is Verdict.STOP:
        path = run.out / f"stopped-batch-{run.fabric.global_rank}.npz"
        np.savez(path, lr=batch[0], hr=batch[1])
        raise TrainingError(
            f"The loss exploded again after the run had been rolled back (now {step.loss:.4g}). Its last batch is in "
            f"{path}. Look at it, or start again with a lower optimizer.lr or with optimizer.clip."
        )
    spent = run.position.seconds
    state, _ = run.checkpoints.load_last()
    run.position = Position(**state["position"])
    run.position.seconds = max(spent, run.position.seconds)
    run.position.rate *= run.recipe.guard.slower
    run.position.roll_backs += 1
    learner.load(state["learner"])
    run.guard.after_roll_back()
    run.reporter.say(
        f"The loss exploded ({step.loss:.4g}): back to iteration {run.position.total}, at "
        f"{run.position.rate:g} of the learning rate."
    )
    save(run, learner)
