"""Errors: what they keep on their way to another process."""

from __future__ import annotations

import pickle

import pytest

from rlfn import errors
from rlfn.errors import MissingExtraError, RlfnError
from rlfn.wording import setting

PLAIN = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, RlfnError) and kind is not MissingExtraError
]


@pytest.mark.parametrize(
    "error",
    [
        *(kind(f"Too large. Use {setting('tile', 128)}.") for kind in PLAIN),
        MissingExtraError("Video", "video"),
        MissingExtraError(f"{setting('device', 'gpu')}", install="pip install ncnn"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickle(error: RlfnError) -> None:
    error.add_note("in a.png")
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert (str(found), found.template, found.args) == (str(error), error.template, error.args)
    assert vars(found) == vars(error)
    assert found.__notes__ == ["in a.png"]


def test_a_missing_extra_names_what_to_install() -> None:
    error = MissingExtraError("Video", "video")
    assert (error.feature, error.extra, error.install) == ("Video", "video", "")
    assert str(error).endswith("Install them with: pip install 'rlfn[video]'")
