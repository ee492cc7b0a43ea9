"""Models as candidates: distinct names, fp32 by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlfn.errors import OptionError
from rlfn.evaluation.candidates import distinct_names, load_candidates
from rlfn.evaluation.report import header, to_data
from rlfn.evaluation.scores import BenchmarkReport, Result
from rlfn.models.catalog import GRAPH, get_model


def test_models_with_equal_names_are_distinguished(tmp_path: Path) -> None:
    graph = get_model("rlfn-xs-x2").file(GRAPH).read()
    paths = [tmp_path / "runs" / run / "deep" / "model.onnx" for run in ("first", "second")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_bytes(graph)
    found = load_candidates([*map(str, paths), "rlfn-xs-x2"], "onnxruntime", 1)
    assert [candidate.name for candidate in found] == ["first", "second", "rlfn-xs-x2"]


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["a/m.pth", "b/m.pth"], ["a", "b"]),
        (["a/m.pth", "a/m.onnx"], ["m.pth", "m.onnx"]),
        (["a/x/m.pth", "b/x/m.pth", "b/y/m.pth"], ["a_x_m.pth", "b_x_m.pth", "y_m.pth"]),
        (["m.pth", "a/m.pth"], ["m.pth", "a_m.pth"]),
    ],
)
def test_the_shortest_part_that_differs(paths: list[str], wanted: list[str]) -> None:
    assert distinct_names(paths, ["m"] * len(paths)) == wanted


def test_precision_is_fp32_by_default_and_is_reported() -> None:
    (plain,), (small,) = (
        load_candidates(["rlfn-xs-x2"], "onnxruntime", 1, precision=precision) for precision in ("fp32", "int8")
    )
    assert (plain.precision, small.precision) == ("fp32", "int8")
    results = tuple(Result("Set5", 2, row.name, row.engine, (), row.precision) for row in (plain, small))
    assert not any("int8" in line for line in header(BenchmarkReport((), results[:1], ())))
    assert any("rlfn-xs-x2 in int8" in line for line in header(BenchmarkReport((), results[1:], ())))
    with pytest.raises(OptionError, match="no precision 'int3'"):
        load_candidates(["rlfn-xs-x2"], "onnxruntime", precision="int3")


def test_the_json_names_the_precision() -> None:
    from rlfn.evaluation.scores import ImageResult

    result = Result("Set5", 2, "m", "onnxruntime", (ImageResult("p", 30.0, 0.9, 28.0, 0.1),), "bf16")
    assert to_data(BenchmarkReport((), (result,), ()))["results"][0]["precision"] == "bf16"
