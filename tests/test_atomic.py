"""Errors of the operating system while a file is written, and what to do about each."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from rlfn.atomic import to_path
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
