"""The upscaler: images in, images out. Value range, padding, tiling and rounding live here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from threading import Lock
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import OptionError
from rlfn.images.alpha import fill_transparent, limit_alpha
from rlfn.images.color import to_gray, to_rgb
from rlfn.inference.border import add_border
from rlfn.inference.devices import check_device, load_on
from rlfn.inference.engines import AUTO, CPU, Engine, GpuEngine, WholeEngine
from rlfn.inference.parts import PartRunner
from rlfn.inference.reuse import TileCache
from rlfn.inference.tile_runner import TileProgress, TileRunner
from rlfn.inference.tiling import check_tile, spans
from rlfn.models import catalog
from rlfn.models.source import ModelSource
from rlfn.models.traits import Traits
from rlfn.wording import setting

_BAND_ROWS = 256
# the eight symmetries of the square: (quarter turns, mirrored)
_SYMMETRIES = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))


class CallOptions(NamedTuple):
    """How one picture is upscaled, see :class:`rlfn.inference.part_upscaler.PartUpscaler`."""

    self_ensemble: bool
    wrap: bool
    keep_hidden: bool
    cache: TileCache | None = None
    run: PartRunner | None = None


class Upscaler:
    """Upscales arrays with one model on one engine. Unlike :func:`rlfn.upscale` it never restores.

    Args:
        model: a packaged model's name (``rlfn models`` lists them) or the path of a .onnx, .safetensors or .pth file;
            or what stands for one, such as a :class:`rlfn.models.blend.Blend`.
        engine: ``"auto"``, a name from :data:`rlfn.inference.engines.ENGINES`, or a loaded engine, which then decides
            about the model, the threads and the precision.
        threads: CPU threads; None for all cores.
        tile: the largest tile side in LR px; ``"auto"`` chooses by the free memory; 0 for the whole picture at once.
        precision: how to compute: ``"fp32"``, ``"bf16"``, ``"int8"``, or ``"auto"`` for the fastest that this processor
            has and that loses at most 0.03 dB.
        device: ``"cpu"``; ``"gpu"`` for the first GPU that Vulkan has, ``"gpu:1"`` for the one of that number. Where
            none can do the work, the processor does it, and ``fallback_reason`` says why.

    Raises:
        OptionError, ModelError, MissingExtraError: see :func:`rlfn.inference.devices.load_on`.

    >>> import numpy as np
    >>> Upscaler("rlfn-s-x4")(np.zeros((20, 30, 3), np.uint8)).shape
    (80, 120, 3)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | ModelSource | None = None,
        *,
        engine: str | Engine = AUTO,
        threads: int | None = None,
        tile: int | Literal["auto"] = "auto",
        precision: str = AUTO,
        device: str = CPU,
    ) -> None:
        check_tile(tile)
        self._arguments = (model, engine, threads, tile, precision, device)
        self._load()
        if tile != "auto" and tile != 0:
            spans(2 * tile + 1, tile, self._engine.traits.margin, self._engine.traits.stride)

    def _load(self) -> None:
        model, engine, threads, tile, precision, device = self._arguments
        self._fallback_reason = ""
        if isinstance(engine, str):
            first = model if model is not None else next(iter(catalog.models()))
            source = first if isinstance(first, ModelSource) else ModelSource(first)
            self._engine, self._fallback_reason = load_on(device, engine, source, threads, precision)
            self.model = source.name
        else:
            check_device(device, engine)
            self._engine, self.model = engine, engine.traits.variant
        self._tiles = TileRunner(self._engine, tile, self.model)
        self._lock = Lock()
        self._process = os.getpid()

    @property
    def scale(self) -> int:
        """The upscaling factor."""
        return self._engine.traits.scale

    @property
    def engine(self) -> str:
        """The name of the engine that runs the model."""
        return self._engine.name

    @property
    def traits(self) -> Traits:
        """What the network asks for."""
        return self._engine.traits

    @property
    def precision(self) -> str:
        """How the model is computed."""
        return self._engine.precision

    @property
    def device(self) -> str:
        """Where it runs: ``"cpu"``, or the GPU's name."""
        found: str = getattr(self._engine, "device", CPU)
        return found

    @property
    def fallback_reason(self) -> str:
        """Why it runs on the processor though a GPU was asked for: a sentence, or nothing."""
        return self._fallback_reason or (self._engine.fallback_reason if isinstance(self._engine, GpuEngine) else "")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what this was made from: another process loads the model again."""
        model, engine, threads, tile, precision, device = self._arguments
        if not isinstance(engine, str):
            raise OptionError(
                "An Upscaler with an engine that was handed in cannot be pickled. "
                f"Give {setting('engine')} by its name."
            )
        return _rebuild, (type(self), model, engine, threads, tile, precision, device)

    def __call__(
        self,
        image: NDArray[Any],
        *,
        self_ensemble: bool = False,
        wrap: bool = False,
        keep_hidden: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> NDArray[Any]:
        """Upscale one picture.

        Args:
            image: uint8 or uint16; gray (H, W) or (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4).
            self_ensemble: average over the eight flips and rotations, the field's "+": eight times the work, and a
                float copy of the result in memory.
            wrap: the image is a tile of a seamless texture, so its borders are continued by the opposite side.
            keep_hidden: colours under transparent pixels are upscaled as they are; otherwise they are replaced by those
                of their visible surroundings.
            progress: called with the share that is done, above 0 to 1, after each tile.

        Returns:
            The same kind of array, ``scale`` times as high and wide.

        Raises:
            OptionError: an array of another kind.
            ModelError: the engine failed, or returned what is no picture.
        """
        return self._checked(image, CallOptions(self_ensemble, wrap, keep_hidden), progress)

    def _checked(self, image: NDArray[Any], how: CallOptions, progress: TileProgress | None) -> NDArray[Any]:
        single = np.ndim(image) == 3 and image.shape[2] == 1
        image = image[:, :, 0] if single else image
        check_image(image)
        image = np.asarray(image)  # a subclass, such as a matrix, may mean other things by shape and product
        if self._process != os.getpid():  # forked: the engine's threads stayed with the parent
            self._load()
        with (
            self._lock if how.run is None else nullcontext()
        ):  # engines reuse their buffers; ``run`` may call ``compute``
            made = self._upscaled(image, how, progress)
        return made[:, :, None] if single else made

    def _upscaled(self, image: NDArray[Any], how: CallOptions, progress: TileProgress | None) -> NDArray[Any]:
        if image.ndim == 2:
            return self._color(to_rgb(image), how, progress, gray=True)
        if image.shape[2] == 3:
            return self._color(image, how, progress)
        how = how._replace(cache=None)
        rgb, alpha = image[:, :, :3], np.ascontiguousarray(image[:, :, 3])
        if alpha.min() == alpha.max():
            color = self._color(rgb, how, progress)
            return np.dstack([color, np.full(color.shape[:2], alpha.flat[0], alpha.dtype)])
        parts = [_share_of(progress, 0), _share_of(progress, 1)]
        color = self._color(rgb if how.keep_hidden else fill_transparent(rgb, alpha), how, parts[0])
        wide = self._color(to_rgb(alpha), how, parts[1], gray=True)
        return np.dstack([color, limit_alpha(wide, alpha, self.scale)])

    def _color(
        self, image: NDArray[Any], how: CallOptions, progress: TileProgress | None, gray: bool = False
    ) -> NDArray[Any]:
        """Upscale (H, W, 3) to an array of its kind: (sH, sW, 3), or the luma (sH, sW) of a gray picture."""
        height, width = (side * self.scale for side in image.shape[:2])
        shape = (height, width) if gray else (height, width, 3)
        top = float(np.iinfo(image.dtype).max)
        if how.self_ensemble:
            out = np.empty(shape, image.dtype)
            for start, block in _bands(self._ensemble(image, how._replace(cache=None), progress)):
                out[start : start + block.shape[0]] = _round(to_gray(block) if gray else block, top, image.dtype)
            return out
        if isinstance(self._engine, WholeEngine):
            how = how._replace(cache=None)
        out = np.empty(shape, image.dtype) if how.cache is None else how.cache.result(shape, image.dtype)
        for area, block in self._blocks(image, how, progress):
            pixels = block.transpose(1, 2, 0)
            out[area] = _round(to_gray(pixels) if gray else pixels, top, image.dtype)
        if how.cache is not None:
            how.cache.keep(out)
        return out

    def _ensemble(self, image: NDArray[Any], how: CallOptions, progress: TileProgress | None) -> NDArray[np.float32]:
        """Return the float mean (sH, sW, 3), in levels of 255, over the eight symmetries."""
        height, width = (side * self.scale for side in image.shape[:2])
        total = np.zeros((height, width, 3), np.float32)
        for number, (turns, mirrored) in enumerate(_SYMMETRIES):
            turned = np.rot90(image[:, ::-1] if mirrored else image, turns)
            # a view of the sum in which the turned result lies as it comes
            view = np.rot90(total[:, ::-1] if mirrored else total, turns)
            for area, block in self._blocks(turned, how, _share_of(progress, number, len(_SYMMETRIES))):
                view[area] += block.transpose(1, 2, 0)
        total /= len(_SYMMETRIES)
        return total

    def _blocks(
        self, image: NDArray[Any], how: CallOptions, progress: TileProgress | None
    ) -> Iterator[tuple[tuple[slice, slice], NDArray[np.float32]]]:
        """Yield the result in parts: where each lies in the (sH, sW) result, and (3, sh, sw) in levels of 255."""
        bordered, sides, scale = add_border(image, wrap=how.wrap), image.shape[:2], self.scale
        for tile, block in self._tiles.results(bordered.image, how.cache, progress, how.run):
            area, inside = [], []
            for span, before, side in zip((tile.rows, tile.columns), (bordered.top, bordered.left), sides, strict=True):
                start, stop = max(span.core_start - before, 0), min(span.core_stop - before, side)
                area.append(slice(start * scale, stop * scale))
                skipped = start + before - span.core_start
                inside.append(slice(skipped * scale, (skipped + stop - start) * scale))
            if all(part.start < part.stop for part in area):
                yield (area[0], area[1]), block[:, inside[0], inside[1]]


def _rebuild(kind: type[Upscaler], model: Any, *options: Any) -> Upscaler:
    names = ("engine", "threads", "tile", "precision", "device")
    return kind(model, **dict(zip(names, options, strict=True)))


def check_image(image: NDArray[Any]) -> None:
    """Refuse an array that is no image.

    Raises:
        OptionError: it is not uint8 or uint16, gray (H, W), RGB (H, W, 3) or RGBA (H, W, 4), or is empty.
    """
    kinds = image.dtype in (np.uint8, np.uint16)
    shapes = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if not (kinds and shapes and image.size):
        raise OptionError(
            f"Cannot upscale an array of shape {image.shape} and type {image.dtype}. "
            "Allowed: uint8 or uint16, gray (H, W) or (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4), not empty."
        )


def _round(levels: NDArray[np.float32], top: float, kind: np.dtype[Any]) -> NDArray[Any]:
    """Turn levels of 255 into integers of ``kind``: scaled to [0, ``top``], half up, clipped."""
    scaled = levels * np.float32(top / 255.0)
    scaled += np.float32(0.5)
    np.clip(scaled, 0.0, np.float32(top), out=scaled)
    return scaled.astype(kind)


def _bands(image: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in range(0, image.shape[0], _BAND_ROWS):
        yield start, image[start : start + _BAND_ROWS]


def _share_of(progress: TileProgress | None, number: int, count: int = 2) -> TileProgress | None:
    """Return a progress function for part ``number`` of ``count`` equal parts."""
    if progress is None:
        return None
    return lambda share: progress((number + share) / count)
