"""Networks of rlfn for spandrel, and so for the tools that load upscaling models through it, such as ComfyUI.

    import rlfn.integrations.spandrel
    rlfn.integrations.spandrel.register()

From then on ``spandrel.ModelLoader()`` takes every file of weights that rlfn takes: the official ``.pth`` files of
RLFN, the packaged ``.safetensors``, and every other architecture of :data:`rlfn.networks.ARCHITECTURES`, of any size
and scale. spandrel's own architectures keep their files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlfn.errors import MissingExtraError, ModelError

INSTALL = "pip install spandrel torchvision, both for the build of torch that is there (docs/guide/deploy.md)"
"""No extra brings spandrel: it needs torchvision, which pip would take in a build that may not fit torch's."""


def architecture_id(name: str) -> str:
    """Return the name under which spandrel knows an architecture: ``RLFN`` and, for others, ``rlfn-`` and the name.

    >>> architecture_id("rlfn"), architecture_id("edsr")
    ('RLFN', 'rlfn-edsr')
    """
    return "RLFN" if name == "rlfn" else f"rlfn-{name}"


def register(registry: Any = None) -> None:
    """Add rlfn's architectures to a spandrel registry, once; further calls change nothing.

    Args:
        registry: a ``spandrel.ArchRegistry``; None for the main one, which every ``ModelLoader`` uses by default.

    Raises:
        MissingExtraError: spandrel or torch is not installed.
    """
    try:
        import spandrel
    except ImportError:
        raise MissingExtraError("Loading networks through spandrel", install=INSTALL) from None
    from rlfn.networks import ARCHITECTURES

    chosen = spandrel.MAIN_REGISTRY if registry is None else registry
    for name in ARCHITECTURES:
        chosen.add(spandrel.ArchSupport.from_architecture(_architecture(name)), ignore_duplicates=True)


def _architecture(name: str) -> Any:
    """Return one of rlfn's architectures as a ``spandrel.Architecture``.

    spandrel hands pictures of [0, 1] to a model, and networks here take [0, 255]. Tiles cut by other software never
    equal the whole picture where there is ESA, whose resize depends on the size of what it is given: hence the advice.
    """
    import spandrel
    from torch import Tensor, nn

    from rlfn.networks import ARCHITECTURES, build
    from rlfn.networks.checkpoints import identify

    row = ARCHITECTURES[name]

    def call(model: nn.Module, image: Tensor) -> Tensor:
        sr: Tensor = model(image * 255.0) / 255.0
        return sr

    class RlfnArchitecture(spandrel.Architecture):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(id=architecture_id(name), detect=lambda state: _is(name, state))

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
                size_requirements=spandrel.SizeRequirements(minimum=row.min_side),
                tiling=spandrel.ModelTiling.SUPPORTED if row.stride == 1 else spandrel.ModelTiling.DISCOURAGED,
                call_fn=call,
            )

    return RlfnArchitecture()


def _is(name: str, state: Any) -> bool:
    """Tell whether a state dict is a network of an architecture.

    An RLFN is known by ESA's convolution of that name, so that a damaged one is told what it lacks; all others must fit
    to the last tensor, so that no file of spandrel's own architectures is taken away from it.
    """
    from torch import Tensor

    from rlfn.networks import ARCHITECTURES
    from rlfn.networks.checkpoints import identify

    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    deduce = ARCHITECTURES[name].deduce
    if deduce is None or deduce({key: tuple(value.shape) for key, value in tensors.items()}) is None:
        return False
    if name == "rlfn":
        return "block_1.esa.conv_f.weight" in tensors
    try:
        return identify(tensors, Path("The file"))[0].architecture == name
    except ModelError:
        return False
