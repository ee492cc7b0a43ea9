"""The plan of a call: what is taken, how outputs are named, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlfn.errors import OptionError, OutputError, PictureError
from rlfn.jobs import keys
from rlfn.jobs import plan as module
from rlfn.jobs.conflicts import conflict_error
from rlfn.jobs.finding import folder_content
from rlfn.jobs.plan import Job, Naming, make_plan


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def pairs(plan: module.Plan) -> list[tuple[str, str]]:
    return [(Path(str(job.source)).as_posix(), Path(str(job.target)).as_posix()) for job in plan.jobs]


def test_names_next_to_the_input(here: Path) -> None:
    touch("d/a.b.jpg")
    assert pairs(make_plan(["d/a.b.jpg"], None, Naming("x4"))) == [("d/a.b.jpg", "d/a.b_x4.png")]
    assert pairs(make_plan(["d/a.b.jpg"], None, Naming("w9", format="avif"))) == [("d/a.b.jpg", "d/a.b_w9.avif")]
    assert pairs(make_plan(["d"], None, Naming("x4", format="jpg"))) == [("d/a.b.jpg", "d_x4/a.b.jpg")]


@pytest.mark.parametrize("output", ["out", "out/", "new.dir/"])
def test_one_input_and_two_go_to_the_same_place(here: Path, output: str) -> None:
    touch("a.png", "b.png")
    one, two = make_plan(["a.png"], output, Naming("x4")), make_plan(["a.png", "b.png"], output, Naming("x4"))
    assert one.jobs == two.jobs[:1]
    assert two.jobs[1].target == Path(output, "b_x4.png")


def test_an_existing_folder_with_a_suffix_is_a_folder_and_an_existing_file_without_one_a_file(here: Path) -> None:
    touch("a.png", "result")
    Path("album.png").mkdir()
    assert make_plan(["a.png"], "album.png", Naming("x4")).jobs[0].target == Path("album.png/a_x4.png")
    assert make_plan(["a.png"], "result", Naming("x4", format="png")).jobs[0].target == Path("result")
    with pytest.raises(OptionError, match="has no suffix of a writable format"):
        make_plan(["a.png"], "result", Naming("x4"))


@pytest.mark.parametrize("pattern", ["*.png", "d/**/*.png", "[!x].png", "?.png"])
def test_patterns(here: Path, pattern: str) -> None:
    touch("a.png", "d/e/b.png", "d/c.png")
    expected = ["d/c.png", "d/e/b.png"] if "**" in pattern else ["a.png"]
    assert [source for source, _ in pairs(make_plan([pattern], None, Naming("x4")))] == expected


def test_streams(here: Path) -> None:
    touch("a.png")
    assert make_plan(["-"], None, Naming("x4")).jobs == make_plan(["-"], "-", Naming("x4")).jobs == [Job(None, None)]
    assert make_plan(["a.*"], "-", Naming("x4")).jobs == [Job(Path("a.png"), None)]
    assert make_plan(["-"], "b.jpg", Naming("x4")).jobs == [Job(None, Path("b.jpg"))]


def test_missing_inputs_are_counted(here: Path) -> None:
    with pytest.raises(PictureError, match="match for a, b, c and 2 more"):
        make_plan(list("abcde"), None, Naming("x4"))


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_links_are_separate_pictures_and_loops_are_not_followed(here: Path) -> None:
    touch("a.png", "d/1.png")
    os.symlink("a.png", "b.png")
    os.symlink(here / "d", "d/loop")
    os.symlink("nowhere.png", "d/broken.png")
    assert [target for _, target in pairs(make_plan(["a.png", "b.png"], None, Naming("x4")))] == [
        "a_x4.png",
        "b_x4.png",
    ]
    assert pairs(make_plan(["d"], None, Naming("x4", recursive=True))) == [("d/1.png", "d_x4/1.png")]


def test_names_that_differ_in_case_collide_where_case_does_not_count(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch("A.png", "a.jpg")
    assert len(make_plan(["A.png", "a.jpg"], "out", Naming("x4")).jobs) == 2
    monkeypatch.setattr(keys.sys, "platform", "darwin")
    with pytest.raises(OutputError, match="would be written to one file"):
        make_plan(["A.png", "a.jpg"], "out", Naming("x4"))


NAMES = st.sampled_from(["a.png", "a.jpg", "a_x4.png", "a_x4_x4.png", "b.webp", "d/a.png", "d/b.tif", "d/e/a.png"])


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    present=st.lists(NAMES, min_size=1, max_size=6, unique=True),
    folder=st.booleans(),
    output=st.sampled_from([None, "out", "d", "d/e", "d/out", "."]),
    recursive=st.booleans(),
)
def test_no_plan_reads_what_it_writes_or_writes_a_file_twice(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    present: list[str],
    folder: bool,
    output: str | None,
    recursive: bool,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("plan"))
    touch(*present)
    inputs = [*present, *(["d"] if folder and Path("d").is_dir() else [])]
    try:
        plan = make_plan(inputs, output, Naming("x4", recursive=recursive))
    except (OutputError, PictureError):
        return
    sources = [os.path.realpath(str(job.source)) for job in plan.jobs]
    targets = [os.path.realpath(str(job.target)) for job in plan.jobs]
    assert not set(sources) & set(targets)
    assert len(set(targets)) == len(targets)
    assert plan.jobs or plan.left_out
    for name in present:  # nothing is forgotten
        assert os.path.realpath(name) in sources or Path(name) in plan.left_out


def test_all_collisions_are_named_and_suffixes_resolve_them(here: Path) -> None:
    touch("d/1.JPG", "d/1.png", "d/2.webp", "d/2.tif", "d/3.png")
    with pytest.raises(OutputError) as caught:
        make_plan(["d"], None, Naming("x4"))
    for name in ("d/1.JPG and d/1.png", "d/2.tif and d/2.webp", "keep_suffix"):
        assert name in str(caught.value)
    plan = make_plan(["d"], None, Naming("x4", keep_suffix=True))
    assert [target for _, target in pairs(plan)][:2] == ["d_x4/1.JPG.png", "d_x4/1.png.png"]
    beside = make_plan(["d/1.JPG", "d/1.png"], None, Naming("x4", keep_suffix=True))
    assert [target for _, target in pairs(beside)] == ["d/1.JPG_x4.png", "d/1.png_x4.png"]


def test_jobs_in_a_conflict_are_set_aside_on_request(here: Path) -> None:
    touch("d/1.JPG", "d/1.png", "d/2.webp", "d/3.png", "d/4.png")
    Path("out").mkdir()
    os.link("d/3.png", "out/3.png")
    plan = make_plan(["d"], "out", Naming("x4"), set_aside=True)
    assert [source for source, _ in pairs(plan)] == ["d/2.webp", "d/4.png"]
    assert [[str(job.source) for job in each.jobs] for each in plan.conflicts] == [["d/3.png"], ["d/1.JPG", "d/1.png"]]
    errors = [str(conflict_error([each], keep_suffix=False)) for each in plan.conflicts]
    assert errors[0].startswith("d/3.png would be replaced by the result out/3.png.")
    assert "d/1.JPG and d/1.png (out/1.png)" in errors[1]


@pytest.mark.parametrize("pattern", ["holiday [2019]/*.png", "holiday [2019]/[ab].png", "holiday [2019]/**/a.png"])
def test_a_folder_with_brackets_in_a_pattern(here: Path, pattern: str) -> None:
    touch("holiday [2019]/a.png", "holiday 2/a.png")
    assert [source for source, _ in pairs(make_plan([pattern], None, Naming("x4")))] == ["holiday [2019]/a.png"]


def test_pictures_in_unsupported_formats_are_counted(here: Path) -> None:
    touch("d/a.png", "d/b.PSD", "d/c.cr2", "d/notes.txt")
    plan = make_plan(["d"], None, Naming("x4"))
    assert plan.others == [Path("d/b.PSD"), Path("d/c.cr2")]
    Path("d/a.png").unlink()
    with pytest.raises(PictureError, match="It holds 2 pictures in unsupported formats"):
        make_plan(["d"], None, Naming("x4"))


def test_an_unreadable_sub_folder_does_not_stop_the_others(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch("d/a.png", "d/closed/b.png")
    scan = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    plan = make_plan(["d"], None, Naming("x4", recursive=True))
    assert pairs(plan) == [("d/a.png", "d_x4/a.png")]
    assert [path for path, _ in plan.unreadable] == [Path("d/closed")]
    assert "permission denied" in plan.unreadable[0][1]


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_with_the_name_of_an_output_is_no_collision(here: Path) -> None:
    touch("a.png", "b.png", "c.png")
    Path("out").mkdir()
    for name in ("a", "b"):
        os.symlink("../c.png", f"out/{name}_x4.png")
    assert len(make_plan(["a.png", "b.png"], "out", Naming("x4")).jobs) == 2


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_out_of_the_output_folder_are_noted(here: Path) -> None:
    touch("in/a.png", "in/sub/b.png", "in/other/c.png")
    Path("elsewhere").mkdir()
    Path("out/other").mkdir(parents=True)
    Path("out/sub").symlink_to(here / "elsewhere")
    plan = make_plan(["in"], "out", Naming("x4", recursive=True))
    assert plan.elsewhere == [Path("out/sub")]
    Path("linked").symlink_to(here / "out/other")
    assert make_plan(["in"], "linked", Naming("x4", recursive=True)).elsewhere == []  # the output itself was asked for


@pytest.mark.parametrize("output", [".", "photos", "{here}"])
def test_a_folder_above_the_input_takes_the_outputs(here: Path, output: str) -> None:
    touch("photos/raw/a.png", "photos/raw/deep/b.png")
    target = output.format(here=here)
    plan = make_plan(["photos/raw"], target, Naming("x4", recursive=True))
    assert pairs(plan) == [
        ("photos/raw/a.png", f"{Path(target)}/a.png".removeprefix("./")),
        ("photos/raw/deep/b.png", f"{Path(target)}/deep/b.png".removeprefix("./")),
    ]


def test_a_sub_folder_without_search_permission_does_not_stop_the_others(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch("d/a.png", "d/shut/b.png")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "shut")  # the superuser may enter any
    plan = make_plan(["d"], None, Naming("x4", recursive=True))
    assert [job.source for job in plan.jobs] == [Path("d/a.png")]
    ((folder, sentence),) = plan.unreadable
    assert folder == Path("d/shut")
    assert "permission denied" in sentence


def test_a_picture_given_twice_is_processed_once(here: Path) -> None:
    touch("d/a.png", "d/b.png", "d/deep/c.png")
    assert pairs(make_plan(["d", "d/a.png"], None, Naming("x4"))) == [
        ("d/a.png", "d/a_x4.png"),
        ("d/b.png", "d_x4/b.png"),
    ]
    plan = make_plan(["d/deep", "d"], "out", Naming("x4", recursive=True))
    assert sorted(source for source, _ in pairs(plan)) == ["d/a.png", "d/b.png", "d/deep/c.png"]
    assert pairs(make_plan(["d/deep", "d/deep/c.png"], None, Naming("x4"))) == [("d/deep/c.png", "d/deep/c_x4.png")]


def test_keeping_suffixes_is_only_suggested_if_it_helps(here: Path) -> None:
    touch("a/x.png", "b/x.png", "a/y.png", "a/y.jpg")
    for naming in (Naming("x4"), Naming("x4", keep_suffix=True)):
        with pytest.raises(OutputError, match=r"unique name\. Rename one, or run the command for each folder"):
            make_plan(["a/x.png", "b/x.png"], "out", naming)
    with pytest.raises(OutputError, match=r"keep_suffix keeps the inputs' suffixes"):
        make_plan(["a/y.png", "a/y.jpg"], "out", Naming("x4"))


def test_a_folder_that_vanishes_is_named(here: Path) -> None:
    with pytest.raises(PictureError, match=r"The folder gone does not exist\."):
        folder_content(Path("gone"), recursive=True)
