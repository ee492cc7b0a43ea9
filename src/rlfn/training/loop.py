"""The training loop: ``setup``, then ``fit`` for each stage, then ``validate`` and ``save`` whenever it is time.

Devices, precision and processes are Lightning Fabric's. :mod:`rlfn.training.run` sets a run up; what happens in a step
is in :class:`rlfn.training.learner.Learner`; the loop decides when a stage ends, when to validate and save, and how to
react to the guard's verdicts.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import rlfn
from rlfn.data.crops import batches
from rlfn.data.store import DataSource
from rlfn.errors import OutputError, PictureError, TrainingError
from rlfn.training.checkpoint import Checkpoints
from rlfn.training.devices import Devices
from rlfn.training.distributed import closed_group, explain_lost_process, run_lock
from rlfn.training.feeding import typical_batch, wanted_batches
from rlfn.training.guard import Verdict
from rlfn.training.learner import Learner, Step
from rlfn.training.recipe import Recipe
from rlfn.training.reporting import time_left
from rlfn.training.results import write_model, write_results
from rlfn.training.resuming import explain_other_version
from rlfn.training.run import TrainingRun, setup, summary_lines
from rlfn.training.signals import StopRequest
from rlfn.wording import duration


def train(
    recipe: Recipe,
    out: str | Path,
    *,
    data: str | Path | Sequence[DataSource] | None = None,
    devices: Devices | None = None,
    resume: bool = False,
    stop: StopRequest | None = None,
    now: Callable[[], float] = time.perf_counter,
) -> bool:
    """Run a training recipe and write everything under ``out``.

    Args:
        recipe: the resolved recipe; on resuming, that of :func:`settings_of_run`.
        out: the run's folder.
        data: a pack or a folder of pictures, or several of them, instead of the recipe's own ``data.train``.
        devices: the devices; one of what the machine has by default.
        resume: continue from the newest checkpoint in ``out``.
        stop: may ask the run to save and stop; a program can connect it to signals with
            :class:`rlfn.training.signals.SignalStop`.
        now: the clock of stages in hours, in seconds.

    Returns:
        Whether the run came to its end; False if it was asked to stop.

    Raises:
        OptionError, DataError, ModelError: something that was given does not fit, or another process trains in ``out``.
        OutputError: a file cannot be written.
        TrainingError: the loss exploded again after the roll-back, or another process of the run was lost.
    """
    sources = (DataSource(Path(data)),) if isinstance(data, str | Path) else tuple(data or ())
    out = Path(out)
    saved, passed = Checkpoints(out / "checkpoints", recipe.saving.keep).load_last() if resume else (None, [])
    with closed_group():
        run = setup(recipe, out, sources, devices or Devices(), stop or StopRequest(), now, saved)
        try:
            for line in (*(f"{sentence} The one before it is used." for sentence in passed), *summary_lines(run)):
                run.reporter.log(line)
            with run_lock(run), explain_lost_process(run), run.stop.watched():
                finished = _train(run, saved)
        except BaseException:
            with suppress(OutputError):  # what ended the run counts more
                run.reporter.close()
            raise
        run.reporter.close()
    return finished


def _train(run: TrainingRun, saved: dict[str, Any] | None) -> bool:
    """Train stage after stage; return whether the run came to its end."""
    learner = begin_stage(run, None) if saved is None else resume_stage(run, saved)
    run.reporter.open(run.state.total)
    while fit(run, learner):
        save(run, learner)
        validate(run, learner)
        if run.state.stage + 1 == len(run.recipe.stages):
            finish(run, learner)
            return True
        if run.fabric.is_global_zero:
            name = f"stage-{run.state.stage + 1}.safetensors"
            write_model(run.out / name, learner.ema.network, run)
        run.state.next_stage()
        learner = begin_stage(run, learner)
    run.reporter.log(f"Stopped at iteration {run.state.total}, everything is saved.")
    return False


def begin_stage(run: TrainingRun, before: Learner | None) -> Learner:
    """Start the stage at the run's position and save its beginning, to which a roll-back can return."""

    def samples() -> Tensor:
        lr, _ = run.feeder.load(run.feeder.draw(typical_batch(run.recipe, run.state)))
        return _in_units(lr)

    learner = Learner.start(run.fabric, run.recipe, run.state.stage, before, run.reporter.log, samples)
    save(run, learner)
    return learner


def resume_stage(run: TrainingRun, saved: dict[str, Any]) -> Learner:
    """Resume the run from a checkpoint."""
    with explain_other_version(saved, run.out):
        run.state.load(saved["state"])
    run.reporter.drop_after(run.state.total, scored=run.progress >= 1.0)
    run.reporter.log(f"Resuming at iteration {run.state.total}, in stage {run.state.stage + 1}.")
    with explain_other_version(saved, run.out):
        return Learner.restore(run.fabric, run.recipe, run.state.stage, saved["learner"])


def fit(run: TrainingRun, learner: Learner) -> bool:
    """Train until the stage ends (True) or the run is asked to stop (False)."""
    state = run.state
    samples = draw_ahead(run)
    logged, began = state.total, time.monotonic()
    while run.progress < 1.0:
        state.clock.start()
        try:
            drawn = next(samples)
        except PictureError as error:
            raise _saved_before(error, run, learner) from error
        lr, hr = run.feeder.load(drawn)
        step = learner.step(_in_units(lr), _in_units(hr), run.progress, state.rate, state.guard)
        state.clock.stop()
        if step.verdict in (Verdict.ROLL_BACK, Verdict.STOP):
            roll_back(run, learner, step, (lr, hr))
            samples = draw_ahead(run)
            logged, began = state.total, time.monotonic()
            continue
        state.advance(lr.shape[0] * lr.shape[2] * lr.shape[3] * run.fabric.world_size)
        stop, validation_due, checkpoint_due = _agree(run)
        if state.total % run.recipe.log_every == 0:
            rate = (state.total - logged) / max(time.monotonic() - began, 1e-9)
            _log(run, step, rate * lr.shape[0] * run.fabric.world_size, rate)
            logged, began = state.total, time.monotonic()
        if validation_due and run.progress < 1.0:
            validate(run, learner)
        if stop or (checkpoint_due and state.guard.in_a_row == 0):
            save(run, learner)
        if stop:
            return False
    return True


def validate(run: TrainingRun, learner: Learner) -> None:
    """Score the averaged weights on the fixed pictures and keep them as ``best.safetensors`` if none were better."""
    run.validation_timer.done = time.monotonic()
    state = run.state
    if run.validator is not None:
        scores = run.validator.score(learner.ema.network)
        row: dict[str, Any] = {
            "iteration": state.total,
            "stage": state.stage + 1,
            "seconds": state.seconds,
            "measured_on": run.validator.measured_on,
        }
        for number, (name, score) in enumerate(scores.items()):
            ending = f"_{name}" if number else ""
            row |= {f"psnr{ending}": score.psnr, f"ssim{ending}": score.ssim}
        first = next(iter(scores.values()))
        shown = "; ".join(f"{name} {score.psnr:.3f} dB, SSIM {score.ssim:.4f}" for name, score in scores.items())
        run.reporter.metrics(row, f"validation after iteration {state.total}: {shown}", run.progress)
        run.reporter.images(run.validator.results, state.total)
        run.validator.write(run.out / "validation" / f"{state.total:09d}")
        if first.psnr > state.best or run.validator.measured_on != state.best_on:
            state.best, state.best_on = first.psnr, run.validator.measured_on
            facts = {"validation_psnr": f"{first.psnr:.4f}", "validation_ssim": f"{first.ssim:.5f}"}
            write_model(run.out / "best.safetensors", learner.ema.network, run, facts)
    run.fabric.barrier()


def save(run: TrainingRun, learner: Learner) -> None:
    """Write a checkpoint of everything; the first process writes, the others wait."""
    run.checkpoint_timer.done = time.monotonic()
    learner.catch_up(run.state.guard)
    if run.fabric.is_global_zero:
        saved = {
            "learner": learner.dump(),
            "state": run.state.dump(),
            "recipe": run.recipe.model_dump_json(),
            "recipe_sha256": run.recipe.hash(),
            "data": [[str(source.path.resolve()), source.weight] for source in run.sources],
            **run.trained_on,
            "origins": run.origins,
            "versions": {
                "rlfn": rlfn.__version__,
                "torch": str(torch.__version__),
                "python": platform.python_version(),
            },
        }
        run.checkpoints.save(run.state.total, saved)
    run.fabric.barrier()


def finish(run: TrainingRun, learner: Learner) -> None:
    """Save the end of the last stage and write what the run leaves; the first process writes, the others wait."""
    save(run, learner)
    if run.fabric.is_global_zero:
        write_results(run, learner.ema.network)
    run.fabric.barrier()


def roll_back(run: TrainingRun, learner: Learner, step: Step, batch: tuple[Tensor, Tensor]) -> None:
    """Return to the last checkpoint at a lower rate; the second time, save the batch and stop.

    Raises:
        TrainingError: the run was rolled back before in this stage.
    """
    if step.verdict is Verdict.STOP:
        path = run.out / f"stopped-batch-{run.fabric.global_rank}.npz"
        np.savez(path, lr=batch[0].cpu().numpy(), hr=batch[1].cpu().numpy())
        raise TrainingError(
            f"The loss exploded again after the run had been rolled back (now {step.loss:.4g}). Its last batch is in "
            f"{path}. Look at it, or start again with a lower optimizer.lr or with optimizer.clip."
        )
    saved, _ = run.checkpoints.load_last()
    run.state.roll_back(saved["state"], run.recipe.guard.lr_factor)
    learner.load(saved["learner"])
    run.reporter.log(
        f"The loss exploded ({step.loss:.4g}): back to iteration {run.state.total}, at "
        f"{run.state.rate:g} of the learning rate."
    )
    save(run, learner)


def _saved_before(error: PictureError, run: TrainingRun, learner: Learner) -> PictureError:
    """Save the run, which cannot go on without a picture, and return the error to end it with.

    Of several processes, each meets its own error; only a process on its own can save.
    """
    at = "its last checkpoint"
    if run.fabric.world_size == 1:
        save(run, learner)
        at = f"iteration {run.state.total}, where it was saved"
    return PictureError(
        f"{error.template} The picture has changed since the run began. Put back the file that the run began with, and "
        f"resume the run from {at}."
    )


def draw_ahead(run: TrainingRun) -> Iterator[Any]:
    """Return what the run's feeder draws of every batch from the run's position on, ahead of it in a thread."""
    wanted = wanted_batches(run.recipe, run.state, run.fabric.global_rank, run.fabric.world_size)
    return (drawn for _, drawn in batches(run.feeder.draw, wanted))


def _in_units(levels: Tensor) -> Tensor:
    """Return uint8 samples as float32 in [0, 1], a pixel's channels beside each other in memory."""
    return levels.to(torch.float32, memory_format=torch.channels_last).div_(255.0)


def _agree(run: TrainingRun) -> tuple[bool, bool, bool]:
    """Return (stop, validate now, save now) and set the clock: the first process decides, any may ask to stop."""
    clock = run.state.clock
    validate_now, save_now = run.validation_timer.due(run.state.total), run.checkpoint_timer.due(run.state.total)
    stop = run.stop.asked
    if run.fabric.world_size > 1:
        first = float(run.fabric.is_global_zero)
        mine = torch.tensor(
            [clock.seconds * first, validate_now * first, save_now * first, float(stop)], dtype=torch.float64
        )
        summed = run.fabric.all_reduce(mine.to(run.fabric.device), reduce_op="sum")
        clock.seconds = float(summed[0])
        validate_now, save_now, stop = bool(summed[1]), bool(summed[2]), bool(summed[3])
    return stop, validate_now, save_now


def _log(run: TrainingRun, step: Step, patches: float, iterations: float) -> None:
    state = run.state
    row: dict[str, Any] = {
        "iteration": state.total,
        "stage": state.stage + 1,
        "progress": run.progress,
        "seconds": state.seconds,
        "loss": step.loss,
        "mean_loss": state.guard.mean,
        **{f"loss_{name}": float(value) for name, value in step.parts.items()},
        "rate": step.rate,
        "patches_per_second": patches,
        "skipped": state.guard.skipped,
    }
    if run.fabric.device.type == "cuda":
        row["gpu_memory_gb"] = torch.cuda.max_memory_allocated(run.fabric.device) / 1e9
    text = (
        f"stage {state.stage + 1}/{len(run.recipe.stages)} {run.progress:6.1%}  iteration {state.total}"
        f"  loss {state.guard.mean:.5f}  rate {step.rate:.2e}  {patches:.1f} patches/s"
        f"  left {duration(time_left(run.stage, state, iterations))}"
    )
    run.reporter.metrics(row, text, run.progress)
