from __future__ import annotations

import itertools
import pickle
import queue
from typing import Any

import numpy as np
import pytest

from rlfn.data.crops import REDRAWS, batches, is_flat, sample_batch, sample_stream
from rlfn.data.degradations import Bicubic
from rlfn.data.pack import Pack
from rlfn.errors import DataError, OptionError
from synthetic import synthetic
from waiting import PATIENCE


def draw(pack: Pack, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    arguments: dict[str, Any] = {"seed": 3, "iteration": 7, "first": 0, "count": 8, "scale": 4, "patch": 8}
    arguments |= {"pictures": pack.split(0, "all"), "degradation": Bicubic()}
    return sample_batch(pack, **(arguments | changes))


def orientations(planes: np.ndarray) -> list[np.ndarray]:
    turned = [planes, planes.transpose(0, 2, 1)]
    return [view[:, ::rows, ::columns] for view in turned for rows in (1, -1) for columns in (1, -1)]


def find(crop: np.ndarray, planes: np.ndarray) -> list[tuple[int, int]]:
    """Return every (top, left) at which the (3, h, w) crop lies in the (3, H, W) picture."""
    _, height, width = crop.shape
    starts = planes[:, : planes.shape[1] - height + 1, : planes.shape[2] - width + 1]
    places = np.argwhere((starts == crop[:, :1, :1]).all(axis=0)).tolist()  # where its first pixel fits
    return [(y, x) for y, x in places if np.array_equal(planes[:, y : y + height, x : x + width], crop)]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_crops_are_aligned_and_share_their_orientation(pack: Pack, scale: int) -> None:
    lr, hr = draw(pack, scale=scale, count=12)
    assert lr.shape == (12, 3, 8, 8)
    assert hr.shape == (12, 3, 8 * scale, 8 * scale)
    assert lr.dtype == hr.dtype == np.uint8
    assert lr.flags.c_contiguous
    assert hr.flags.c_contiguous
    for small, big in zip(lr, hr, strict=True):
        places = [
            (picture, place, orientation)
            for orientation, (s, b) in enumerate(zip(orientations(small), orientations(big), strict=True))
            for picture in range(len(pack))
            for place in find(s, pack.planes(picture, scale))
            if (place[0] * scale, place[1] * scale) in find(b, pack.planes(picture))
        ]
        assert len(places) == 1


def test_every_picture_and_every_orientation_is_drawn(pack: Pack) -> None:
    _, hr = draw(pack, count=160)
    seen = set()
    for crop in hr:
        for orientation, view in enumerate(orientations(crop)):
            seen |= {
                (orientation, picture) for picture in range(len(pack)) if find(view[:, :1, :], pack.planes(picture))
            }
    assert seen == set(itertools.product(range(8), range(len(pack))))


def test_positions_reach_the_borders(pack: Pack) -> None:
    side = 64  # the third picture is 64 x 67, so its crops start in its first row, at the first column only
    _, hr = draw(pack, patch=side // 4, count=40, pictures=np.array([2]))
    assert {
        find(view, pack.planes(2))[0] for crop in hr for view in orientations(crop) if find(view, pack.planes(2))
    } == {(0, 0)}


def test_a_sample_depends_only_on_its_index(pack: Pack) -> None:
    lr, hr = draw(pack)
    for first, count in ((0, 1), (3, 2), (5, 3)):
        lr_part, hr_part = draw(pack, first=first, count=count)
        assert np.array_equal(lr_part, lr[first : first + count])
        assert np.array_equal(hr_part, hr[first : first + count])


@pytest.mark.parametrize("change", [{"seed": 4}, {"iteration": 8}, {"first": 8}])
def test_another_seed_iteration_or_number_gives_other_samples(pack: Pack, change: dict[str, int]) -> None:
    assert not np.array_equal(draw(pack, **change)[1], draw(pack)[1])


def test_a_pickled_pack_gives_the_same_samples(pack: Pack) -> None:
    assert np.array_equal(draw(pickle.loads(pickle.dumps(pack)))[1], draw(pack)[1])


def test_streams_do_not_overlap() -> None:
    drawn = [sample_stream(*key).integers(0, 2**63) for key in itertools.product((0, 1), (0, 1), (0, 1, 2))]
    assert len(set(drawn)) == len(drawn)


def test_only_the_chosen_pictures_are_drawn(pack: Pack) -> None:
    _, hr = draw(pack, pictures=np.array([1]), count=20)
    for crop in hr:
        assert any(find(view, pack.planes(1)) for view in orientations(crop))


def test_flat_crops_are_skipped(tmp_path: Any) -> None:

    from rlfn.data.packing import make_pack
    from rlfn.data.pictures import write_rgb

    picture = synthetic(128, 256)
    picture[:, :128] = 77
    (tmp_path / "in").mkdir()
    write_rgb(tmp_path / "in" / "half.png", picture)
    pack = make_pack([tmp_path / "in"], tmp_path / "pack", min_side=64).pack

    def flat(share: float) -> float:
        return float(np.mean([is_flat(crop, 4) for crop in draw(pack, count=200, skip_flat=share)[1]]))

    assert flat(0.0) > 0.35
    assert 0.1 < flat(0.5) < 0.35
    assert flat(1.0) < 0.45**REDRAWS


def test_a_crop_larger_than_a_picture_names_the_picture(pack: Pack) -> None:
    with pytest.raises(DataError, match=r"smaller than a crop of 68x68: b\.png, sub/c\.png.*min_side=68"):
        draw(pack, patch=17)
    draw(pack, patch=17, pictures=np.array([0]))


def test_a_scale_that_the_pack_lacks_is_refused(pack: Pack) -> None:
    with pytest.raises(DataError, match="it has: 2, 3, 4"):
        draw(pack, scale=5)


@pytest.mark.parametrize("change", [{"count": 0}, {"patch": 0}, {"scale": 1}, {"skip_flat": 1.5}])
def test_impossible_batches_are_refused(pack: Pack, change: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="Allowed: at least 1 crop"):
        draw(pack, **change)


def test_prefetched_batches_are_the_same_and_in_order(pack: Pack) -> None:
    made = list(batches(lambda i: draw(pack, iteration=i), range(5, 12)))
    assert [iteration for iteration, _ in made] == list(range(5, 12))
    for iteration, (lr, hr) in made:
        wanted = draw(pack, iteration=iteration)
        assert np.array_equal(lr, wanted[0])
        assert np.array_equal(hr, wanted[1])


def test_prefetching_works_while_the_consumer_does() -> None:
    drawn: queue.Queue[int] = queue.Queue()

    def draw_one(iteration: int) -> int:
        drawn.put(iteration)
        return iteration

    stream = batches(draw_one, itertools.count())
    assert next(stream) == (0, 0)
    assert [drawn.get(timeout=PATIENCE) for _ in range(3)] == [0, 1, 2]  # two ahead of what the consumer has
    with pytest.raises(queue.Empty):
        drawn.get(timeout=0.2)
    stream.close()
    assert drawn.empty()


def test_an_error_while_prefetching_reaches_the_consumer(pack: Pack) -> None:
    stream = batches(lambda i: draw(pack, patch=8 if i < 2 else 99), range(5))
    assert [next(stream)[0], next(stream)[0]] == [0, 1]
    with pytest.raises(DataError, match="smaller than a crop"):
        next(stream)
