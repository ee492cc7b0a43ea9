"""Frozen feature extractors for the contrastive loss.

``random-tanh`` is the paper's: convolution, Tanh, convolution, with random weights that are never trained. The others
are what the paper compares it with. Every extractor takes (N, 3, H, W) in [0, 1] and returns the layers it compares.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock
from pydantic import Field, field_validator
from torch import Tensor, nn

from rlfn.errors import MissingExtraError, ModelError, OptionError
from rlfn.training.losses import Ratio
from rlfn.training.section import Section, known

VGG19_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
"""torchvision's ImageNet weights of VGG-19; the first eight hex digits of the sha256 end the file's name."""

VGG19_FILE = VGG19_URL.rsplit("/", 1)[1]
"""The name of that file, in the cache too."""

VGG19_WEIGHTS = ("imagenet", "random")
"""Weights of VGG-19, besides the path of torchvision's file."""

_VGG19_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)
VGG19_LAYERS = (1, 3, 5, 9, 13)
"""The convolutions whose features are compared, counted from 1."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class Contrastive(Section):
    """The features of the contrastive loss."""

    extractor: str = "random-tanh"
    """One of the table of extractors."""
    width: int = Field(default=64, ge=1)
    """random-*: channels of both convolutions (the paper prints none)."""
    seed: int = Field(default=0, ge=0)
    """random-* and random VGG-19 weights: their seed."""
    vgg19: str = "imagenet"
    """vgg19*: `imagenet` downloads torchvision's weights, `random` draws them, or give the path of the file."""
    layer_weights: tuple[float, ...] = Field(default=(), strict=False)
    """One weight a layer, not negative and one above 0; all 1 if empty."""
    ratio: Ratio = "sample"
    """`sample`: each sample's ratio of distances, averaged; `batch`: the ratio of the batch's mean distances, over all
    devices, as the loss's sources have it."""

    @field_validator("extractor")
    @classmethod
    def _extractor(cls, name: str) -> str:
        return known("extractor", name, EXTRACTORS)

    @field_validator("layer_weights")
    @classmethod
    def _layer_weights(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if weights and (min(weights) < 0.0 or not any(weights)):
            raise OptionError("The weights of the layers must not be negative, and one must be above 0.")
        return weights


class Extractor(nn.Module):
    """A frozen network whose forward returns the compared features, shallow first; ``layers`` says how many."""

    layers: int

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of ``image`` (N, 3, H, W) in [0, 1]."""
        raise NotImplementedError


class TwoConvolutions(Extractor):
    """Conv k3 s1, an activation, conv k3 s1, frozen at random weights: the paper's choice.

    The compared layers are those after the activation and after the second convolution. The paper prints neither the
    width nor the seed, so both are options that are recorded with the run.
    """

    layers = 2

    def __init__(self, activation: nn.Module, width: int, seed: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.activation = activation
        self.second = nn.Conv2d(width, width, 3, padding=1)
        generator = torch.Generator().manual_seed(seed)
        for convolution in (self.first, self.second):
            bound = convolution.weight[0].numel() ** -0.5  # torch's own default range
            nn.init.uniform_(convolution.weight, -bound, bound, generator=generator)
            assert convolution.bias is not None
            nn.init.uniform_(convolution.bias, -bound, bound, generator=generator)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features after the activation and after the second convolution."""
        shallow = self.activation(self.first(image))
        return [shallow, self.second(shallow)]


class VGG19(Extractor):
    """The convolutions 1, 3, 5, 9 and 13 of VGG-19, after their activation (Simonyan & Zisserman, 2015).

    Args:
        activation: makes the activation: ``nn.ReLU``, or ``nn.Tanh`` for the paper's comparison.
    """

    layers = len(VGG19_LAYERS)

    mean: Tensor
    std: Tensor

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        self.taps: list[int] = []
        before, number = 3, 0
        for width in _VGG19_WIDTHS:
            if width == 0:
                steps.append(nn.MaxPool2d(2))
                continue
            number += 1
            steps += [nn.Conv2d(before, width, 3, padding=1), activation()]
            before = width
            if number in VGG19_LAYERS:
                self.taps.append(len(steps) - 1)
            if number == VGG19_LAYERS[-1]:
                break
        self.features = nn.Sequential(*steps)
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of the five layers."""
        found = []
        x = (image - self.mean) / self.std
        for index, step in enumerate(self.features):
            x = step(x)
            if index in self.taps:
                found.append(x)
        return found

    def load(self, path: str | os.PathLike[str]) -> None:
        """Read the ImageNet weights from torchvision's file; its classifier and deeper layers are left out.

        Raises:
            ModelError: the file is missing, damaged or another network's.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            wanted = self.state_dict()
            self.load_state_dict({name: state[name] for name in wanted})
        except Exception as error:  # torch raises pickle, zip, runtime, key and file errors alike
            raise ModelError(
                f"{path} cannot be read as torchvision's VGG-19. Download {VGG19_URL} again, or give its path as "
                "contrastive.vgg19."
            ) from error


def _random_tanh(options: Contrastive) -> Extractor:
    return TwoConvolutions(nn.Tanh(), options.width, options.seed)


def _random_relu(options: Contrastive) -> Extractor:
    return TwoConvolutions(nn.ReLU(), options.width, options.seed)


def _vgg19(options: Contrastive) -> Extractor:
    return _with_weights(nn.ReLU, options)


def _vgg19_tanh(options: Contrastive) -> Extractor:
    return _with_weights(nn.Tanh, options)


EXTRACTORS: dict[str, Callable[[Contrastive], Extractor]] = {
    "random-relu": _random_relu,
    "random-tanh": _random_tanh,
    "vgg19": _vgg19,
    "vgg19-tanh": _vgg19_tanh,
}
"""Every extractor by the name that recipes use."""


def make_extractor(options: Contrastive) -> Extractor:
    """Build the extractor that ``options.extractor`` names, frozen and in evaluation mode."""
    return EXTRACTORS[options.extractor](options).eval().requires_grad_(False)


def _with_weights(activation: Callable[[], nn.Module], options: Contrastive) -> VGG19:
    if options.vgg19 == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            return VGG19(activation)
    network = VGG19(activation)
    network.load(fetch_vgg19() if options.vgg19 == "imagenet" else Path(options.vgg19))
    return network


def cached_vgg19() -> Path | None:
    """Return the file that :func:`fetch_vgg19` downloaded before, or None; nothing is downloaded."""
    try:
        import pooch
    except ImportError:
        return None
    path = Path(pooch.os_cache("rlfn")) / VGG19_FILE
    return path if path.is_file() else None


def fetch_vgg19() -> Path:
    """Download torchvision's VGG-19 (about 550 MB) once and return its path.

    Raises:
        MissingExtraError: pooch is not installed.
        ModelError: the download failed; the message says how to go on without a network.
    """
    try:
        import pooch
    except ImportError:
        raise MissingExtraError("Downloading VGG-19", "train") from None
    try:
        # the publisher states the hash's beginning alone, in the name; it is checked below
        folder = Path(pooch.os_cache("rlfn"))
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{VGG19_FILE}.lock"):  # all processes of a run ask at once
            path = Path(pooch.retrieve(VGG19_URL, known_hash=None, fname=VGG19_FILE, path=folder))
        digest = pooch.file_hash(str(path), alg="sha256")
    except Exception as error:  # pooch passes on the errors of every transport
        raise ModelError(
            f"VGG-19 cannot be downloaded from {VGG19_URL}: {error}. Download it elsewhere and give its path as "
            "contrastive.vgg19."
        ) from error
    if not digest.startswith(VGG19_FILE.removeprefix("vgg19-").removesuffix(".pth")):
        path.unlink(missing_ok=True)
        raise ModelError(f"What was downloaded from {VGG19_URL} is not the file that was published. Try again.")
    return path
