"""Reading and writing weights: our safetensors and the official ``.pth`` files.

Every RLFN state dict that is written uses [0, 255], like the official ones. For weights trained in another range,
:func:`fold_range` folds the scaling into the first and the last convolution, which is exact because it is linear.
Third-party files are untrusted: only tensors are ever loaded.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from rlfn.atomic import write_bytes
from rlfn.errors import ModelError, OptionError
from rlfn.models.variants import SCALES, VARIANTS, Variant, variant_from_sizes, variant_of
from rlfn.networks.build import ARCHITECTURES, build, undeduced
from rlfn.networks.unwrapping import NoTensors, tensors_in
from rlfn.wording import listing

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
"""The kinds of checkpoint file that can be read."""

RUN_STATE = b"RLFN-RUN-"
"""How files of :mod:`rlfn.training.checkpoint` begin."""


@dataclass(frozen=True)
class Checkpoint:
    """A network with its weights, in evaluation mode on the CPU, and the metadata of its file."""

    network: nn.Module
    variant: Variant
    scale: int
    metadata: dict[str, str] = field(default_factory=dict)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a ``.safetensors`` or ``.pth`` file of any network in the table.

    The variant and the scale are deduced from the tensors' names and shapes; contradicting metadata is an error.

    Raises:
        ModelError: the file is missing, damaged, unsafe, or not a known network.
    """
    path = Path(path)
    state, metadata = read_state(path)
    variant, scale = _named(state, metadata, path) or identify(state, path)
    for key, found in (("variant", variant.name), ("scale", str(scale))):
        if metadata.get(key, found) != found:
            raise ModelError(
                f"{path} says it holds {key} {metadata[key]}, but its tensors are those of {key} {found}. "
                "The file is damaged or was mislabelled; get it again from its source."
            )
    if metadata.get("value_range", "255") not in ("255", "255.0"):
        raise ModelError(
            f"{path} says its network takes [0, {metadata['value_range'][:20]}]. Networks here take [0, 255]. "
            "Fold the range with rlfn.networks.checkpoints.fold_range and save the file again."
        )
    network = build(variant, scale)
    network.load_state_dict(state)
    return Checkpoint(network.eval().requires_grad_(False), variant, scale, metadata)


def save_checkpoint(
    path: str | os.PathLike[str],
    network: nn.Module,
    variant: Variant,
    scale: int,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write weights for [0, 255] as ``.safetensors`` (with metadata) or ``.pth`` (the official layout).

    The file is written atomically.

    Raises:
        OptionError: the suffix is neither of the two.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if path.suffix.lower() == ".safetensors":
        facts = {
            **(metadata or {}),
            "variant": variant.name,
            "architecture": variant.architecture,
            "sizes": json.dumps(asdict(variant.fields)),
            "scale": str(scale),
            "value_range": "255",
        }
        data = _sorted_header(save(state, metadata=facts))
    elif path.suffix == ".pth":
        import io

        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
    else:
        raise OptionError(f"Weights cannot be written to {path}. Allowed suffixes: .safetensors, .pth.")
    write_bytes(path, data)


def _sorted_header(data: bytes) -> bytes:
    """Return a safetensors file with its metadata in alphabetical order.

    safetensors writes metadata in random order (its issue 584), so that the same weights would give another file, and
    another hash, each time.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the float32 tensors of a checkpoint file and its metadata (empty for ``.pth``)."""
    if not path.is_file():
        raise ModelError(f"There is no model file {path}. Give the path of a file ending in {listing(SUFFIXES)}.")
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(f"{path} is not a kind of weights that can be read. Allowed suffixes: {listing(SUFFIXES)}.")
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings():  # torch's warnings about foreign pickles repeat the error below
            warnings.simplefilter("ignore", UserWarning)
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, runtime and end-of-file errors
        if _is_run_state(path):
            raise ModelError(
                f"{path} is the state of a training run, from which it resumes, not a model. Give model.safetensors or "
                "best.safetensors from the run's folder."
            ) from error
        if _is_torchscript(path):
            raise ModelError(
                f"{path} is a TorchScript program, not weights. Give the .safetensors or .pth file that it was made of."
            ) from error
        raise ModelError(
            f"{path} cannot be read as PyTorch weights: it is damaged, or holds objects other than tensors. "
            "Only files of plain tensors are loaded, for safety."
        ) from error
    return _unwrapped(found, path), {}


def _unwrapped(content: object, path: Path) -> dict[str, Tensor]:
    try:
        return tensors_in(content)
    except NoTensors as error:
        raise ModelError(f"{path} {error}. It is not a network's file.") from None


def _is_run_state(path: Path) -> bool:
    """Tell whether a file is a checkpoint of a run, of any version."""
    try:
        with path.open("rb") as file:
            return file.read(len(RUN_STATE)) == RUN_STATE
    except OSError:
        return False


def _is_torchscript(path: Path) -> bool:
    """Return whether a file is an archive of code and constants as written by ``torch.jit.save``."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            content = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} cannot be read as safetensors: {error}. The file is damaged or of another kind."
        ) from error
    return _unwrapped(content, path), metadata


def identify(state: Mapping[str, Tensor], path: Path) -> tuple[Variant, int]:
    """Find the variant and scale whose tensors have exactly the names and shapes of ``state``.

    For sizes outside the table, the variant is named after its architecture with the suffix ``-custom``.

    Raises:
        ModelError: no network matches; the message says what was found.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name, architecture in ARCHITECTURES.items():
        guess = architecture.deduce(shapes)
        if guess is None or guess[1] not in SCALES:
            continue
        fields, scale = guess
        variant = variant_of(name, fields)
        _check_shapes(state, variant, scale, path)
        return variant, scale
    raise ModelError(
        f"{path} holds {len(shapes)} tensors ({listing(list(shapes)[:3])}, ...) that match no known network. "
        f"Known: {listing(VARIANTS)}."
    )


def _named(state: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> tuple[Variant, int] | None:
    """Return variant and scale from the metadata, for architectures that need it; None for the others."""
    architecture = metadata.get("architecture")
    if architecture is None or (architecture in ARCHITECTURES and ARCHITECTURES[architecture].deduce is not undeduced):
        return None
    if architecture not in ARCHITECTURES:
        from rlfn.networks.extensions import register_installed_networks

        register_installed_networks()
    if architecture not in ARCHITECTURES:
        raise ModelError(
            f"{path} holds a network of the architecture {architecture}, which is not known here. Load the extension "
            f"that defines it first. Known: {listing(ARCHITECTURES)}."
        )
    try:
        variant = variant_from_sizes(architecture, json.loads(metadata["sizes"]))
        scale = int(metadata["scale"])
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path} does not state the sizes of its network: {error}. Get it again.") from None
    _check_shapes(state, variant, scale, path)
    return variant, scale


def _check_shapes(state: Mapping[str, Tensor], variant: Variant, scale: int, path: Path) -> None:
    with torch.device("meta"):
        wanted = {key: tuple(tensor.shape) for key, tensor in build(variant, scale).state_dict().items()}
    wrong = sorted(
        key
        for key in wanted.keys() | state.keys()
        if key not in wanted or key not in state or wanted[key] != tuple(state[key].shape)
    )
    if wrong:
        raise ModelError(
            f"{path} looks like {variant.name} x{scale}, but {len(wrong)} of its tensors are missing, foreign or of "
            f"another shape ({listing(wrong[:3])}{', ...' if len(wrong) > 3 else ''}). The file is not that network."
        )


def fold_range(network: nn.Module, trained: float, wanted: float = 255.0) -> None:
    """Change the value range of a network's input and output from [0, ``trained``] to [0, ``wanted``], in place.

    f'(x) = (wanted / trained) f(x trained / wanted), folded exactly into the first and the last convolution.

    Raises:
        OptionError: the network does not begin and end with a convolution; its range is always [0, 255].
    """
    ends = getattr(network, "range_ends", None)
    if ends is None:
        raise OptionError(
            f"The value range of {type(network).__name__} cannot be folded into its weights. "
            "Its range is always [0, 255]: use that range in training too."
        )
    first, last = (network.get_submodule(name) for name in ends)
    assert isinstance(first, nn.Conv2d)
    assert isinstance(last, nn.Conv2d)
    with torch.no_grad():
        first.weight.mul_(trained / wanted)
        last.weight.mul_(wanted / trained)
        if last.bias is not None:
            last.bias.mul_(wanted / trained)
