"""``rlfn models``, and model names that are mistyped."""

from __future__ import annotations

import json

import pytest

from rlfn.models import catalog


def test_the_table_lists_every_model_with_its_scores(command) -> None:
    done = command("models")
    assert (done.status, done.err) == (0, "")
    text = done.out.decode()
    for name, model in catalog.models().items():
        row = next(line for line in text.splitlines() if f" {name} " in line)
        assert f"x{model.scale}" in row
        assert f"{model.parameters:,}" in row
        for score in model.scores.values():
            assert f"{score['psnr']:.2f} / {score['ssim']:.4f}" in row
        assert f"{name}: {model.training}." in " ".join(text.split())


def test_json_says_the_same_as_the_manifest(command) -> None:
    done = command("models", "--json")
    assert done.status == 0
    rows = {row["name"]: row for row in json.loads(done.out)}
    assert list(rows) == list(catalog.models())
    for name, model in catalog.models().items():
        facts = rows[name]
        assert (facts["family"], facts["variant"], facts["scale"]) == (model.family, model.variant, model.scale)
        assert facts["scores"] == model.scores
        assert facts["chain"] == list(model.chain) != []
        assert facts["int8_chain"] == list(model.int8_chain)
        assert facts["precisions"] == list(model.precisions)
        assert {"parameters", "training", "licence"} <= facts.keys()


@pytest.mark.parametrize(
    ("given", "meant"), [("rlfn-s-x5", "rlfn-s-x"), ("rlfn-x", "rlfn-xs"), ("rlfn_s_x4", "rlfn-s-x4"), ("RLFN-S", "")]
)
@pytest.mark.parametrize("words", [("upscale", "a.png", "-m"), ("eval", "--sets", "Set5"), ("profile",), ("prune",)])
def test_a_mistyped_model_is_answered_with_the_names(command, words: tuple[str, ...], given: str, meant: str) -> None:
    import numpy as np

    from rlfn.images.files import Picture, write_picture

    write_picture(Picture(np.zeros((20, 30, 3), np.uint8)), "a.png")
    done = command(*words, given, *(["out.pth"] if words == ("prune",) else []))
    assert (done.status, done.out) == (2, b"")
    assert f"'{given}'" in done.err
    assert f"Allowed: {', '.join((*catalog.families(), *catalog.models()))}" in done.err
    assert not meant or f"Did you mean '{meant}" in done.err


def test_an_option_that_is_not_there(command) -> None:
    done = command("models", "--jsn")
    assert done.status == 2
    assert "No such option: --jsn. Did you mean '--json'? See 'rlfn models --help'." in done.err
