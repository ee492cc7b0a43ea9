"""A study's trainings: recipes, branches, budgets, and going on after a stop."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rlfn.errors import DataError, OptionError
from rlfn.networks.checkpoints import load_checkpoint
from rlfn.studies import runs, trainings
from rlfn.studies.request import Budget, StudyRequest
from rlfn.studies.trainings import Part, StudyPlan, Training, total_length
from rlfn.training import recipe_files
from rlfn.training.learner import Learner
from rlfn.training.signals import StopRequest

FIRST = Training("first", "rlfn-s", (Part(2.0), Part(settings={"carry_optimizer": True})))
BRANCH = Training("branch", "rlfn-s", (Part(settings={"loss": {"mse": 0.5}}),), start="first")
BOTH = (FIRST, BRANCH)


def weights(plan: StudyPlan, name: str, seed: int) -> torch.Tensor:
    state = load_checkpoint(plan.model(name, seed)).network.state_dict()
    return torch.cat([tensor.flatten() for tensor in state.values()])


def test_a_branch_starts_from_the_weights_of_its_own_seed(asked: StudyRequest) -> None:
    plan = StudyPlan(BOTH, asked)
    recipe = plan.recipe(BRANCH, 1)
    assert recipe.stages[0].init == str(plan.model("first", 1).resolve())
    assert recipe.stages[0].loss == {"l1": 1.0, "mse": 0.5}
    assert recipe.seed == 1
    assert total_length(BOTH, "branch") == 4.0


def test_lengths_are_counted_in_stages(asked: StudyRequest) -> None:
    recipe = StudyPlan(BOTH, asked).recipe(FIRST, 0)
    assert [stage.iterations for stage in recipe.stages] == [4, 2]
    assert [stage.init for stage in recipe.stages] == ["interpolate", "previous"]
    assert recipe.stages[1].carry_optimizer


def test_every_recipe_is_written_as_it_was_trained(asked: StudyRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = StudyPlan(BOTH, asked)
    assert plan.run()
    for training, seed in itertools.product(BOTH, (0, 1)):
        path = asked.out / "recipes" / f"{training.name}-seed{seed}.json"
        hashed = recipe_files.load_recipe(path).hash()
        assert hashed == plan.recipe(training, seed).hash()
        assert hashed == load_checkpoint(plan.model(training.name, seed)).metadata["recipe_sha256"]
    assert plan.trained("first", 0).iterations == 6
    assert plan.trained("first", 0).held_out > 5.0


def test_seeds_differ(asked: StudyRequest) -> None:
    plan = StudyPlan([FIRST], asked)
    assert plan.run()
    assert not torch.equal(weights(plan, "first", 0), weights(plan, "first", 1))


def test_a_stopped_study_goes_on_to_the_same_weights(
    asked: StudyRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = dataclasses.replace(asked, seeds=1)
    whole = StudyPlan(BOTH, dataclasses.replace(one, out=tmp_path / "whole"))
    assert whole.run()
    step, count, stop = Learner.step, itertools.count(1), StopRequest()

    def interrupted(self: Learner, *given: Any) -> Any:
        stop.asked = next(count) >= 3
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", interrupted)
        assert not StudyPlan(BOTH, dataclasses.replace(one, stop=stop)).run()
    stopped = StudyPlan(BOTH, one)
    assert not stopped.model("first", 0).exists()
    assert stopped.run()
    assert torch.equal(weights(stopped, "first", 0), weights(whole, "first", 0))
    monkeypatch.setattr(runs, "train", lambda *given, **named: pytest.fail("nothing was left to train"))
    assert stopped.run()


def test_a_training_that_was_lost_before_its_first_checkpoint_begins_again(asked: StudyRequest) -> None:
    plan = StudyPlan([FIRST], dataclasses.replace(asked, seeds=1))
    unfinished = asked.out / "runs" / "first-seed0" / "checkpoints" / ".rlfn-0.part"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"half a checkpoint")
    assert plan.run()
    assert plan.trained("first", 0).iterations == 6


def test_the_plan_is_written_as_in_every_folder_that_exists(asked: StudyRequest) -> None:
    StudyPlan([FIRST], asked)
    wanted = {
        "budget": "iterations=2",
        "seeds": 2,
        "data": str(Path(asked.data or "").resolve()),
        "trainings": [["first", "rlfn-s", 4, None, 3.0]],
        "iterations": 2,
    }
    assert (asked.out / "plan.json").read_text() == json.dumps(wanted, indent=2) + "\n"


def test_another_budget_in_the_same_folder_is_refused(asked: StudyRequest) -> None:
    StudyPlan(BOTH, asked)
    StudyPlan(BOTH, asked)
    with pytest.raises(OptionError, match="another budget"):
        StudyPlan(BOTH, dataclasses.replace(asked, budget=Budget(iterations=3)))
    with pytest.raises(OptionError, match=r"holds this study with other seeds \(2\)\. Repeat those"):
        StudyPlan(BOTH, dataclasses.replace(asked, seeds=3))
    with pytest.raises(OptionError, match=r"with other trainings\."):
        StudyPlan([FIRST], asked)


@pytest.mark.parametrize(
    "damage", [lambda plan: "{", lambda plan: "[]", lambda plan: plan.replace('"iterations"', '"steps"')]
)
def test_a_damaged_plan_says_so(asked: StudyRequest, damage: Callable[[str], str]) -> None:
    StudyPlan(BOTH, asked)
    path = asked.out / "plan.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(OptionError, match="is damaged"):
        StudyPlan(BOTH, asked)


def test_hours_are_shared_out_over_seeds_and_stages(asked: StudyRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings, "step_seconds", lambda recipe, stage: 0.5)
    plan = StudyPlan(BOTH, dataclasses.replace(asked, budget=Budget(hours=0.1)))
    assert plan.stage_iterations == int(360 / (0.5 * 4.0 * 2))
    kept = json.loads((asked.out / "plan.json").read_text())
    assert kept["iterations"] == plan.stage_iterations
    monkeypatch.setattr(trainings, "step_seconds", lambda recipe, stage: 5.0)
    assert StudyPlan(BOTH, dataclasses.replace(asked, budget=Budget(hours=0.1))).stage_iterations == kept["iterations"]


def test_a_step_of_every_loss_can_be_timed(asked: StudyRequest) -> None:
    recipe = StudyPlan([BRANCH, FIRST], asked).recipe(BRANCH, 0)
    assert 0.0 < trainings.step_seconds(recipe, recipe.stages[0]) < 60.0


def test_too_few_hours_say_how_many_are_needed(asked: StudyRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings, "step_seconds", lambda recipe, stage: 1.0)
    with pytest.raises(OptionError, match=r"hours=0\.022"):
        StudyPlan(BOTH, dataclasses.replace(asked, budget=Budget(hours=0.001)))
    assert not (asked.out / "plan.json").exists()


def test_without_a_pack_the_study_says_how_to_make_one_and_leaves_nothing(asked: StudyRequest) -> None:
    with pytest.raises(DataError, match="rlfn data pack"):
        StudyPlan(BOTH, dataclasses.replace(asked, data=None))
    with pytest.raises(DataError, match="absent"):
        StudyPlan(BOTH, dataclasses.replace(asked, data=Path("absent")))
    assert not asked.out.exists()


def test_small_settings_leave_the_papers_budget_alone(asked: StudyRequest) -> None:
    small = {"batch": 2}
    assert StudyPlan(BOTH, asked, small).recipe(FIRST, 0).stages[0].batch == 2
    paper = dataclasses.replace(asked, out=asked.out / "paper", budget=Budget.parse("paper"))
    assert StudyPlan(BOTH, paper, small).recipe(FIRST, 0).stages[0].batch == 4
