"""Studies in miniature: shared stages, repeated arms, shares of the gradient, and verdicts that come from the CSV."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rlfn.errors import OptionError
from rlfn.inference.engines import ENGINES
from rlfn.models.variants import VARIANTS, RFDNFields, get_variant
from rlfn.networks.checkpoints import load_checkpoint
from rlfn.studies import architecture, arms, mini, replication, runs, scoring
from rlfn.studies.arms import MINI, Arm, MiniStudy
from rlfn.studies.mini import MiniPlan
from rlfn.studies.paired import NOT_RUN, Claim, judge, paired
from rlfn.studies.request import MINI_RECIPES, Budget, StudyRequest
from rlfn.studies.table import STUDIES, run_study
from rlfn.studies.trainings import Part
from rlfn.training.learner import Learner
from rlfn.training.loop import train
from rlfn.training.recipe_files import load_recipe
from rlfn.training.signals import StopRequest

PUBLISHED = Path(__file__).parents[2] / "docs" / "reports" / "measurements" / "proof"
CLAIMS = {name: study.claims for name, study in MINI.items()}
SMALL = MiniStudy(
    "Small",
    "A study.",
    (
        Arm("one", "one stage"),
        Arm("two", "two stages", after="one"),
        Arm("carried", "two stages, the state too", parts=(Part(settings={"carry_optimizer": True}),), after="one"),
        Arm("again", "two stages again", parts=(Part(), Part()), shifted=True),
    ),
    (Claim("two stages", "one stage"), Claim("two stages again", "two stages", "apart", "null")),
)


def request_in(folder: Path, pack: Path, pictures: Path) -> StudyRequest:
    """Return a request of three steps a stage and two seeds."""
    torch.set_num_threads(1)
    budget = Budget(iterations=3, mini="mini")
    return StudyRequest(folder / "out", pack, sets=(str(pictures),), budget=budget, log=lambda text: None)


@pytest.fixture
def asked(pack: Path, pictures: Path, tmp_path: Path) -> StudyRequest:
    return request_in(tmp_path, pack, pictures)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[MiniStudy]:
    """Put a small study in the place of the warm starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MINI, "warm-start", SMALL)
        yield SMALL


@pytest.fixture(scope="module")
def done(small: MiniStudy, pack: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyRequest:
    """Return the request of a small study that has been run."""
    request = request_in(tmp_path_factory.mktemp("done"), pack, pictures)
    assert run_study("warm-start", request)
    return request


def weights(path: Path) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in load_checkpoint(path).network.state_dict().values()])


@pytest.mark.parametrize("text", ["mini=300", "mini-muon=20"])
def test_a_budget_is_read_and_written_alike(text: str) -> None:
    assert str(Budget.parse(text)) == text


def test_a_budget_without_a_number_has_the_protocols_length() -> None:
    assert Budget.parse("mini").iterations == Budget.parse("mini-muon").iterations == 4000
    for wrong in ("mini=", "mini=0", "mini=x", "mini-adam"):
        with pytest.raises(OptionError, match="mini, mini-muon"):
            Budget.parse(wrong)


@pytest.mark.parametrize("name", MINI_RECIPES)
def test_the_protocol_is_the_papers_or_ours(name: str) -> None:
    stage, paper, ours = (load_recipe(each).stages[0] for each in (name, "paper", "weights-s-x4"))
    like = paper if name == "mini" else ours
    assert stage.optimizer.name == like.optimizer.name
    assert stage.schedule == like.schedule if name == "mini" else stage.schedule.name == like.schedule.name
    assert stage.loss == {"l1": 1.0}
    if name == "mini":
        assert stage.optimizer == paper.optimizer
        assert stage.ema == paper.ema


@pytest.mark.parametrize("study", MINI.values(), ids=MINI)
def test_every_study_is_whole(study: MiniStudy) -> None:
    """Check that arms come after those that they need, and that every table has a null row that is judged."""
    seen: set[str] = set()
    labels = [arm.label for arm in study.arms if arm.shown]
    for arm in study.arms:
        assert {arm.after, arm.start, arm.as_long_as} - {None} <= seen
        assert arm.variant in VARIANTS
        seen.add(arm.name)
    assert len(set(labels)) == len(labels)
    assert len(seen) == len(study.arms)
    assert all({claim.row, claim.against} <= set(labels) for claim in study.claims)
    shifted = {arm.label for arm in study.arms if arm.shifted}
    assert {claim.row for claim in study.claims if claim.source == "null"} == shifted != set()


def test_miniatures_keep_the_form_of_what_they_stand_for() -> None:
    large = {"rfdb": "rfdn-48", "rfdbr48": "rfdn-r48", "rfdbr52": "rfdn-r52", "rlfb": "rfdn-rlfb"}
    for small_one, big in large.items():
        one, other = get_variant(f"{small_one}-mini").fields, get_variant(big).fields
        assert isinstance(one, RFDNFields)
        assert isinstance(other, RFDNFields)
        assert (one.body, one.esa_convs) == (other.body, other.esa_convs)
        assert one.channels / other.channels == one.esa_channels / other.esa_channels == 1 / 4


def test_a_study_writes_its_page_and_does_nothing_twice(done: StudyRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (done.out / "README.md").read_text()
    assert "'two stages' better than 'one stage': " in page
    assert "3 steps a stage of 8 patches of 24 px" in page
    table = (done.out / "table.csv").read_bytes()
    monkeypatch.setattr(runs, "train", lambda *given, **named: pytest.fail("trained again"))
    monkeypatch.setattr("rlfn.studies.scoring.evaluate", lambda *given: pytest.fail("scored again"))
    assert run_study("warm-start", done)
    assert (done.out / "table.csv").read_bytes() == table


def check_claims(folder: Path, count: int) -> None:
    """Make the verdicts again from the seeds' numbers alone."""
    columns = replication.read_values(folder / "table.csv")
    claims = list(csv.DictReader((folder / "claims.csv").read_text().splitlines()))
    assert len(claims) == count * len(columns)
    for row in claims:
        values = columns[row["on"]]
        found = paired(values.get(row[""], ()), values.get(row["than"], ()))
        if found is None:
            assert row["verdict"] == NOT_RUN
            continue
        assert float(row["difference, dB"]) == pytest.approx(found.mean)
        assert row["verdict"] == judge(row["is"], found)  # type: ignore[arg-type]


def test_every_verdict_can_be_made_again_from_the_csv(done: StudyRequest) -> None:
    check_claims(done.out, len(SMALL.claims))
    assert set(replication.read_values(done.out / "table.csv")) == {"held-out", "few"}


@pytest.mark.parametrize(
    "folder", sorted(PUBLISHED.glob("*/*")), ids=lambda folder: f"{folder.parent.name}/{folder.name}"
)
def test_every_published_verdict_can_be_made_again(folder: Path) -> None:
    check_claims(folder, len(CLAIMS[folder.name]))
    nulls = [row for row in csv.DictReader((folder / "claims.csv").open()) if row["says"] == "null"]
    assert nulls


def test_a_repeated_study_gives_the_same_numbers(done: StudyRequest, asked: StudyRequest) -> None:
    assert run_study("warm-start", asked)
    assert (asked.out / "table.csv").read_bytes() == (done.out / "table.csv").read_bytes()


def test_studies_share_what_they_have_in_common(done: StudyRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "train", lambda *given, **named: pytest.fail("trained again"))
    assert run_study("warm-start", dataclasses.replace(done, out=done.out.parent / "another"))


def test_a_run_is_found_by_its_recipe_and_data(small: MiniStudy, asked: StudyRequest) -> None:
    plan = MiniPlan(small, asked)
    assert asked.data is not None
    data = hashlib.sha256((asked.data / "index.json").read_bytes()).hexdigest()
    key = hashlib.sha256((plan.recipe(plan.arms["one"], 1).model_dump_json() + data).encode()).hexdigest()
    model = asked.out.parent / "mini-runs" / f"rlfn-mini-x4-{key[:16]}" / "model.safetensors"
    assert plan.model(plan.arms["one"], 1) == model
    assert not plan.finished(plan.arms["one"], 1)
    model.parent.mkdir(parents=True)
    model.touch()
    assert plan.finished(plan.arms["one"], 1)


@pytest.mark.parametrize("name", ["two", "carried"])
def test_a_continued_arm_is_what_one_run_would_be(
    name: str, small: MiniStudy, asked: StudyRequest, tmp_path: Path
) -> None:
    plan = MiniPlan(small, asked)
    arm = plan.arms[name]
    assert plan.run(plan.arms["one"], 0)
    assert plan.run(arm, 0)
    recipe = plan.recipe(arm, 0)
    assert [stage.iterations for stage in recipe.stages] == [3, 3]
    assert train(recipe, tmp_path / "whole", data=asked.data)
    assert torch.equal(weights(plan.model(arm, 0)), weights(tmp_path / "whole" / "model.safetensors"))
    assert plan.trained(arm, 0).iterations == 6


def test_a_null_arm_has_other_samples_and_another_start(small: MiniStudy, asked: StudyRequest) -> None:
    plan = MiniPlan(small, asked)
    assert plan.recipe(plan.arms["again"], 1).seed == 1 + mini.SHIFT
    assert plan.recipe(plan.arms["two"], 1).seed == 1
    for name in ("one", "two", "again"):
        plan.run(plan.arms[name], 0)
    assert not torch.equal(weights(plan.model(plan.arms["two"], 0)), weights(plan.model(plan.arms["again"], 0)))


def test_a_stopped_study_goes_on_to_the_same_numbers(
    done: StudyRequest, asked: StudyRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, count, step = StopRequest(), itertools.count(1), Learner.step

    def interrupted(self: Learner, *given: Any) -> Any:
        stop.asked = next(count) >= 5
        return step(self, *given)

    one = dataclasses.replace(asked, seeds=1)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", interrupted)
        assert not run_study("warm-start", dataclasses.replace(one, stop=stop))
    assert run_study("warm-start", one)
    found, whole = (replication.read_values(each.out / "table.csv")["few"] for each in (one, done))
    assert found == {label: values[:1] for label, values in whole.items()}


def test_another_length_in_the_same_folder_is_refused_but_more_seeds_are_not(
    small: MiniStudy, asked: StudyRequest
) -> None:
    MiniPlan(small, asked)
    MiniPlan(small, dataclasses.replace(asked, seeds=9))
    assert asked.data is not None
    data = hashlib.sha256((asked.data / "index.json").read_bytes()).hexdigest()
    wanted = f'{{\n  "budget": "mini=3",\n  "data": "{data}"\n}}\n'  # as it is in every folder that exists
    assert (asked.out / "plan.json").read_text() == wanted
    with pytest.raises(OptionError, match=r"another budget \(mini=3\)"):
        MiniPlan(small, dataclasses.replace(asked, budget=Budget(iterations=4, mini="mini")))


def test_only_studies_that_train_can_be_run_in_miniature(asked: StudyRequest) -> None:
    assert {name for name, study in STUDIES.items() if study.trains} == set(MINI)
    with pytest.raises(OptionError, match="no study in miniature 'results'"):
        run_study("results", asked)


@pytest.mark.parametrize("ratio", ["batch", "sample"])
def test_a_share_is_that_of_the_gradients(ratio: str, asked: StudyRequest) -> None:
    from rlfn.training.losses import l1
    from rlfn.training.stages import make_objective

    both = {**arms.EXTRACTOR, "ratio": ratio}
    study = MiniStudy("", "", (Arm("one", "1"), Arm("two", "2", after="one", share=0.1, contrastive=both)), ())
    plan = MiniPlan(study, asked)
    plan.run(plan.arms["one"], 0)
    recipe = plan.recipe(plan.arms["two"], 0)
    weight = recipe.stages[1].loss["contrastive"]
    assert weight == plan.weight(plan.arms["two"], 0) > 0.0
    assert recipe.stages[1].contrastive.ratio == ratio
    network = load_checkpoint(plan.model(plan.arms["one"], 0)).network
    objective = make_objective(recipe, recipe.stages[1])
    sizes = torch.zeros(2)
    for number in range(8):
        lr, hr = plan._batch(recipe, 3 + number)
        sr = (network(lr * 255.0) / 255.0).detach().requires_grad_()
        for index, loss in enumerate((l1(sr, hr), weight * objective.part("contrastive", lr, sr, hr))):
            sizes[index] += torch.autograd.grad(loss, sr)[0].norm()
    assert float(sizes[1] / sizes[0]) == pytest.approx(0.1, rel=0.01)


def test_equal_time_is_in_steps_that_are_kept(asked: StudyRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"rfdb-mini": 0.03, "rfdbr48-mini": 0.02, "rfdbr52-mini": 0.025, "rlfb-mini": 0.015}
    monkeypatch.setattr(mini, "step_seconds", lambda recipe, stage: seconds[recipe.variant])
    plan = MiniPlan(MINI["architecture"], dataclasses.replace(asked, budget=Budget(iterations=100, mini="mini")))
    found = {name: plan.recipe(arm, 0).stages[0].iterations for name, arm in plan.arms.items()}
    assert found["rfdb-mini"] == found["rlfb-mini"] == 100
    assert found["rlfb-mini-time"] == 200
    assert found["rfdbr52-mini-time"] == 120
    monkeypatch.setattr(mini, "step_seconds", lambda *given: pytest.fail("timed again"))
    again = MiniPlan(plan.study, plan.request)
    assert again.length(again.arms["rlfb-mini-time"]) == 2.0


@pytest.mark.heavy
@pytest.mark.parametrize("name", MINI)
def test_every_study_in_miniature_runs(name: str, asked: StudyRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "ENGINES", {"torch": ENGINES["torch"]})
    monkeypatch.setattr(scoring, "LATENCY_SECONDS", 0.01)
    for module in (scoring, architecture):
        monkeypatch.setattr(module, "LATENCY_OUTPUT", (96, 128))
    assert run_study(name, dataclasses.replace(asked, budget=Budget(iterations=1, mini="mini"), seeds=1))
    assert "null" in (asked.out / "claims.csv").read_text()
