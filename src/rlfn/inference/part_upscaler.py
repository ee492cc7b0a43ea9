"""The upscaler of the pipeline: it reuses results, has parts computed elsewhere, and says what a result takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from rlfn.inference.engines import WholeEngine
from rlfn.inference.parts import Computed, ImagePart, PartRunner, compute
from rlfn.inference.reuse import TileCache
from rlfn.inference.tile_runner import TileProgress
from rlfn.inference.upscaler import CallOptions, Upscaler


class PartUpscaler(Upscaler):
    """An :class:`rlfn.Upscaler` for sequences of pictures and for pictures that several processes compute."""

    def __call__(
        self,
        image: NDArray[Any],
        *,
        self_ensemble: bool = False,
        wrap: bool = False,
        keep_hidden: bool = False,
        progress: TileProgress | None = None,
        cache: TileCache | None = None,
        run: PartRunner | None = None,
    ) -> NDArray[Any]:
        """Upscale one picture, see :meth:`rlfn.Upscaler.__call__`.

        Args:
            image, self_ensemble, wrap, keep_hidden, progress: as there.
            cache: of the picture before, whose tiles are not computed again where they are the same. Neither ``image``
                nor the result may be written to afterwards. Pictures with alpha, a self-ensemble, and engines that cut
                pictures up by themselves are computed whole.
            run: computes the parts of the image in place of this upscaler, in any order and perhaps elsewhere; for each
                part it yields what :meth:`compute` yields. The result is bit-identical.

        Raises:
            OptionError, ModelError: as there.
        """
        return self._checked(image, CallOptions(self_ensemble, wrap, keep_hidden, cache, run), progress)

    def compute(self, part: ImagePart) -> Iterator[Computed]:
        """Compute a part of an image that an upscaler like this one cut, perhaps in another process.

        Results stay as they are when the next part is computed: they may be put together later.

        Raises:
            ModelError: the engine failed, or returned what is no picture.
        """
        with self._lock:
            for tile, block in compute(self._engine, part, self.model):
                yield tile, block.copy()  # engines write the next result over the last one

    def cuts_inexactly(self, image: NDArray[Any]) -> bool:
        """Tell whether ``image`` is cut into tiles whose results differ from the whole picture's."""
        whole = isinstance(self._engine, WholeEngine) or max(image.shape[:2]) <= self._tiles.side(image)
        return not (whole or self._engine.traits.exact)

    def result_bytes(self, image: NDArray[Any], *, self_ensemble: bool = False) -> int:
        """Return about how much memory the result of ``image`` takes while it is made, without the network's own."""
        pixels = image.shape[0] * image.shape[1] * self.scale**2
        channels = image.shape[2] if image.ndim == 3 else 1
        copies = 2 if channels == 4 else 1  # colour and alpha, and both together
        return int(pixels * (channels * image.itemsize * copies + (12 if self_ensemble else 0)))
