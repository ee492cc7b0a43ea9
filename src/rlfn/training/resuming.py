"""Whether a checkpoint can be resumed: by this version of the package, and on the pictures that are given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rlfn
from rlfn.data.store import PictureStore
from rlfn.errors import DataError, ModelError
from rlfn.wording import counted, setting

_KEYS = ("learner", "state", "recipe", "data", "pictures", "origins", "versions")
"""What every checkpoint of this version has."""


@contextmanager
def explain_other_version(saved: dict[str, Any], out: Path) -> Iterator[None]:
    """Turn the lack of a part of a checkpoint into an error that says what the matter is.

    Raises:
        ModelError: the checkpoint was saved by a version of rlfn whose checkpoints have other parts.
    """
    try:
        for key in _KEYS:
            saved[key]
        yield
    except (KeyError, TypeError) as error:
        made = other_version(saved.get("versions", {}).get("rlfn", "unknown"))
        raise ModelError(
            f"The run in {out} was saved by {made}, whose checkpoints this one does not read ({error}). "
            "Resume it with that version, or start another run."
        ) from error


def other_version(made: str) -> str:
    """Return how a message names the version that made something which this one does not read."""
    if made == rlfn.__version__:
        return f"another development version of rlfn {made}"
    return f"another version of rlfn ({made}; this is {rlfn.__version__})"


def describe_data(pictures: PictureStore, scale: int) -> dict[str, Any]:
    """Return what a checkpoint keeps of a run's pictures, to recognise them when it is resumed."""
    return {
        "pictures": pictures.fingerprint(scale),
        "outline": pictures.outline(),
        "label": pictures.label,
        "count": len(pictures),
        "slow": pictures.slow,
    }


def known_data(saved: dict[str, Any], pictures: PictureStore, scale: int, out: Path) -> dict[str, Any]:
    """Return what the checkpoint ``saved`` keeps of its pictures if ``pictures`` are the same ones.

    A pack is also the same as the folder that it was made of.

    Raises:
        DataError: they are others; the message says in what they differ.
    """
    if saved["pictures"] not in (pictures.fingerprint(scale), pictures.fingerprint(scale, unpacked=True)):
        raise DataError(
            f"{pictures.label[0].upper()}{pictures.label[1:]} is not what the run in {out} was trained on"
            f"{_difference(saved, pictures)}. A resumed run keeps its data. Give the place where that is now as "
            f"{setting('data')}, or start another run."
        )
    return {key: saved[key] for key in describe_data(pictures, scale) if key in saved}


def _difference(saved: dict[str, Any], pictures: PictureStore) -> str:
    if "outline" not in saved:  # of an older checkpoint
        return f": its {counted(len(pictures), 'picture')}, their contents or their weights differ"
    before = f" ({saved['label']})"
    if saved["count"] != len(pictures):
        return f"{before}: it has {counted(len(pictures), 'picture')}, not {saved['count']:,}"
    if saved["outline"] != pictures.outline():
        return f"{before}: the names or the dimensions of its pictures differ"
    if pictures.slow and not saved["slow"]:
        return f"{before}: the pictures of a folder cannot be compared with those of a pack; pack them again"
    if saved["slow"] and not pictures.slow:
        return f"{before}: the pack was made of other files, or with other LR pictures"
    return f"{before}: the contents of its pictures, or their weights, differ"
