"""Where a model runs: on the processor, or on a GPU through an engine that has one.

A picture is made in any case: where no GPU can do the work, the processor does it, and a warning says why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rlfn.errors import ForkedError, MissingExtraError, OptionError, unknown
from rlfn.inference.engines import AUTO, ENGINES, check_threads, load_engine
from rlfn.inference.engines.base import CPU, Engine
from rlfn.inference.vulkan.gpus import Gpu, NoGpuError, find_gpus, no_gpu, pick_gpu
from rlfn.models.source import ModelSource
from rlfn.wording import listing, setting

GPU = "gpu"
"""The name that leaves the GPU to be chosen; ``gpu:1`` is that of the number 1."""

_NUMBERED = re.compile(rf"{GPU}:\d{{1,3}}")


def check_device(device: str, engine: str | Engine = AUTO, precision: str = AUTO) -> None:
    """Refuse a device that does not exist, and a GPU with an engine or a precision that has none.

    Raises:
        OptionError: one of these.
    """
    if not isinstance(device, str) or not (device in (CPU, GPU) or _NUMBERED.fullmatch(device)):
        raise unknown("device", device, (CPU, GPU, f"{GPU}:0", f"{GPU}:1"))
    if not isinstance(engine, str) and not hasattr(engine, "traits"):
        raise OptionError(
            f"{setting('engine')} was given as {engine!r}. Allowed: {listing([AUTO, *ENGINES])}, or a loaded engine."
        )
    if device == CPU:
        return
    asked = f"{setting('device', device)} was asked for"
    if not isinstance(engine, str):
        raise OptionError(f"{asked}, but an engine that is handed in computes where it was made for. Leave one out.")
    able = [name for name, row in ENGINES.items() if row.gpu is not None]
    if engine not in (AUTO, *able):
        raise OptionError(
            f"{asked}, but the engine {engine} has no such choice. With a GPU: {listing(able)}; "
            f"{setting('engine', AUTO)} chooses."
        )
    if precision not in (AUTO, "fp32"):
        raise OptionError(
            f"{asked}, but a GPU computes in fp32 here, not in {precision}. Leave {setting('precision')} out."
        )


def load_on(
    device: str,
    engine: str,
    model: ModelSource,
    threads: int | None = None,
    precision: str = AUTO,
    *,
    find: Callable[[], Sequence[Gpu]] | None = None,
) -> tuple[Engine, str]:
    """Load a model where it is to run.

    Args:
        device: ``"cpu"``, ``"gpu"`` or a numbered one.
        engine, model, threads, precision: see :func:`rlfn.inference.engines.load_engine`.
        find: finds the GPUs; None for those of Vulkan.

    Returns:
        the engine, and why no GPU runs it though one was asked for: a sentence, or nothing.

    Raises:
        OptionError, MissingExtraError, ModelError: see :func:`check_device` and ``load_engine``.
    """
    check_device(device, engine, precision)
    if device == CPU:
        return load_engine(engine, model, threads, precision), ""
    name = engine if engine != AUTO else next(name for name, row in ENGINES.items() if row.gpu is not None)
    load = ENGINES[name].gpu
    assert load is not None
    try:
        if model.packaged is None and model.has_graph:
            raise NoGpuError(
                f"{model.label} is an ONNX graph, and a GPU runs the weights themselves. Give the .safetensors or "
                ".pth file"
            )
        return load(model, check_threads(threads), pick_gpu(device, (find or find_gpus)())), ""
    except (NoGpuError, ForkedError) as error:
        reason = no_gpu(error)
    except MissingExtraError as error:
        if engine != AUTO:
            raise
        reason = no_gpu(error)
    fallback = engine if engine == AUTO or ENGINES[engine].takes(model) else AUTO
    return load_engine(fallback, model, threads, precision), reason
