"""Profiles: what is timed, what is measured in fresh processes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlfn.errors import OptionError, RlfnError
from rlfn.evaluation.profile import (
    LEAST_RUNS,
    WARM_UP,
    Latency,
    Profile,
    common_engine,
    machine_peak,
    parse_size,
    peak_memory,
    profile,
    time_in_turn,
)
from rlfn.inference.engines import ENGINES
from rlfn.models.catalog import TENSORS, get_model
from rlfn.models.source import ModelSource
from rlfn.networks import load_checkpoint, save_checkpoint
from rlfn.networks.prune import prune

MODEL = "rlfn-s-x4"


def test_models_are_timed_in_turn_after_a_warm_up() -> None:
    calls: list[str] = []
    found = time_in_turn([lambda: calls.append("a"), lambda: calls.append("b")], seconds=0.0)
    rounds = 1 + WARM_UP + LEAST_RUNS
    assert calls == ["a", "b"] * rounds
    assert [latency.runs for latency in found] == [LEAST_RUNS] * 2


def test_the_first_call_is_separate_and_the_center_is_the_median(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("rlfn.evaluation.profile.time.perf_counter", lambda: clock[0])
    # a first call of 100 s, two of warm-up, then 1 to 10 s
    lengths = iter([100.0, 50.0, 50.0, *(float(length) for length in range(1, LEAST_RUNS + 1))])

    def run() -> None:
        clock[0] += next(lengths)

    assert time_in_turn([run], seconds=0.0) == [Latency(100.0, 3.25, 5.5, 7.75, LEAST_RUNS)]


def test_a_profile_of_the_packaged_model() -> None:
    (found,) = profile([MODEL], size=(80, 120), of_output=True, engine="onnxruntime", threads=1, seconds=0.0)
    assert (found.height, found.width, found.scale, found.engine, found.threads) == (20, 30, 4, "onnxruntime", 1)
    assert found.counts is not None
    assert found.counts.parameters == 470208
    assert found.memory is None or 0 < found.memory < 2**30
    assert 1e9 < found.peak < 1e13
    assert found.share == pytest.approx(2 * found.counts.multiply_adds / found.latency.median / found.peak)


def test_larger_pictures_take_more_memory() -> None:
    small, large = (peak_memory(MODEL, "onnxruntime", 1, side, side) for side in (32, 192))
    if small is None or large is None:
        pytest.skip("this system does not tell a process's memory")
    # one 48-channel map of the larger picture alone is 7 MB
    assert large - small > 2 * 4 * 48 * 192 * 192


def test_the_machines_peak_is_a_rate() -> None:
    # between a slow core and a large workstation
    assert 1e9 < machine_peak(1) < 1e13


def test_share_is_unknown_without_counts() -> None:
    latency = Latency(1.0, 1.0, 1.0, 1.0, 10)
    assert Profile("m", "onnxruntime", 1, 4, 20, 20, None, latency, None, 1e9).share is None


@pytest.mark.parametrize("text", ["256", "axb", "0x4", "4x-1", "1x2x3"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(OptionError, match="size"):
        parse_size(text)


def test_a_picture_below_the_smallest_size_is_refused() -> None:
    with pytest.raises(OptionError, match="needs 15 px a side"):
        profile([MODEL], size=(14, 20), engine="onnxruntime")


def test_a_failure_in_the_new_process_is_reported() -> None:
    with pytest.raises(RlfnError, match="new process failed"):
        peak_memory("no-such-model", "onnxruntime", 1, 20, 20)


def test_models_of_two_kinds_are_compared_on_an_engine_that_runs_both() -> None:
    both = [ModelSource("rlfn-s-x4"), ModelSource("rlfn-xs-x4")]
    for models in (both, both[::-1]):
        assert all(ENGINES[common_engine(models)].takes(model) for model in models)


def test_a_network_of_custom_sizes_is_counted(tmp_path: Path) -> None:
    narrow = prune(load_checkpoint(get_model("rlfn-s-x2").file(TENSORS).path), channels=8, mid=8)
    save_checkpoint(tmp_path / "narrow.safetensors", narrow.network, narrow.variant, 2)
    (row,) = profile([str(tmp_path / "narrow.safetensors")], size=(16, 16), threads=1, seconds=0.0)
    assert row.counts is not None
    assert row.counts.parameters == sum(one.numel() for one in narrow.network.parameters())


def test_models_are_compared_on_one_engine(tmp_path: Path) -> None:
    """Weights run in torch by themselves, graphs do not: their times side by side would be those of two engines."""
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(get_model("rlfn-xs-x2").file(TENSORS).read())
    graph, tensors = ModelSource("rlfn-xs-x2"), ModelSource(weights)
    assert common_engine([tensors]) == "torch"
    assert common_engine([tensors, graph]) == common_engine([graph, tensors]) == common_engine([graph]) != "torch"
    found = profile(["rlfn-xs-x2", str(weights)], size=(16, 16), threads=1, seconds=0.0)
    assert len({row.engine for row in found}) == 1
    assert [row.model for row in found] == ["rlfn-xs-x2", "mine"]
    assert {row.precision for row in found} == {"fp32"}
