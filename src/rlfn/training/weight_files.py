"""The files of weights that a recipe names: a packaged model's, by its name, or a path."""

from __future__ import annotations

from pathlib import Path

from rlfn.models import catalog


def weights_file(named: str) -> Path:
    """Return the file of ``init`` or ``teacher``; whether it exists is not checked.

    >>> weights_file("rlfn-s-x4").name, weights_file("runs/a.safetensors").name
    ('rlfn-s-x4.safetensors', 'a.safetensors')
    """
    packaged = catalog.models().get(named)
    return Path(named) if packaged is None else packaged.file(catalog.TENSORS).path
