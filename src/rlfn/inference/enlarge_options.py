"""How images are enlarged: what a caller may choose, checked before any work."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from rlfn.inference.devices import check_device
from rlfn.inference.engines import AUTO, CPU, Engine, check_engine, check_threads
from rlfn.inference.restore import check_restore
from rlfn.inference.sizing import Wanted
from rlfn.inference.tiling import check_tile


@dataclass(frozen=True)
class EnlargeOptions:
    """How images are enlarged.

    Attributes:
        wanted: the size.
        model: a packaged model, a family (``rlfn-xs``), the path of a model file, or None for the default family.
        engine: ``"auto"``, an engine's name, or a loaded engine.
        precision: ``"auto"`` or one of :data:`rlfn.models.catalog.PRECISIONS`.
        threads: CPU threads; None for all cores.
        tile: the largest tile side in LR px; ``"auto"`` by memory; 0 for the whole image at once.
        self_ensemble: average over the eight flips and rotations.
        wrap: images are tiles of seamless textures.
        restore: how strongly noise and traces of lossy coding are removed: 0 or ``"off"`` to 1, to the nearest quarter;
            ``"auto"`` lets each picture decide.
        keep_hidden: colours under transparent pixels are enlarged as they are: alpha is a mask of another meaning.
        device: ``"cpu"``, ``"gpu"`` or a numbered GPU, ``"gpu:1"``.

    Raises:
        OptionError, MissingExtraError: a value that is not allowed, or an engine that is not installed.
    """

    wanted: Wanted = field(default_factory=Wanted)
    model: str | os.PathLike[str] | None = None
    engine: str | Engine = AUTO
    precision: str = AUTO
    threads: int | None = None
    tile: int | Literal["auto"] = "auto"
    self_ensemble: bool = False
    wrap: bool = False
    restore: float | str = AUTO
    keep_hidden: bool = False
    device: str = CPU

    def __post_init__(self) -> None:
        """Refuse what no image could be enlarged with."""
        object.__setattr__(self, "restore", check_restore(self.restore))
        check_engine(self.engine if isinstance(self.engine, str) else AUTO, self.threads, self.precision)
        object.__setattr__(self, "threads", check_threads(self.threads))
        check_device(self.device, self.engine, self.precision)
        check_tile(self.tile)
