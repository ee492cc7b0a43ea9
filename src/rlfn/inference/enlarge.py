"""THE pipeline: the wanted size and purpose pick a model, the memory is checked, and an image becomes larger.

``rlfn.upscale``, folder jobs and every other face go through :class:`Enlarger`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import PictureError
from rlfn.images.coding import UNKNOWN_CODING, CodingInfo
from rlfn.images.resize import resize
from rlfn.inference.engines import AUTO, CPU, choose_engine
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.hardware import available_memory
from rlfn.inference.part_upscaler import PartUpscaler
from rlfn.inference.parts import PartRunner
from rlfn.inference.restore import NO_RESTORE, RestoreStrength, choose_strength
from rlfn.inference.restore_weights import APART, check_strength, is_photo, photo_model, restoring
from rlfn.inference.reuse import TileCache
from rlfn.inference.sizing import check_reach, is_family_or_default, pick_model
from rlfn.inference.tile_runner import TileProgress
from rlfn.inference.upscaler import check_image
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.models.catalog import PRECISIONS, Model
from rlfn.models.source import ModelSource
from rlfn.wording import setting


@dataclass(frozen=True)
class EnlargePlan:
    """What an image is enlarged with, how strongly that restores, and what computes its parts: None for here."""

    upscaler: PartUpscaler
    restore: RestoreStrength
    run: PartRunner | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What falls short, a sentence each."""
        return tuple(text for text in (self.upscaler.fallback_reason, self.restore.shortfall) if text)


@dataclass(frozen=True)
class Enlarged:
    """An enlarged image, the same kind of array as the input, what made it, and what falls short, a sentence each."""

    image: NDArray[Any]
    plan: EnlargePlan
    warnings: tuple[str, ...] = ()


class Enlarger:
    """Enlarges images with one set of options. It holds no state but the models in its pool.

    Args:
        options: see :class:`EnlargeOptions`.
        pool: where loaded models are kept; one of its own by default.

    Raises:
        OptionError, ModelError: the model cannot be had, or reaches no such scale.
    """

    def __init__(self, options: EnlargeOptions, pool: UpscalerPool | None = None) -> None:
        self.options = options
        self._pool = pool or UpscalerPool()
        asked, factor = options.model, options.wanted.scale
        if is_family_or_default(asked):
            model = pick_model(factor, _family(asked))
            self.first: str | os.PathLike[str] = model.name
            self.scale = model.scale
        else:
            assert asked is not None
            self.first = asked
            self.scale = self._scale_of(asked)
        if not isinstance(options.engine, str):
            self.scale = options.engine.traits.scale
        self._check_precision()
        self._check_restore(self.first, factor if factor is not None else self.scale)
        if factor is not None and not is_family_or_default(asked):
            check_reach(ModelSource(self.first).name, self.scale, factor)

    def with_auto_engine(self, pixels: int | None) -> Enlarger:
        """Return one whose engine suits the work: ``pixels`` of input in all, None where that is not known."""
        if self.options.engine != AUTO or self.options.device != CPU:
            return self
        engine = choose_engine(ModelSource(self.first), pixels, self.options.precision)
        return Enlarger(replace(self.options, engine=engine), self._pool)

    def load(self) -> None:
        """Load the first model now, if it is known which one that is: its errors concern all images."""
        wanted = self.options.wanted
        if not is_family_or_default(self.options.model) or (wanted.width is None and wanted.height is None):
            self._upscaler(self.first)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) that an image of the given size gets."""
        return self.options.wanted.size(width, height, self.scale)

    def __call__(
        self,
        image: NDArray[Any],
        progress: TileProgress | None = None,
        coding: CodingInfo = UNKNOWN_CODING,
        plan: EnlargePlan | None = None,
        cache: TileCache | None = None,
    ) -> Enlarged:
        """Enlarge one image.

        Args:
            image: uint8 or uint16; gray (H, W), RGB (H, W, 3) or RGBA (H, W, 4).
            progress: called with the finished share, 0 to 1.
            coding: what the image's file says of its coding.
            plan: what :meth:`plan` returned for the image, or for another of the same size to treat alike.
            cache: of the image before in a sequence, see :class:`PartUpscaler`; with one plan.

        Raises:
            OptionError: an array of another kind, or a size that no model reaches.
            PictureError: the free memory cannot hold the result.
        """
        check_image(image)
        image = np.asarray(image)  # a subclass, such as a matrix, may mean other things by shape and product
        height, width = image.shape[:2]
        plan = plan or self.plan(image, coding)
        upscaler = plan.upscaler
        self._check_memory(image, upscaler)
        asked = self.options
        made = upscaler(
            image,
            self_ensemble=asked.self_ensemble,
            wrap=asked.wrap,
            keep_hidden=asked.keep_hidden,
            progress=progress,
            cache=cache,
            run=plan.run,
        )
        wide, high = self.size(width, height)
        if made.shape[:2] != (high, wide):
            made = resize(made, size=(high, wide), wrap=asked.wrap)
        told = plan.warnings + ((_inexact(upscaler.model),) if upscaler.cuts_inexactly(image) else ())
        return Enlarged(made, plan, told)

    def plan(self, image: NDArray[Any], coding: CodingInfo = UNKNOWN_CODING) -> EnlargePlan:
        """Return what an image is enlarged with: the model follows from its size, the strength from what it shows."""
        wanted, asked = self.options.wanted, self.options.model
        height, width = image.shape[:2]
        factor = wanted.factor(width, height, self.scale)
        if is_family_or_default(asked) and isinstance(self.options.engine, str):
            asked = pick_model(factor, _family(asked)).name
        weights, choice = self._weights(asked if asked is not None else self.first, factor, image, coding)
        upscaler = self._upscaler(weights)
        check_reach(upscaler.model, upscaler.scale, factor)
        return EnlargePlan(upscaler, choice)

    def _weights(
        self, model: str | os.PathLike[str], factor: float, image: NDArray[Any], coding: CodingInfo
    ) -> tuple[str | os.PathLike[str] | ModelSource, RestoreStrength]:
        """Return the weights for an image, and how strongly they restore."""
        restore, packaged = self.options.restore, self._packaged(model)
        if packaged is None:
            return model, RestoreStrength(0.0, "the model or the engine was given")
        if is_photo(packaged):
            return model, RestoreStrength(1.0, "weights for photographs")
        if not isinstance(restore, str):
            self._check_restore(model, factor)
            choice = RestoreStrength(restore, "as asked")
        elif (photo := photo_model(packaged, factor)) is not None:
            choice = choose_strength(image, coding, APART.get(photo.name))
        else:
            choice = NO_RESTORE  # no need to look
        return restoring(packaged, factor, choice, self.options.precision)

    def _packaged(self, model: str | os.PathLike[str]) -> Model | None:
        return ModelSource(model).packaged if isinstance(self.options.engine, str) else None

    def _check_restore(self, model: str | os.PathLike[str], factor: float) -> None:
        """Refuse a strength that was asked for and cannot be had."""
        restore, packaged = self.options.restore, self._packaged(model)
        if not isinstance(restore, str) and not (packaged is not None and is_photo(packaged) and restore == 1.0):
            check_strength(packaged, factor, restore, self.options.precision)

    def _upscaler(self, model: str | os.PathLike[str] | ModelSource) -> PartUpscaler:
        return self._pool.get(self.options, model)

    def _scale_of(self, model: str | os.PathLike[str]) -> int:
        """Return a model's scale; it is not loaded before its engine is chosen."""
        source = ModelSource(model)
        if source.packaged is not None:
            return source.packaged.scale
        if source.has_graph and self.options.engine == AUTO and self.options.device == CPU:
            return source.graph_traits().scale
        return self._upscaler(source).scale

    def _check_precision(self) -> None:
        """Refuse a precision that the model has no file for, before anything is loaded."""
        if self.options.precision in PRECISIONS and isinstance(self.options.engine, str):
            ModelSource(self.first).check_precision(self.options.precision)

    def _check_memory(self, image: NDArray[Any], upscaler: PartUpscaler) -> None:
        """Refuse a result that the free memory cannot hold, before the system ends this process for it."""
        needed = upscaler.result_bytes(image, self_ensemble=self.options.self_ensemble)
        free = available_memory()
        if needed > free:
            raise PictureError(
                f"Upscaling {image.shape[1]} x {image.shape[0]} pixels x{upscaler.scale} takes {needed / 1e9:.1f} GB "
                f"of memory for the result, and {free / 1e9:.1f} GB are free. Close other programs, or cut the picture "
                "up."
            )


def _inexact(model: str) -> str:
    return (
        f"tiles of {model} differ from the whole picture; run it with {setting('tile', 0)}, or export its weights with "
        f"'rlfn export' and {setting('to', 'rlfn')}"
    )


def _family(model: str | os.PathLike[str] | None) -> str | None:
    return None if model is None else os.fspath(model)
