from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from rlfn.errors import OptionError
from rlfn.training.cost import describe
from rlfn.training.losses import PIXEL_LOSSES
from rlfn.training.recipe import Recipe
from rlfn.training.recipe_docs import reference
from rlfn.training.recipe_files import check_recipe, load_recipe, shipped_recipes

DOCS = Path(__file__).parents[2] / "docs"
MINIMAL = {"variant": "rlfn-s", "scale": 4, "stages": [{"init": "scratch", "iterations": 10, "patch": 16}]}


def wrong(raw: dict[str, object]) -> str:
    with pytest.raises(OptionError) as caught:
        check_recipe(raw, "test")
    return str(caught.value)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_valid_and_says_what_it_is(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.about


@pytest.mark.parametrize("variant", ["rlfn", "rlfn-s"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_papers_recipes(variant: str, scale: int) -> None:
    recipe = load_recipe(f"{variant}-x{scale}")
    assert (recipe.variant, recipe.scale) == (variant, scale)
    assert [stage.iterations for stage in recipe.stages] == [1_000_000] * 3
    assert [stage.init for stage in recipe.stages] == ["scratch", "previous", "previous"]
    assert [stage.uses_contrastive for stage in recipe.stages] == [False, False, True]
    assert recipe.stages[0].sizes(0.0, scale) == (256 // scale, 64)
    assert recipe.stages[2].optimizer.betas == (0.9, 0.999)


def test_five_mistakes_are_five_lines() -> None:
    stage = {"init": "scratch", "iterations": 10, "patch": 16, "loss": {"l3": 1.0}, "batch": "ten", "optimiser": {}}
    message = wrong({"variant": "rlfn-z", "scale": 4, "stages": [stage], "data": {"heldout": 0.1}})
    assert "has 5 mistakes" in message
    assert len(message.splitlines()) == 6
    assert "variant: There is no variant 'rlfn-z'" in message
    assert "data.heldout: there is no such key. Did you mean 'held_out'?" in message
    assert "stages.0.optimiser: there is no such key. Did you mean 'optimizer'?" in message
    assert "stages.0.batch: it should be a valid integer (given: 'ten')" in message
    assert "Did you mean 'l1'?" in message


def test_a_typo_in_every_table_names_the_nearest() -> None:
    for section, name in (("optimizer", "muom"), ("schedule", "cosin"), ("contrastive", "random-tan")):
        key = "extractor" if section == "contrastive" else "name"
        stage = {**MINIMAL["stages"][0], section: {key: name}}
        assert "Did you mean" in wrong({**MINIMAL, "stages": [stage]})


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"init": "scratch", "patch": 16}, "give either iterations or hours"),
        ({"init": "scratch", "patch": 16, "hours": 1.0, "iterations": 5}, "give either iterations or hours"),
        ({"init": "scratch", "hours": 1.0}, "give either patch"),
        ({"patch": 16, "hours": 1.0}, "has none before it"),
        ({"init": "scratch", "patch": 16, "hours": 1.0, "loss": {"distillation": 1.0}}, "needs a teacher"),
        ({"init": "scratch", "patch": 16, "hours": 1.0, "loss": {"blockwise": 1.0}}, "blockwise needs a teacher"),
        (
            {"init": "scratch", "patch": 16, "hours": 1.0, "teacher": "t.pth", "loss": {"blockwise": 1.0, "l1": 0.1}},
            "set every other loss to 0",
        ),
        ({"init": "scratch", "patch": 16, "hours": 1.0, "loss": {"l1": 0.0}}, "one must be above 0"),
        ({"init": "scratch", "patch": 16, "hours": 1.0, "phases": [{"at": 0.5}, {"at": 0.2}]}, "in order"),
    ],
)
def test_contradictions(stage: dict[str, object], message: str) -> None:
    assert message in wrong({**MINIMAL, "stages": [stage]})


def test_bases_shared_stages_and_overrides(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        'variant = "rlfn"\nscale = 2\n[stage]\npatch = 20\niterations = 5\nloss = { l1 = 1.0 }\n'
        '[[stages]]\ninit = "scratch"\n[[stages]]\nloss = { mse = 2.0 }\n'
    )
    (tmp_path / "child.toml").write_text('base = "base.toml"\nscale = 3\n[stage]\nhours = 2.0\n')
    recipe = load_recipe(
        tmp_path / "child.toml", ["stages.1.patch=30", "stages.0.iterations=7", "data.train=some/pack"]
    )
    assert (recipe.name, recipe.variant, recipe.scale) == ("child", "rlfn", 3)
    first, second = recipe.stages
    assert (first.patch, first.hours, first.iterations) == (20, None, 7)
    assert (second.patch, second.hours, second.iterations) == (30, 2.0, None)
    assert second.loss == {"l1": 1.0, "mse": 2.0}
    assert [data.path for data in recipe.data.train] == ["some/pack"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages=5", "stages: it should be a list (given: 5)"),
        ("stages=[5]", "stages.0: it should be a table (given: 5)"),
        ("stages.0.loss=3", "stages.0.loss: it should be a table (given: 3)"),
    ],
)
def test_a_value_of_another_kind_is_told_in_tomls_words(text: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_recipe("cpu-evening", [text])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("stages.0", "key=value"), ("stages.3.patch=1", "not an item"), ("scale.x=1", "has no keys"), ("sed=1", "'seed'")],
)
def test_wrong_overrides(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_recipe("cpu-evening", [text])


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'cpu-evening'"):
        load_recipe("cpu-evning")
    with pytest.raises(OptionError, match="no recipe file"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("a = [")
    with pytest.raises(OptionError, match="not valid TOML"):
        load_recipe(tmp_path / "broken.toml")
    (tmp_path / "loop.toml").write_text('base = "loop.toml"')
    with pytest.raises(OptionError, match="its own base"):
        load_recipe(tmp_path / "loop.toml")


def test_the_resolved_recipe_survives_json_and_its_hash_follows_its_content() -> None:
    recipe = load_recipe("rlfn-x4")
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe.hash() == load_recipe("rlfn-x4").hash() != load_recipe("rlfn-x4", ["seed=1"]).hash()


def test_phases_change_patch_and_batch() -> None:
    stage = load_recipe("cpu-evening").stages[0]
    assert [stage.sizes(p, 4) for p in (0.0, 0.49, 0.5, 0.79, 0.8, 1.0)] == [
        (32, 10), (32, 10), (40, 10), (40, 10), (48, 12), (48, 12),
    ]  # fmt: skip


def test_the_cost_counts_pixels_and_multiply_adds() -> None:
    text = describe(check_recipe({**MINIMAL, "variant": "rlfn-ntire"}, "test"))
    pixels = 10 * 16 * 16**2
    assert f"{pixels / 1e3:,.1f} k LR px, " in text
    assert " 0.0" not in text.split("LR px, ")[1].split("multiply-adds")[0]
    assert '"iterations": 10' in text


def test_the_reference_in_the_docs_is_that_of_the_schema() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "recipes.md"
    assert page.read_text(encoding="utf-8") == reference(), (
        "run: python -m rlfn.training.recipe_docs > docs/reference/recipes.md"
    )


@pytest.mark.parametrize(
    ("section", "old", "value", "valid"),
    [
        ("validation", "on", "Set5", "sets"),
        ("guard", "slower", 0.5, "lr_factor"),
        ("guard", "streak", 3, "max_skipped"),
    ],
)
def test_an_unknown_key_is_answered_with_the_valid_ones(section: str, old: str, value: object, valid: str) -> None:
    text = wrong({**MINIMAL, section: {old: value}})
    assert f"{section}.{old}: there is no such key. Allowed: " in text
    assert valid in text


def test_the_reference_keeps_each_key_on_one_line() -> None:
    rows = [line for line in reference().splitlines() if line and not line.startswith("#")]
    tables = [line for line in rows if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)
    assert [line for line in tables if "`sets`" in line and "An empty list" in line]


def test_the_reference_shows_defaults_as_toml() -> None:
    shown = re.findall(r"^\| `(\w+)` \| `(.+?)` \|", reference(), re.MULTILINE)
    defaults = dict(shown)
    assert (defaults["partial"], defaults["onnx"], defaults["betas"]) == ("false", "true", "[0.9, 0.999]")
    assert (defaults["sets"], defaults["loss"]) == ('["held-out"]', "{ l1 = 1.0 }")
    for name, value in shown:
        assert name in tomllib.loads(f"{name} = {value}")


def test_the_recipe_in_the_docs_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "guide" / "training.md").read_text(encoding="utf-8")
    (tmp_path / "docs.toml").write_text(page.split("```toml")[1].split("```")[0])
    recipe = load_recipe(tmp_path / "docs.toml")
    assert recipe.stages[1].loss == {"l1": 0.2, "fourier": 0.05, "distillation": 0.8}
    assert recipe.stages[1].optimizer.name == "muon"


def shown_recipes() -> list[tuple[str, str]]:
    """Return every recipe that a page shows, as a block of TOML or as a file that a shell writes, and its place."""
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        blocks = [token for token in MarkdownIt().parse(page.read_text(encoding="utf-8")) if token.type == "fence"]
        for block in blocks:
            written = re.findall(r"^cat > \S+\.toml <<'(\w+)'\n(.*?)^\1$", block.content, re.MULTILINE | re.DOTALL)
            texts = [block.content] if block.info == "toml" else [text for _, text in written]
            line = block.map[0] + 1 if block.map else 0
            found += [(f"{page.relative_to(DOCS).as_posix()}:{line}", text) for text in texts]
    return found


SHOWN = dict(shown_recipes())


def test_the_docs_show_recipes() -> None:
    assert {place.partition(":")[0] for place in SHOWN} >= {"tutorial.md", "guide/training.md"}


@pytest.fixture
def losses() -> Iterator[None]:
    """Put the table of losses back after a test that adds to it."""
    before = dict(PIXEL_LOSSES)
    yield
    PIXEL_LOSSES.clear()
    PIXEL_LOSSES.update(before)


@pytest.mark.usefixtures("losses")
@pytest.mark.parametrize("place", SHOWN)
def test_every_recipe_in_the_docs_is_valid(place: str, tmp_path: Path) -> None:
    """A part of a recipe is laid over a shipped one."""
    raw = tomllib.loads(SHOWN[place])
    page = (DOCS / place.partition(":")[0]).read_text(encoding="utf-8")
    for name in raw.get("extensions", ()):
        blocks = [token.content for token in MarkdownIt().parse(page) if token.info == "python"]
        (tmp_path / name).write_text(next(block for block in blocks if "LOSSES" in block))
    (tmp_path / "shown.toml").write_text(SHOWN[place] if "base" in raw else f'base = "cpu-evening"\n{SHOWN[place]}')
    assert load_recipe(tmp_path / "shown.toml").stages


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"x": ' * 40 + "1" + "}" * 40, "nested too deeply"),
        ("a.toml", "x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("a.toml", "seed = " + "9" * 5000, "not valid TOML"),
        ("a.json", '{"seed": ' + "9" * 5000 + "}", "not valid JSON"),
        ("a.toml", "seed = " + "9" * 4000, "At most 63"),
        ("a.toml", "[a]\n" + ".".join("k" * 60) + " = 1", "nested too deeply"),
        ("a.toml", "base = '../here/a.toml'", "its own base"),
        ("a.toml", "base = 'a\\u0000.toml'", "recipe"),
        ("a.json", "\ufeff{}", "not valid JSON"),
    ],
)
def test_hostile_recipes(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / name).write_text(text)
    with pytest.raises(OptionError, match=words) as told:
        load_recipe(tmp_path / "here" / name)
    assert len(str(told.value)) < 4000


def test_hostile_overrides() -> None:
    for value in ("9" * 5000, "[" * 5000):
        with pytest.raises(OptionError, match="seed"):
            load_recipe("rlfn-x2", [f"seed={value}"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("guard.spike=inf", "guard.spike: it should be a finite number"),
        ("guard.spike=0.5", "Allowed: above 1, or 0"),
        ("stages.0.hours=inf", "stages.0.hours: it should be a finite number"),
        ("stages.0.hours=1e305", "stages.0.hours: it should be less than or equal to"),
        ("stages.0.loss.l1=nan", "stages.0.loss.l1: it should be a finite number"),
        ("stages.0.optimizer.lr=inf", "stages.0.optimizer.lr: it should be a finite number"),
        ("stages.0.optimizer.betas=[0.9,1.0]", "stages.0.optimizer.betas.1: it should be less than 1"),
        ("stages.0.contrastive.layer_weights=[0,0]", "one must be above 0"),
        ("stages.0.contrastive.layer_weights=[1,-1]", "must not be negative"),
        ("data.degradation_settings.jpeg=nan", "jpeg must be finite"),
    ],
)
def test_numbers_that_cannot_work_are_refused(override: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_recipe("photo", [override])
    assert message in str(caught.value)
    assert "has a mistake" in str(caught.value)


def test_a_wrong_length_is_one_mistake() -> None:
    for key, value in (("iterations", 0), ("patch", 0)):
        text = wrong({**MINIMAL, "stages": [{**MINIMAL["stages"][0], key: value}]})
        assert "has a mistake" in text
        assert f"stages.0.{key}: it should be greater than" in text


def test_a_degradation_without_settings_says_so() -> None:
    text = wrong({**MINIMAL, "data": {"degradation_settings": {"jpeg": 1.0}}})
    assert "data: The degradation bicubic has no settings. Remove 'jpeg'" in text


def test_a_recipe_without_the_judgement_by_size_survives_json() -> None:
    recipe = load_recipe("cpu-evening", ["guard.spike=0"])
    assert Recipe.model_validate_json(recipe.model_dump_json()).guard.spike == 0.0
