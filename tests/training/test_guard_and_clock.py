from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rlfn.errors import ModelError, OutputError
from rlfn.networks.checkpoints import RUN_STATE
from rlfn.training.checkpoint import Checkpoints, read_state, write_state
from rlfn.training.clock import StepClock
from rlfn.training.ema import EMA
from rlfn.training.guard import Guard, Verdict


def settled(**options: float) -> Guard:
    guard = Guard(**options)
    for _ in range(30):
        assert guard.judge(1.0) is Verdict.STEP
    return guard


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, 4.5])
def test_a_bad_loss_is_skipped_and_the_next_is_not(loss: float) -> None:
    guard = settled()
    assert guard.judge(loss) is Verdict.SKIP
    assert guard.judge(1.2) is Verdict.STEP
    assert guard.skipped == 1
    assert guard.mean == pytest.approx(1.0, abs=0.02)


def test_a_streak_rolls_back_once_then_stops() -> None:
    guard = settled(max_skipped=3)
    assert [guard.judge(math.nan) for _ in range(3)] == [Verdict.SKIP, Verdict.SKIP, Verdict.ROLL_BACK]
    guard.after_roll_back()
    assert guard.judge(100.0) is Verdict.STEP  # not judged by size until the mean is known
    assert [guard.judge(math.nan) for _ in range(3)] == [Verdict.SKIP, Verdict.SKIP, Verdict.STOP]
    guard.new_stage()
    assert [guard.judge(math.nan) for _ in range(3)][-1] is Verdict.ROLL_BACK


def test_a_slow_explosion_is_seen_too() -> None:
    guard = settled()
    loss, verdict = 1.0, Verdict.STEP
    while verdict is Verdict.STEP and loss < 100.0:
        loss *= 1.01
        verdict = guard.judge(loss)
    assert verdict is Verdict.ROLL_BACK
    assert loss < 20.0


def ticks(*durations: float) -> Iterator[float]:
    now = 0.0
    for length in durations:
        yield now
        now += length
        yield now
        now += 1000.0  # between steps: never counted


def test_a_step_longer_than_ten_medians_counts_as_the_median() -> None:
    times = ticks(*[2.0] * 10, 500.0, 2.0, 19.0)
    clock = StepClock(lambda: next(times), seconds=100.0)
    for _ in range(13):
        clock.start()
        clock.stop()
    assert clock.seconds == 100.0 + 20.0 + 2.0 + 2.0 + 19.0


def test_the_average_follows_and_ramps_up() -> None:
    network = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.constant_(network.weight, 0.0)
    ema = EMA(network, 0.5)
    torch.nn.init.constant_(network.weight, 1.0)
    ema.update(network)
    assert float(ema.network.weight) == pytest.approx(1 - 2 / 11)
    for _ in range(50):
        ema.update(network)
    assert float(ema.network.weight) == pytest.approx(1.0)
    exact = EMA(network, 0.0)
    torch.nn.init.constant_(network.weight, 0.3)
    exact.update(network)
    assert torch.equal(exact.network.weight, network.weight)


def test_checkpoints_are_kept_as_asked(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", keep=2, milestones=100)
    for iteration in (0, 50, 100, 150, 175, 200, 250):
        checkpoints.save(iteration, {"at": iteration})
    assert [int(path.stem.split("-")[1]) for path in checkpoints.paths()] == [0, 100, 200, 250]
    assert checkpoints.load_last()[0] == {"at": 250}


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, {"at": 1, "tensor": torch.ones(100)})
    path = checkpoints.save(2, {"at": 2, "tensor": torch.ones(100)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": bytes(content[:-7]), "flip": bytes(content), "empty": b""}[damage])
    state, passed = checkpoints.load_last()
    assert state["at"] == 1
    assert len(passed) == 1
    assert path.name in passed[0]
    checkpoints.paths()[0].write_bytes(b"")
    with pytest.raises(ModelError, match="no usable checkpoint"):
        checkpoints.load_last()


def test_a_foreign_file_is_not_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "iteration-000000001.ckpt").write_bytes(b"SOME-OTHER\n" + bytes(64))
    with pytest.raises(ModelError, match="is not the checkpoint of a run"):
        Checkpoints(tmp_path, keep=2).load_last()


def test_a_checkpoint_of_another_format_is_not_called_foreign(tmp_path: Path) -> None:
    (tmp_path / "iteration-000000001.ckpt").write_bytes(RUN_STATE + b"1\n" + bytes(64))
    with pytest.raises(ModelError, match="was saved by another version of rlfn, and only that one can resume it"):
        Checkpoints(tmp_path, keep=2).load_last()


def test_a_full_disk_leaves_the_older_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.ckpt"
    write_state(path, {"at": 1})

    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda self, mode: (self.touch(), Full())[1])
    with pytest.raises(OutputError, match="no space left on device"):
        write_state(path, {"at": 2})
    monkeypatch.undo()
    assert read_state(path) == {"at": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["a.ckpt"]


def test_a_guard_without_the_judgement_by_size_skips_only_what_is_not_finite() -> None:
    guard = settled(spike=0.0)
    assert [guard.judge(loss) for loss in (1e9, 1e9, 1.0)] == [Verdict.STEP] * 3
    assert guard.judge(math.inf) is Verdict.SKIP
