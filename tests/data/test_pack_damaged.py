"""Packs whose index or journal was damaged or made up: one sentence, whatever is in them."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from rlfn.data.pack import INDEX, JOURNAL, Pack, seal
from rlfn.data.packing import make_pack
from rlfn.errors import DataError, RlfnError

_NONSENSE: tuple[Any, ...] = (None, -1, 0, 1 << 70, 1.5, "", "x", [], {}, [None], {"1": -1}, {"1": None}, True, [[]])


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(deeper for key, one in inner for deeper in _places(one, (*place, key)))]


def _put(index: dict[str, Any], place: tuple[Any, ...], value: Any) -> None:
    target: Any = index
    for key in place[:-1]:
        target = target[key]
    if value == "gone":
        del target[place[-1]]
    else:
        target[place[-1]] = value


def _use(path: Path) -> None:
    """Open a pack and read all of it; RlfnErrors may tell what is wrong."""
    try:
        pack = Pack.open(path)
        pack.verify()
        for scale in (1, *pack.scales):
            for picture in range(len(pack)):
                pack.planes(picture, scale)
        pack.split(0.2, "train")
    except RlfnError:
        return


def test_damage_at_every_place_of_a_sealed_index(pack: Pack) -> None:
    file = pack.path / INDEX
    good = json.loads(file.read_text())
    for place in _places(good)[1:]:
        for value in (*_NONSENSE, "gone"):
            index = copy.deepcopy(good)
            _put(index, place, value)
            file.write_text(json.dumps(index if place[0] == "sha256" else seal(index)))
            _use(pack.path)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"kind": "rlfn pack", "version": 1, "n": ' + "9" * 5000 + "}", "null", "\0" * 50]
)
def test_an_index_that_is_not_json(pack: Pack, text: str) -> None:
    (pack.path / INDEX).write_text(text)
    with pytest.raises(DataError, match="damaged"):
        Pack.open(pack.path)


def test_deep_index(pack: Pack) -> None:
    deep = '{"kind": "rlfn pack", "version": 1, "sha256": "", "n": ' + "[" * 900 + "]" * 900 + "}"
    (pack.path / INDEX).write_text(deep)
    with pytest.raises(DataError, match="damaged"):
        Pack.open(pack.path)


def test_bytes_of_an_index(pack: Pack) -> None:
    file, rng = pack.path / INDEX, random.Random(0)
    good = file.read_bytes()
    for _ in range(200):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        file.write_bytes(bytes(data) if rng.random() < 0.8 else bytes(data[: rng.randrange(len(data))]))
        if file.read_bytes() != good:
            with pytest.raises(DataError):
                Pack.open(pack.path)


def test_journal_with_nonsense(folder: Path, tmp_path: Path) -> None:
    done = make_pack([folder], tmp_path / "pack", scales=(2,), min_side=16)
    index = json.loads((done.pack.path / INDEX).read_text())
    journal = done.pack.path / JOURNAL
    (done.pack.path / INDEX).unlink()
    for value in ("{}", "[]", "3", '{"name": "a.png"}', json.dumps({**index["pictures"][0], "offsets": {"1": -5}})):
        journal.write_text(json.dumps(index["settings"]) + "\n" + value + "\n")
        with pytest.raises(DataError, match="damaged"):
            make_pack([folder], done.pack.path, scales=(2,), min_side=16)
    journal.write_text(json.dumps(index["settings"]) + "\n" + json.dumps(index["pictures"][0]) + "\n[[[")
    assert make_pack([folder], done.pack.path, scales=(2,), min_side=16).made == 2
