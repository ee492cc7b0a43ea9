"""Tables, pages, and the verdict on differences."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from rlfn.studies.report import Column, StudyPage, Table, spread, verdict

TABLE = Table(
    (Column("row"), Column("dB", 1), Column("note")),
    (("a", (1.0, 2.0), "x"), ("b", None, ""), ("c", 1234.5, "one, number")),
)


def test_markdown_has_means_and_deviations_and_says_what_was_not_measured() -> None:
    lines = TABLE.markdown()
    assert "1.5 ± 0.7" in lines[2]
    assert "not measured" in lines[3]
    assert "1,234.5" in lines[4]
    assert len({len(line) for line in lines}) == 1


def test_csv_has_a_column_for_every_seed() -> None:
    rows = list(csv.reader(TABLE.csv().splitlines()))
    assert rows[0] == ["row", "dB", "dB, seed 0", "dB, seed 1", "note"]
    assert rows[1] == ["a", "1.5", "1.0", "2.0", "x"]
    assert rows[2] == ["b", "", "", "", ""]
    assert rows[3] == ["c", "1234.5", "", "", "one, number"]


def test_the_spread_is_pooled_over_the_rows() -> None:
    assert spread({"a": (1.0, 3.0), "b": (5.0, 5.0), "c": (7.0,)}) == pytest.approx(1.0)
    assert spread({"a": (1.0,), "b": (2.0,)}) is None


def test_only_what_the_seeds_do_not_explain_is_significant() -> None:
    text = verdict({"base": (30.0, 30.1), "near": (30.1, 30.2), "far": (31.0, 31.1), "absent": ()}, "Set5")
    different, close = text.split("Not significantly different")
    assert "far +1.000" in different
    assert "near +0.100" in close
    assert "absent" not in text


def test_one_seed_tells_nothing_apart() -> None:
    assert "one seed only" in verdict({"a": (30.0,), "b": (40.0,)}, "Set5")
    assert "no two rows" in verdict({"a": (30.0, 31.0), "b": ()}, "Set5")


def test_a_page_is_written_with_its_tables(tmp_path: Path) -> None:
    page = StudyPage("Title", "Why.", {"budget": "little"}, {"table": TABLE}, ["A remark."], {"plot.png": "A plot"})
    page.write(tmp_path / "deep" / "out")
    text = (tmp_path / "deep" / "out" / "README.md").read_text()
    for part in ("# Title", "Why.", "| budget | little |", TABLE.markdown()[2], "A remark.", "![A plot](plot.png)"):
        assert part in text
    assert (tmp_path / "deep" / "out" / "table.csv").read_text() == TABLE.csv()
    assert (tmp_path / "deep" / "out" / "table.md").read_text().splitlines() == TABLE.markdown()
