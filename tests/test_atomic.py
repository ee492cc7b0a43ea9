"""Errors of the operating system while a file is written, and what to do about each."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from rlfn.atomic import drop_unfinished, folder_beside, to_path
from rlfn.errors import OutputError


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_space_is_mentioned_only_where_it_is_missing(tmp_path: Path, number: int) -> None:
    def encode(stream: BinaryIO) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(OutputError) as caught:
        to_path(tmp_path / "a.png", encode)
    full = number in (errno.ENOSPC, errno.EDQUOT)
    assert str(caught.value).startswith(f"'{tmp_path / 'a.png'}' cannot be written: {os.strerror(number).lower()}.")
    assert str(caught.value).endswith(" Free some space or write elsewhere." if full else ". Write elsewhere.")
    assert list(tmp_path.iterdir()) == []


def interrupted(path: Path, left: Path) -> None:
    """Write a file under another name, and stop."""
    with folder_beside(path) as aside:
        assert aside.parent == path.parent
        (aside / left).touch()
        raise KeyboardInterrupt


def test_a_folder_beside_a_file_goes_and_made_parents_stay_only_with_a_result(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.bin"
    with pytest.raises(KeyboardInterrupt):
        interrupted(path, Path("half"))
    assert list(tmp_path.iterdir()) == []
    with folder_beside(path) as aside:
        (aside / "whole").touch()
        os.replace(aside / "whole", path)
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(OutputError, match="no space left"), folder_beside(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(path.parent.iterdir()) == [path]


def test_a_process_that_ends_without_unwinding_leaves_no_folder(tmp_path: Path) -> None:
    with folder_beside(tmp_path / "new" / "deep" / "a.bin") as aside:
        (aside / "half").touch()
        drop_unfinished()
        assert list(tmp_path.iterdir()) == []


def test_a_made_parent_that_others_use_stays(tmp_path: Path) -> None:
    other = tmp_path / "new" / "other"
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "new" / "a.bin", other)
    assert list(tmp_path.rglob("*")) == [other.parent, other]
