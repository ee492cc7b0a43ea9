"""What a finished run leaves: the model's files, its card and its curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import rlfn
from rlfn.atomic import write_bytes
from rlfn.errors import MissingExtraError, RlfnError
from rlfn.evaluation.figures import new_figure, write_figure
from rlfn.networks.checkpoints import save_checkpoint
from rlfn.networks.fuse import fuse, fused_variant, has_branches
from rlfn.networks.integers import ROUNDED_IN_TRAINING
from rlfn.training.provenance import publishable
from rlfn.training.recipe import HELD_OUT
from rlfn.training.reporting import Reporter, read_metrics
from rlfn.training.run import TrainingRun
from rlfn.training.stages import finished
from rlfn.wording import counted, duration


def write_model(
    path: Path, network: nn.Module, run: TrainingRun, facts: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Write a network as it is trained to a file that takes [0, 255], and return its metadata: how it was trained.

    A network with branches is written fused; its training form, from which another run can start, goes beside it
    (:func:`training_form`). Files that it came from are named by their names and SHA-256.
    """
    recipe, state = run.recipe, run.state
    stages = recipe.stages[: state.stage + 1]
    teachers = sorted({run.origins[stage.teacher] for stage in stages if stage.teacher})
    metadata = {
        "recipe": recipe.name,
        "recipe_sha256": recipe.hash(),
        "precision": recipe.precision,
        "data": f"{run.pictures.published}: {counted(len(run.pictures), 'picture')}, {recipe.data.degradation}",
        "stages": str(len(stages)),
        "iterations": str(state.total),
        "hours": f"{state.seconds / 3600.0:.4f}",
        "lr_pixels": str(state.pixels),
        "initial_weights": ", ".join(run.origins.get(stage.init, stage.init) for stage in stages),
        "teachers": ", ".join(teachers) or "none",
        **({ROUNDED_IN_TRAINING: "true"} if stages[-1].int8 else {}),
        "rlfn": rlfn.__version__,
        "torch": str(torch.__version__),
        **(facts or {}),
    }
    if recipe.extensions:
        metadata["extensions"] = ", ".join(run.origins[file] for file in recipe.extensions)
    variant, trained = recipe.network, finished(network)
    save_checkpoint(path, fuse(trained), fused_variant(variant), recipe.scale, metadata)
    if has_branches(variant):
        save_checkpoint(training_form(path), trained, variant, recipe.scale, metadata)
    return metadata


def training_form(path: Path) -> Path:
    """Return where the training form of the model in ``path`` is kept: ``model-train.safetensors`` beside it."""
    return path.with_name(f"{path.stem}-train{path.suffix}")


def write_results(run: TrainingRun, network: nn.Module) -> None:
    """Write ``model.safetensors``, the card ``README.md``, ``curves.png`` and, if wanted, ``model.onnx``.

    Args:
        run: at its end.
        network: the averaged weights.
    """
    on = run.validator.measured_on if run.validator is not None else None
    rows = [row for row in read_metrics(run.out) if "psnr" not in row or row.get("measured_on") == on]
    scored = [row for row in rows if "psnr" in row]
    facts = {}
    if scored:
        facts = {"validation_psnr": f"{scored[-1]['psnr']:.4f}", "validation_ssim": f"{scored[-1]['ssim']:.5f}"}
    path = run.out / "model.safetensors"
    metadata = write_model(path, network, run, facts)
    if run.recipe.saving.onnx:
        _write_onnx(path, run.out / "model.onnx", run.reporter)
    write_bytes(run.out / "README.md", model_card(run, metadata, scored).encode("utf-8"))
    if run.recipe.saving.curves:
        _draw_curves(run.out / "curves.png", rows, run.reporter)
    run.reporter.log(f"Finished. The model is {path}.")


def _write_onnx(model: Path, path: Path, reporter: Reporter) -> None:
    from rlfn.networks.checkpoints import load_checkpoint

    try:
        from rlfn.export.formats import export

        export(load_checkpoint(model), "rlfn", path)
    except ModuleNotFoundError:
        reporter.log("model.onnx is not written: pip install 'rlfn[torch]' brings what the export needs.")
    except (RlfnError, ImportError) as error:  # the weights are there, and a long run does not end in a traceback
        reporter.log(f"model.onnx is not written: {error}")


def model_card(run: TrainingRun, metadata: Mapping[str, str], scored: list[dict[str, Any]]) -> str:
    """Return a model card in Markdown: what it is, data, recipe, time, scores.

    Args:
        run: at its end.
        metadata: of the model's file.
        scored: the lines of ``metrics.jsonl`` that hold scores of the recipe's first validation set.
    """
    recipe = run.recipe
    hours = float(metadata["hours"])
    name = fused_variant(recipe.network).name
    trained = {"trained as": recipe.network.name} if recipe.network.name != name else {}
    facts = {
        "network": f"{name}, x{recipe.scale}, RGB in [0, 255]",
        **trained,
        "recipe": f"{recipe.name} ({metadata['recipe_sha256'][:12]})",
        "precision": metadata["precision"],
        "data": metadata["data"],
        "length": f"{metadata['iterations']} iterations in {duration(hours * 3600.0)}, {metadata['lr_pixels']} LR px",
        "started from": metadata["initial_weights"],
        "teachers": metadata["teachers"],
        "made with": f"rlfn {metadata['rlfn']}, torch {metadata['torch']}",
    }
    lines = [f"# {name}-x{recipe.scale}", "", recipe.about, "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    lines += ["", "## Scores", ""]
    if scored:
        validation = recipe.validation
        where = "the held-out pictures" if validation.sets[0] == HELD_OUT else Path(validation.sets[0]).name
        lines += [
            f"On {where}: Y of BT.601, a border of {recipe.scale} px cropped, at most "
            f"{counted(validation.pictures, 'picture')}.",
            "",
            "| iteration | PSNR, dB | SSIM |",
            "|---|---|---|",
        ]
        lines += [f"| {row['iteration']} | {row['psnr']:.3f} | {row['ssim']:.4f} |" for row in scored[-10:]]
    else:
        lines.append("None: the recipe validates on nothing.")
    lines += ["", "## Recipe", "", "```json", json.dumps(publishable(recipe, run.origins), indent=2), "```", ""]
    return "\n".join(lines)


def _draw_curves(path: Path, rows: list[dict[str, Any]], reporter: Reporter) -> None:
    """Draw the loss, the validation scores and the learning rate over the iterations."""
    try:
        figure = new_figure(12.0, 3.6)
    except MissingExtraError as error:
        reporter.log(f"curves.png is not drawn: {error}")
        return
    figure.set_layout_engine("constrained")
    left, middle, right = figure.subplots(1, 3)
    shown = (
        (left, "mean_loss", "loss (running mean)"),
        (middle, "psnr", "validation PSNR, dB"),
        (right, "rate", "learning rate"),
    )
    for axes, key, label in shown:
        found = [(row["iteration"], row[key]) for row in rows if key in row]
        axes.plot([x for x, _ in found], [y for _, y in found], marker="." if len(found) < 40 else "")
        axes.set_xlabel("iteration")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    losses = [row["mean_loss"] for row in rows if row.get("mean_loss", 0.0) > 0.0]
    if losses:
        left.set_yscale("log")
    write_figure(figure, path)
