"""Models as folders of the Hugging Face hub: weights, ``config.json`` and a model card.

Write, read and upload a model:

    from rlfn.integrations.huggingface import from_pretrained, push_to_hub, save_pretrained

    save_pretrained("rlfn-s-x4", "folder")
    checkpoint = from_pretrained("folder")          # or from_pretrained("owner/name") from the hub
    push_to_hub("rlfn-s-x4", "owner/name")
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlfn.atomic import make_folder, write_bytes
from rlfn.errors import MissingExtraError, ModelError
from rlfn.inference.loading import checkpoint_of
from rlfn.models.source import ModelSource
from rlfn.telemetry import import_silent
from rlfn.wording import one_line

if TYPE_CHECKING:
    from rlfn.networks import Checkpoint

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
CARD_FILE = "README.md"

_CARD = """---
license: {licence}
library_name: rlfn
pipeline_tag: image-to-image
tags:
- super-resolution
- rlfn
---

# {name}

{variant}, upscaling x{scale}: {parameters:,} parameters, RGB in [0, 255] in and out
([Residual Local Feature Network](https://arxiv.org/abs/2205.07514)).

{training}
{scores}
## Use

    pip install 'rlfn[huggingface,torch]'

```python
from rlfn.integrations.huggingface import from_pretrained

checkpoint = from_pretrained("{repo}")
sr = checkpoint.network(lr)  # (N, 3, H, W) float in [0, 255], at least 15 px a side
```

Or download `{weights}` and run `rlfn upscale photo.jpg -m {weights}`.
"""


def save_pretrained(model: str | os.PathLike[str], folder: str | os.PathLike[str], *, repo: str | None = None) -> Path:
    """Write a model as a folder: weights, config, and a model card.

    Args:
        model: a packaged model's name, or a .safetensors or .pth file.
        folder: created if it is missing; files of the same names are replaced.
        repo: ``owner/name`` on the hub, for the card; None for the folder's name.

    Raises:
        MissingExtraError: torch is not installed.
        ModelError: the model cannot be read.
        OutputError: the folder cannot be written.
    """
    source, folder = ModelSource(model), Path(folder)
    checkpoint = checkpoint_of(source)
    from rlfn.networks import save_checkpoint

    make_folder(folder)
    variant = checkpoint.variant
    save_checkpoint(folder / WEIGHTS_FILE, checkpoint.network, variant, checkpoint.scale, checkpoint.metadata)
    config = {
        "model_type": "rlfn",
        "variant": variant.name,
        "architecture": variant.architecture,
        "fields": asdict(variant.fields),
        "scale": checkpoint.scale,
        "value_range": 255,
    }
    write_bytes(folder / CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())
    write_bytes(folder / CARD_FILE, model_card(source.name, checkpoint, repo or folder.resolve().name).encode())
    return folder


def from_pretrained(name: str | os.PathLike[str], *, revision: str | None = None) -> Checkpoint:
    """Load a model from a folder, or from the hub if no such folder exists.

    Args:
        name: a folder that :func:`save_pretrained` wrote, or ``owner/name`` on the hub.
        revision: a branch, tag or commit on the hub.

    Raises:
        MissingExtraError: torch is not installed, or huggingface_hub, which is needed for the hub.
        ModelError: the folder contains no model, or the hub cannot be reached or has no model of that name.
    """
    path = Path(name) / WEIGHTS_FILE
    if not Path(name).is_dir():
        path = _download(str(name), revision)
    elif not path.is_file():
        raise ModelError(f"The folder {name} has no {WEIGHTS_FILE}. Give one that save_pretrained wrote.")
    return checkpoint_of(ModelSource(path))


def push_to_hub(model: str | os.PathLike[str], repo: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload a model to ``repo`` (``owner/name``), created if it is missing, and return the commit's URL.

    Raises:
        MissingExtraError: huggingface_hub or torch is not installed.
        ModelError: the model cannot be read.
    """
    hub = _hub()
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder, repo=repo)
        api = hub.HfApi(token=token)
        api.create_repo(repo, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload with rlfn"))


def model_card(name: str, checkpoint: Checkpoint, repo: str) -> str:
    """Return the card in Markdown; scores and training of packaged models come from the manifest."""
    from rlfn.models import catalog

    packaged = catalog.models().get(name)
    training = packaged.training if packaged else checkpoint.metadata.get("trained", "")
    scores = ""
    if packaged is not None:
        rows = "".join(f"| {key} | {row['psnr']:.3f} | {row['ssim']:.4f} |\n" for key, row in packaged.scores.items())
        scores = f"\n| set | PSNR on Y (dB) | SSIM on Y |\n|---|---|---|\n{rows}"
    return _CARD.format(
        licence=packaged.licence.lower() if packaged else "unknown",
        name=name,
        variant=checkpoint.variant.name,
        scale=checkpoint.scale,
        parameters=sum(parameter.numel() for parameter in checkpoint.network.parameters()),
        training=f"Training: {training}.\n" if training else "",
        scores=scores,
        repo=repo,
        weights=WEIGHTS_FILE,
    )


def _download(name: str, revision: str | None) -> Path:
    hub = _hub()
    try:
        return Path(hub.hf_hub_download(name, WEIGHTS_FILE, revision=revision))
    except Exception as error:  # the hub's errors come from several libraries
        raise ModelError(
            f"{name} is not a local folder and cannot be downloaded from the Hugging Face hub: {one_line(error)}. "
            "Check the name and the connection."
        ) from error


def _hub() -> Any:
    try:
        return import_silent("huggingface_hub")
    except ImportError:
        raise MissingExtraError("The Hugging Face hub", "huggingface") from None
