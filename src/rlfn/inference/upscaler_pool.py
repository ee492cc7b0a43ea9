"""Loaded models, kept for the next picture and shared by threads."""

from __future__ import annotations

import os
from collections import OrderedDict
from threading import Lock
from typing import Any

from rlfn.inference.engines import AUTO, CPU, choose_engine
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.part_upscaler import PartUpscaler
from rlfn.models.source import ModelSource

_KEPT = 4
"""Number of loaded models kept."""


class UpscalerPool:
    """Loaded upscalers, kept by all that matters; threads may share it.

    Args:
        size: how many are kept; the one that was not used for the longest time goes first.
    """

    def __init__(self, size: int = _KEPT) -> None:
        self._size = size
        self._start()

    def _start(self) -> None:
        self._kept: OrderedDict[Any, PartUpscaler] = OrderedDict()
        self._loading: dict[Any, Lock] = {}
        self._lock = Lock()
        self._process = os.getpid()

    def get(self, options: EnlargeOptions, model: str | os.PathLike[str] | ModelSource) -> PartUpscaler:
        """Return the upscaler of ``model`` with the engine, precision, threads, tile and device of ``options``."""
        if not isinstance(options.engine, str):
            return PartUpscaler(model, engine=options.engine, tile=options.tile)
        source, engine = model if isinstance(model, ModelSource) else ModelSource(model), options.engine
        if engine == AUTO and options.device == CPU:
            engine = choose_engine(source, None, options.precision)
        key = (source.stamp, engine, options.threads, options.tile, options.precision, options.device)
        if self._process != os.getpid():  # forked: a lock may be held by a thread of the parent
            self._start()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            loading = self._loading.setdefault(key, Lock())
        with loading:  # the other models can be had meanwhile
            with self._lock:
                if key in self._kept:
                    return self._kept[key]
            try:
                made = PartUpscaler(
                    model,
                    engine=engine,
                    threads=options.threads,
                    tile=options.tile,
                    precision=options.precision,
                    device=options.device,
                )
                with self._lock:
                    self._kept[key] = made
                    while len(self._kept) > self._size:
                        self._kept.popitem(last=False)
                return made
            finally:
                with self._lock:
                    self._loading.pop(key, None)

    def clear(self) -> None:
        """Release the upscalers; those in use live until their work ends."""
        if self._process != os.getpid():
            self._start()
        with self._lock:
            self._kept.clear()
