"""Comparisons and charts: what they show, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_benchmark import nearest
from test_sets import picture, put

from rlfn.errors import OptionError, OutputError
from rlfn.evaluation.benchmark import BICUBIC, evaluate
from rlfn.evaluation.metrics import score_y
from rlfn.evaluation.plots import Crop, check_figure_path, compare, draw_panels, draw_scatter
from rlfn.images.files import read_picture
from rlfn.images.resize import resize


def test_panels_show_the_same_place_and_score_the_whole() -> None:
    hr = picture(43, 50)
    panels = compare(hr, [nearest(2)], Crop(5, 7, 20, 10))
    assert [panel.title for panel in panels] == ["HR", BICUBIC, "nearest"]
    whole = hr[:42, :50]
    sr = nearest(2).upscale(resize(whole, scale=0.5))
    assert np.array_equal(panels[0].pixels, hr[7:17, 5:25])
    assert np.array_equal(panels[2].pixels, sr[7:17, 5:25])
    assert panels[0].score is None
    assert panels[2].score == score_y(sr, whole, border=2)


def test_a_comparison_is_written_as_png(tmp_path: Path) -> None:
    panels = compare(picture(43, 50), [nearest(2)])
    draw_panels(panels, tmp_path / "new" / "c.png")
    pixels = read_picture(tmp_path / "new" / "c.png").pixels
    assert pixels.shape[1] > 2 * pixels.shape[0] > 200
    with pytest.raises(OutputError, match="is a folder; the name of a file is needed"):
        draw_panels(panels, tmp_path)


def test_crops() -> None:
    assert Crop.parse("1,2,30,40") == Crop(1, 2, 30, 40)
    for text in ("1,2,3", "a,b,c,d", "-1,0,4,4", "0,0,0,4"):
        with pytest.raises(OptionError, match="crop"):
            Crop.parse(text)
    with pytest.raises(OptionError, match="is outside the picture of 50x42"):
        compare(picture(43, 50), [nearest(2)], Crop(40, 0, 11, 5))


def test_a_picture_smaller_than_the_scale_is_refused() -> None:
    with pytest.raises(OptionError, match="is 3x5, too small to be reduced by 4"):
        compare(picture(5, 3), [nearest(4)])


@pytest.mark.parametrize("name", ["c.jpg", "c.txt", "c", ".png"])
def test_figures_are_png_by_name(name: str) -> None:
    check_figure_path(Path("folder") / "c.PNG")
    with pytest.raises(OptionError, match=r"does not end in \.png"):
        check_figure_path(Path("folder") / name)


@pytest.mark.parametrize("candidates", [[], [nearest(2), nearest(4)]])
def test_models_of_several_scales_are_refused(candidates: list[object]) -> None:
    with pytest.raises(OptionError, match="models of one scale"):
        compare(picture(), candidates)  # type: ignore[arg-type]


def test_a_chart_has_a_panel_for_each_set(tmp_path: Path) -> None:
    for name in ("one", "two"):
        put(tmp_path / name / "a.png", picture(40, 40))
    report = evaluate([nearest(2)], [str(tmp_path / name) for name in ("one", "two")])
    draw_scatter(report, {"nearest": 3.0}, "a test", tmp_path / "both.png")
    alone = evaluate([nearest(2)], [str(tmp_path / "one")])
    draw_scatter(alone, {"nearest": 3.0}, "a test", tmp_path / "alone.png")
    both, single = (read_picture(tmp_path / f"{name}.png").pixels for name in ("both", "alone"))
    assert both.shape[1] > 1.5 * single.shape[1]  # they share a legend
    nothing = evaluate([nearest(2)], ["nowhere"], tmp_path)
    with pytest.raises(OptionError, match="nothing to plot"):
        draw_scatter(nothing, {}, "a test", tmp_path / "none.png")
