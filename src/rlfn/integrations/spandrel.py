"""RLFN for spandrel, and so for the tools that load upscaling models through it, such as ComfyUI.

    import rlfn.integrations.spandrel
    rlfn.integrations.spandrel.register()

From then on ``spandrel.ModelLoader().load_from_file`` takes every RLFN: the official ``.pth`` files and ours, every
variant or size, every scale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlfn.errors import MissingExtraError

ARCHITECTURE_ID = "RLFN"
"""The name under which spandrel knows the architecture."""


def register(registry: Any = None) -> None:
    """Add RLFN to a spandrel registry, once; further calls change nothing.

    Args:
        registry: a ``spandrel.ArchRegistry``; None for the main one, which every ``ModelLoader`` uses by default.

    Raises:
        MissingExtraError: spandrel or torch is not installed.
    """
    try:
        import spandrel
    except ImportError:
        raise MissingExtraError("Loading RLFN through spandrel", "spandrel") from None
    chosen = spandrel.MAIN_REGISTRY if registry is None else registry
    chosen.add(spandrel.ArchSupport.from_architecture(_architecture()), ignore_duplicates=True)


def _architecture() -> Any:
    """Return RLFN as a ``spandrel.Architecture``.

    spandrel hands pictures of [0, 1] to a model, and an RLFN takes [0, 255]. Tiles cut by other software never equal
    the whole picture, because ESA's resize depends on the size of what it is given: hence the advice against them.
    """
    import spandrel
    from torch import Tensor, nn

    from rlfn.networks import build
    from rlfn.networks.checkpoints import identify
    from rlfn.networks.rlfn import MIN_SIDE, deduce

    def is_rlfn(state: Any) -> bool:
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items() if isinstance(tensor, Tensor)}
        return "block_1.esa.conv_f.weight" in shapes and deduce(shapes) is not None

    def call(model: nn.Module, image: Tensor) -> Tensor:
        sr: Tensor = model(image * 255.0) / 255.0
        return sr

    class RLFNArch(spandrel.Architecture):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(id=ARCHITECTURE_ID, detect=is_rlfn)

        def load(self, state_dict: Any) -> Any:
            variant, scale = identify(state_dict, Path("The file"))
            return spandrel.ImageModelDescriptor(
                build(variant, scale),
                state_dict,
                architecture=self,
                purpose="SR" if scale > 1 else "Restoration",
                tags=[variant.name],
                supports_half=True,
                supports_bfloat16=True,
                scale=scale,
                input_channels=3,
                output_channels=3,
                size_requirements=spandrel.SizeRequirements(minimum=MIN_SIDE),
                tiling=spandrel.ModelTiling.DISCOURAGED,
                call_fn=call,
            )

    return RLFNArch()
