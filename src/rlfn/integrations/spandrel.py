"""Support for rlfn's networks in spandrel, and in tools that load upscaling models through it, such as ComfyUI.

    import rlfn.integrations.spandrel
    rlfn.integrations.spandrel.register()

From then on ``spandrel.ModelLoader()`` loads every weights file that rlfn supports: the official ``.pth`` files of
RLFN, the packaged ``.safetensors``, and every other architecture of :data:`rlfn.networks.ARCHITECTURES`, of any size
and scale. Files of spandrel's own architectures are unaffected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlfn.errors import MissingExtraError, ModelError

INSTALL = "pip install spandrel torchvision, both for the installed build of torch (docs/guide/deploy.md)"
"""No extra installs spandrel: it needs torchvision, and pip might choose a build that does not match torch's."""


def architecture_id(name: str) -> str:
    """Return the id of an architecture in spandrel: ``RLFN``, or ``rlfn-`` and the name for all others.

    >>> architecture_id("rlfn"), architecture_id("edsr")
    ('RLFN', 'rlfn-edsr')
    """
    return "RLFN" if name == "rlfn" else f"rlfn-{name}"


def register(registry: Any = None) -> None:
    """Add rlfn's architectures to a spandrel registry; further calls have no effect.

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

    spandrel passes pictures in [0, 1] to a model, and networks here take [0, 255]. With ESA, whose resize depends on
    the input size, tiles cut by other software never equal the whole picture: hence the tiling advice.
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
    """Return whether a state dict is a network of an architecture.

    An RLFN is recognised by the name of ESA's convolution, so that the error for a damaged file says what is missing;
    all others must match in every tensor, so that no file of spandrel's own architectures is claimed.
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
