"""Checks of a run before its first step: every problem is reported in one message."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from rlfn.atomic import check_path
from rlfn.data.store import DataSource, PictureStore, open_pictures
from rlfn.errors import DataError, MissingExtraError, OptionError, RlfnError
from rlfn.evaluation.sets import find_set
from rlfn.models import catalog
from rlfn.networks.build import ARCHITECTURES, build
from rlfn.networks.dormant import hidden_layers
from rlfn.networks.integers import integer_convolutions
from rlfn.networks.plain import set_leak
from rlfn.networks.prune import zero_weakest
from rlfn.training.blockwise_loss import make_blockwise
from rlfn.training.centring import Centring
from rlfn.training.checkpoint import Checkpoints
from rlfn.training.devices import Devices, start_fabric
from rlfn.training.extractors import VGG19_WEIGHTS, cached_vgg19, fetch_vgg19
from rlfn.training.losses import ms_ssim
from rlfn.training.recipe import HELD_OUT, Recipe, Stage
from rlfn.training.recipe_files import mistaken, parse_recipe, read_raw
from rlfn.training.reporting import METRICS, note
from rlfn.training.stages import freeze, make_objective, start_network
from rlfn.training.weight_files import weights_file
from rlfn.wording import itemized, listing, setting

_SHOW_SECONDS = 2.0


def prepare(
    source: str | os.PathLike[str],
    overrides: Iterable[str] = (),
    *,
    data: Sequence[DataSource] = (),
    devices: Devices | None = None,
    out: Path | None = None,
    dry: bool = False,
) -> Recipe:
    """Read a recipe and check it together with all that a run needs.

    Whether the pictures of a folder are intact is checked at the start of a run, and here only for a dry run.

    Args:
        source: a recipe's name or path, see :func:`rlfn.training.recipe_files.load_recipe`.
        overrides: texts such as ``stages.0.batch=8``.
        data: packs or folders, instead of those that the recipe names.
        devices: the devices; one of what the machine has by default.
        out: the folder of the run; None where none will be written.
        dry: whether nothing will be trained; data is then optional, but checked if given.

    Raises:
        OptionError: something is wrong; the message has one line for every mistake, whatever it is about.
    """
    recipe, mistakes = parse_recipe(read_raw(source, overrides))
    if recipe is not None:
        found = problems(
            recipe, data=data, devices=devices or Devices(), out=out, whole=not mistakes, dry=dry, decode=dry
        )
        if found and not mistakes:
            raise unable(str(source), found)
        mistakes = list(dict.fromkeys([*mistakes, *found]))
    if recipe is None or mistakes:
        raise mistaken(str(source), mistakes)
    return recipe


def check_run(
    recipe: Recipe,
    *,
    data: Sequence[DataSource] = (),
    devices: Devices | None = None,
    out: Path | None = None,
    begun: int = -1,
) -> None:
    """Check what a run of ``recipe`` needs, see :func:`prepare`.

    Raises:
        OptionError: something is missing or does not fit; the message has one line for every mistake.
    """
    found = problems(recipe, data=data, devices=devices or Devices(), out=out, whole=True, begun=begun)
    if found:
        raise unable(recipe.name or "given", found)


def unable(source: str, found: Sequence[str]) -> OptionError:
    """Return the error that lists what keeps a run of a valid recipe from starting."""
    reasons = f" for {len(found)} reasons" if len(found) > 1 else ""
    return OptionError(f"A run of the recipe {source} cannot start{reasons}:{itemized(found)}")


def problems(
    recipe: Recipe,
    *,
    data: Sequence[DataSource],
    devices: Devices,
    out: Path | None,
    whole: bool,
    begun: int = -1,
    dry: bool = False,
    decode: bool = True,
) -> list[str]:
    """Return a line for everything that would stop a run of ``recipe``, its later stages included.

    Args:
        recipe: the resolved recipe, or what is left of one with mistakes.
        data: instead of the recipe's own.
        devices: the devices.
        out: the folder of the run.
        whole: False where the recipe has mistakes: then its network is not looked at, for it may be another one.
        dry: whether data may be missing.
        begun: the index of the stage in which a run is resumed; what the stages up to it began with is not needed.
        decode: whether to decode the pictures of folders, if there is no other problem.
    """
    found: list[str] = []

    def attempt(place: str, work: Callable[[], object]) -> Any:
        try:
            return work()
        except RlfnError as error:
            found.append(f"{place}: {error.template}" if place else error.template)
            return None

    fabric = attempt("", lambda: start_fabric(recipe, devices))
    unnamed = dry and not data and not recipe.data.train
    pictures = None if unnamed else attempt("data", lambda: open_data(recipe, data, moved=begun >= 0))
    if pictures is not None:
        attempt("data", lambda: _check_pictures(recipe, pictures))
    for which in recipe.validation.sets:
        if which != HELD_OUT:
            attempt("validation", lambda which=which: find_set(which, recipe.scale))  # type: ignore[misc]
    world = devices.devices * devices.nodes
    for number, stage in enumerate(recipe.stages):
        place = f"stages.{number}"
        for key, file in _files(stage) if number >= begun else ():
            if (key != "init" or number > begun) and not weights_file(file).is_file():
                found.append(_no_weights(f"{place}.{key}", file))
        for _, batch in _sizes(recipe, stage):
            if batch % (world * stage.accumulate):
                found.append(
                    f"{place}: a batch of {batch} cannot be shared evenly by {world} devices"
                    + (f" in {stage.accumulate} parts." if stage.accumulate > 1 else ".")
                )
        if whole and number > begun:
            attempt(place, lambda stage=stage: _check_stage(recipe, stage))  # type: ignore[misc]
    if recipe.compile and importlib.util.find_spec("torch._inductor") is None:
        found.append("compile: this build of torch cannot compile. Set compile = false.")
    if out is not None and out.exists() and not out.is_dir():
        found.append(f"{out} is a file. A run needs a folder: choose another name.")
    elif out is not None and Checkpoints(out / "checkpoints", 2).paths():
        found.append(f"{out} holds a run already. Resume it ({setting('resume')}), or choose another folder.")
    elif out is not None:
        attempt("", lambda: check_path(out / METRICS))
    if decode and pictures is not None and not found:
        attempt("data", lambda: pictures.check_decoding(_show_checked() if fabric.is_global_zero else None))
    needing = [number for number, stage in enumerate(recipe.stages) if number >= begun and _needs_vgg19(stage)]
    if whole and not found and needing:  # last, for it is a large download
        attempt(f"stages.{needing[0]}", lambda: _check_vgg19(dry))
    return list(dict.fromkeys(found))


def open_data(recipe: Recipe, data: Sequence[DataSource], *, moved: bool = False) -> PictureStore:
    """Open the training data: ``data``, otherwise what the recipe names.

    Args:
        recipe: the resolved recipe.
        data: instead of the recipe's own.
        moved: whether the data was there before, so that a message can say what to do if it has moved.

    Raises:
        DataError: there is none, or it cannot be opened.
    """
    sources = tuple(data) or recipe.data.sources()
    if not sources:
        raise DataError(
            f"The recipe names no data. Give a pack, made by rlfn data pack, or a folder as {setting('data')}, "
            "or name it in the recipe's data.train."
        )
    try:
        return open_pictures(sources)
    except DataError as error:
        if not moved:
            raise
        raise DataError(f"{error.template} If the data has moved, give its new place as {setting('data')}.") from error


def _check_pictures(recipe: Recipe, pictures: PictureStore) -> None:
    """Find pictures that lack the scale or are smaller than the largest crop."""
    if recipe.data.make_degradation().packed:
        pictures.check_scale(recipe.scale)
    largest = max(patch for stage in recipe.stages for patch, _ in _sizes(recipe, stage))
    pictures.check_patch(largest * recipe.scale, pictures.split(recipe.data.held_out, "train"))


def _show_checked() -> Callable[[int, int], None]:
    """Return a function that prints how many pictures are checked, every two seconds."""
    shown = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _SHOW_SECONDS:
            shown = time.monotonic()
            note(f"Checking that the pictures are intact: {done:,} of {total:,}")

    return show


def _sizes(recipe: Recipe, stage: Stage) -> list[tuple[int, int]]:
    """Return every (patch, batch) of a stage; a stage without the size of its patches has a mistake of its own."""
    return [stage.sizes(at, recipe.scale) for at in (0.0, *(phase.at for phase in stage.phases))]


def _files(stage: Stage) -> list[tuple[str, str]]:
    named = [("init", stage.init)] if stage.starts_from_file else []
    if stage.teacher is not None:
        named.append(("teacher", stage.teacher))
    if stage.uses_contrastive and stage.contrastive.vgg19 not in VGG19_WEIGHTS:
        named.append(("contrastive.vgg19", stage.contrastive.vgg19))
    return named


def _no_weights(place: str, file: str) -> str:
    packaged = "" if Path(file).suffix else f" Packaged models: {listing(catalog.models())}."
    return f"{place}: there is no file {file}.{packaged}"


def _check_stage(recipe: Recipe, stage: Stage) -> None:
    """Begin a stage as the loop will, with networks in place of pictures.

    Raises:
        OptionError, ModelError: the network, its start, its loss or its teacher do not fit.
    """
    least = ARCHITECTURES[recipe.network.architecture].min_side
    for patch, _ in _sizes(recipe, stage):
        if patch < least:
            raise OptionError(f"A patch of {patch} px is too small. {recipe.network.name} needs {least}.")
    if stage.loss.get("ms-ssim"):
        smallest = min(patch for patch, _ in _sizes(recipe, stage)) * recipe.scale
        ms_ssim(*torch.zeros(2, 1, 3, smallest, smallest))
    if any(not weights_file(file).is_file() for _, file in _files(stage)):
        return
    network = build(recipe.network, recipe.scale)
    if stage.init != "previous":
        network = start_network(recipe, stage, None)
    side = max(16, least)
    with torch.no_grad():
        shape = tuple(network.eval()(torch.rand(1, 3, side, side)).shape)
    if shape != (1, 3, side * recipe.scale, side * recipe.scale):
        raise OptionError(
            f"{recipe.network.name} makes {shape} of an image of {side} px, not x{recipe.scale}. Mend the network."
        )
    freeze(network, stage.freeze)
    if stage.recycle:
        hidden_layers(network)
    set_leak(network, stage.leak)
    if stage.centred:
        Centring(network)
    make_blockwise(network, recipe, stage)
    if stage.int8:
        integer_convolutions(network)
    if stage.soft_prune.channels or stage.soft_prune.mid:
        zero_weakest(network, channels=stage.soft_prune.channels, mid=stage.soft_prune.mid)
    if not _needs_vgg19(stage) or cached_vgg19() is not None:
        make_objective(recipe, stage)


def _needs_vgg19(stage: Stage) -> bool:
    """Return whether a stage needs torchvision's weights of VGG-19."""
    chosen = stage.contrastive
    return stage.uses_contrastive and chosen.vgg19 == "imagenet" and "vgg" in chosen.extractor


def _check_vgg19(dry: bool) -> None:
    """Download VGG-19 now rather than when its stage begins; a dry run downloads nothing."""
    if not dry:
        fetch_vgg19()
    elif importlib.util.find_spec("pooch") is None:
        raise MissingExtraError("Downloading VGG-19", "train")
