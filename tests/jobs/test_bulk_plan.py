"""Planning of bulk processing: the pictures of a source, names of outputs, and what an earlier run has finished."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")
import pyarrow.parquet as parquet  # noqa: E402

from rlfn.errors import OptionError, OutputError, PictureError  # noqa: E402
from rlfn.inference.enlarge import EnlargeOptions  # noqa: E402
from rlfn.inference.sizing import Wanted  # noqa: E402
from rlfn.jobs.bulk.driver import BulkRequest, BulkRun  # noqa: E402
from rlfn.jobs.bulk.manifest import PictureRow, schema  # noqa: E402
from rlfn.jobs.bulk.pending import PendingWork, digest, resolve_settings  # noqa: E402
from rlfn.jobs.bulk.sources import FoundPictures, find_pictures  # noqa: E402
from rlfn.jobs.bulk.stores import Store  # noqa: E402
from rlfn.jobs.record import Settings  # noqa: E402

FAST = Settings(EnlargeOptions(model="rlfn-xs"))


def keys(found: FoundPictures) -> list[str]:
    return found.table.column("key").to_pylist()


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def test_a_folder_is_searched_recursively(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg", "sub/b.PNG", "sub/notes.txt", ".hidden/c.png", "sub/.d.png", "e.psd", "out/f.png")
    found = find_pictures(str(tmp_path), Store(tmp_path / "out"))
    assert sorted(keys(found)) == ["a.jpg", "sub/b.PNG"]
    assert found.unsupported == 1
    row = found.table.to_pylist()[keys(found).index("sub/b.PNG")]
    assert row["path"] == str(tmp_path / "sub" / "b.PNG")
    assert row["bytes"] == len("sub/b.PNG")
    assert row["stamp"] == f"{(tmp_path / 'sub' / 'b.PNG').stat().st_mtime_ns:x}"


def test_one_picture_and_paths(tmp_path: Path) -> None:
    files(tmp_path, "a.jpg")
    assert keys(find_pictures(str(tmp_path / "a.jpg"), Store(tmp_path / "out"))) == ["a.jpg"]
    assert keys(find_pictures(["s3://b/x/y.png", "/tmp/z.png"], Store(tmp_path / "out"))) == ["b/x/y.png", "tmp/z.png"]


def test_all_kinds_of_lists_are_equivalent(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\ufeffa.jpg\n\ns3://b/c.png\n")  # as editors on Windows begin a file
    (tmp_path / "list.csv").write_text("\ufeffpath,scale\na.jpg,\ns3://b/c.png,2\n")
    table = pa.table({"path": ["a.jpg", "s3://b/c.png"], "scale": [None, 2.0], "caption": ["x", "y"]})
    parquet.write_table(table, tmp_path / "list.parquet")
    found = {name: find_pictures(str(tmp_path / f"list.{name}"), Store("out")) for name in ("txt", "csv", "parquet")}
    for one in found.values():
        assert keys(one) == ["a.jpg", "b/c.png"]
        assert one.table.column("path").to_pylist() == [f"{tmp_path}/a.jpg", "s3://b/c.png"]
    assert found["txt"].options == [()]
    assert found["csv"].options == found["parquet"].options == [(), (("scale", 2.0),)]
    assert found["parquet"].table.column("options").to_pylist() == [0, 1]
    assert (found["csv"].ignored, found["parquet"].ignored) == ((), ("caption",))


def test_a_list_with_keys_sizes_and_versions(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,key,bytes,stamp,format\n/in/a.jpg,one/b.jpg,77,007,webp\n")
    found = find_pictures(str(tmp_path / "list.csv"), Store("out"))
    row = found.table.to_pylist()[0]
    assert (row["key"], row["bytes"], row["stamp"]) == ("one/b.jpg", 77, "007")
    work = PendingWork(found, resolve_settings(FAST, found.options), Store("out"), keep_suffix=False)
    assert work.table.column("output").to_pylist() == ["one/b.webp"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,scale\na.png,2\n", r"columns file, scale, but no column path with the pictures' paths"),
        ("path,scale\na.png,much\n", r"^Row 1 of the list has the scale 'much'\. Allowed: a number"),
        ("path,width\na.png,1.5\n", r"^Row 1 of the list has the width '1.5'\. Allowed: a whole number"),
        ("path,bytes\na.png,many\n", r"^Row 1 of the list has the bytes 'many'\. Allowed: a whole number"),
        ("path,scale\n,2\n", r"^Row 1 of the list has no path"),
        ("path\n", r"The list is empty"),
    ],
)
def test_invalid_lists_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises((OptionError, PictureError), match=sentence):
        find_pictures(str(tmp_path / "list.csv"), Store("out"))


def test_sources_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "list.parquet").write_bytes(b"no list")
    files(tmp_path / "in", "notes.txt", "a.psd")
    out = Store(tmp_path / "out")
    with pytest.raises(OptionError, match="is not a valid list of pictures"):
        find_pictures(str(tmp_path / "list.parquet"), out)
    with pytest.raises(PictureError, match=r"There are no pictures in .*in\. It has 1 pictures in unsupported formats"):
        find_pictures(str(tmp_path / "in"), out)
    with pytest.raises(PictureError, match=r"missing does not exist"):
        find_pictures(str(tmp_path / "missing"), out)
    with pytest.raises(OptionError, match="would be its own output"):
        find_pictures(str(tmp_path / "in"), Store(f"{tmp_path}/in/"))


def refuse_to_list(monkeypatch: pytest.MonkeyPatch, name: str, error: int = errno.EACCES) -> None:
    """Make folders of a name unreadable, for the superuser too."""
    scan = os.scandir

    def refuse(path: str) -> Any:
        if Path(path).name == name:
            raise OSError(error, os.strerror(error), path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)


def test_what_cannot_be_read_is_rejected_and_the_others_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path / "in", "b.png", "locked/a.png", "gone/c.png", "stale/d.png", "out/locked/e.png")
    source = tmp_path / "in"
    for name in ("broken.png", "notes.txt", ".hidden.png"):
        (source / name).symlink_to("/nonexistent")
    (source / "loop.png").symlink_to("loop.png")
    for name, error in (("locked", errno.EACCES), ("gone", errno.ENOENT), ("stale", errno.ESTALE)):
        refuse_to_list(monkeypatch, name, error)
    status = os.stat

    def failing(path: Any, **how: Any) -> os.stat_result:
        if str(path).endswith("b.png") and str(path).startswith(str(tmp_path / "failing")):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return status(path, **how)

    files(tmp_path / "failing", "a.png", "b.png")
    monkeypatch.setattr(os, "stat", failing)
    work = work_for(str(source), str(source / "out"))
    assert [entry.key for entry in work.entries(work.remaining)] == ["b.png"]
    rejected = {work.rejected_entry(index).key: str(error) for index, error in work.rejected.items()}
    assert rejected == {
        "locked": f"The folder {source}/locked cannot be read: permission denied. Change its permissions.",
        "stale": f"The folder {source}/stale cannot be read: stale file handle. Check the disk or network share.",
        "broken.png": f"The link {source}/broken.png is broken. Remove it or fix it.",
        "loop.png": f"The link {source}/loop.png is broken. Remove it or fix it.",
    }
    found = find_pictures(str(tmp_path / "failing"), Store(tmp_path / "out"))
    assert found.rejected == {
        1: f"{tmp_path}/failing/b.png cannot be read: input/output error. Check the disk or network share."
    }


def test_a_source_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "in/a.png", "closed/in/a.png")
    refuse_to_list(monkeypatch, "in")
    with pytest.raises(PictureError, match=r"The folder .*in cannot be read: permission denied"):
        find_pictures(str(tmp_path / "in"), Store(tmp_path / "out"))
    with pytest.raises(PictureError, match=r"There are no pictures in .*closed\. The folder .*in cannot be read"):
        find_pictures(str(tmp_path / "closed"), Store(tmp_path / "out"))


def test_an_unreadable_folder_in_the_destination_is_refused_if_results_belong_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    files(tmp_path, "in/sub/a.jpg", "in/b.jpg", "out/locked/a.png", "new/sub/a.png")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "b.png").symlink_to("/nonexistent")
    refuse_to_list(monkeypatch, "locked")
    BulkRun(BulkRequest(str(tmp_path / "in"), str(tmp_path / "out"), FAST))
    with pytest.raises(OutputError, match=r"holds 1 files that results would replace, for example b\.png"):
        BulkRun(BulkRequest(str(tmp_path / "in"), str(tmp_path / "linked"), FAST))
    (tmp_path / "list.csv").write_text("path,key\nin/sub/a.jpg,sub/a.jpg\n")
    refuse_to_list(monkeypatch, "sub")
    with pytest.raises(OutputError, match=r"folder .*sub cannot be read: permission denied.* Results belong in it"):
        BulkRun(BulkRequest(str(tmp_path / "list.csv"), str(tmp_path / "new"), FAST))


def work_of(tmp_path: Path, *names: str, settings: Settings = FAST, **how: Any) -> PendingWork:
    files(tmp_path / "in", *names)
    found = find_pictures(str(tmp_path / "in"), Store(tmp_path / "out"))
    how = {"keep_suffix": False, **how}
    return PendingWork(found, resolve_settings(settings, found.options), Store(tmp_path / "out"), **how)


def test_two_pictures_never_share_an_output(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.(jpg|png) and a\.(jpg|png) \(a\.png\)\. .*keep_suffix"):
        work_of(tmp_path, "a.jpg", "a.png", "b.png")
    work = work_of(tmp_path, keep_suffix=True)
    assert sorted(work.table.column("output").to_pylist()) == ["a.jpg.png", "a.png.png", "b.png.png"]


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    found = find_pictures([str(tmp_path / "a.png"), str(tmp_path / "b.png")], Store(tmp_path))
    found.table = found.table.set_column(0, "key", pa.array(["x.png", "a.png"]))
    with pytest.raises(OutputError, match=r"a\.png would be replaced by a result"):
        PendingWork(found, resolve_settings(FAST, found.options), Store(tmp_path), keep_suffix=False)


def test_no_link_and_no_relative_path_hides_an_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "here/a.png", "far/b.png", "far/away/c.png")
    (tmp_path / "list.txt").write_text("here/../here/a.png\n")
    (tmp_path / "link").symlink_to(tmp_path / "here")
    (tmp_path / "far" / "a.png").symlink_to(tmp_path / "here" / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "away").symlink_to(tmp_path / "far" / "away")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here" / "list.txt").write_text("a.png\n")
    replaced = [("here/list.txt", "here"), ("here/list.txt", f"{tmp_path}/link"), ("far", "here"), ("far", "out")]
    (tmp_path / "here" / "url.txt").write_text(f"file://{tmp_path}/link/a.png\n")
    for source, target in replaced:
        with pytest.raises(OutputError, match=r"[ac]\.png would be replaced by a result"):
            work_for(source, target)
    found = find_pictures(["link/a.png"], Store("here"))
    found.table = found.table.set_column(0, "key", pa.array(["a.png"]))
    with pytest.raises(OutputError, match=r"a\.png would be replaced by a result"):
        PendingWork(found, resolve_settings(FAST, found.options), Store("here"), keep_suffix=False)
    for source, target in (("here", "link"), ("link", "here"), ("link/", f"file://{tmp_path}/here")):
        with pytest.raises(OptionError, match="would be its own output"):
            find_pictures(source, Store(target))
    assert len(work_for("here/list.txt", "elsewhere").remaining) == 1
    # results below the source are none of its pictures, whatever it is called
    (tmp_path / "again").symlink_to(tmp_path / "far")
    assert sorted(keys(find_pictures("again", Store("far/away")))) == ["a.png", "b.png"]


def work_for(source: str, target: str) -> PendingWork:
    found = find_pictures(source, Store(target))
    return PendingWork(found, resolve_settings(FAST, found.options), Store(target), keep_suffix=False)


def test_an_input_in_a_bucket_is_never_replaced(tmp_path: Path) -> None:
    found = find_pictures(["s3a://b/x/a.png", "s3://b/x/b.png"], Store(tmp_path))
    for key, name in (("s3://b/x", "a.png"), ("s3a://b/x", "b.png")):
        found.table = found.table.set_column(0, "key", pa.array(["a.png", "b.png"]))
        wanted = found.table.slice(["a.png", "b.png"].index(name), 1)
        with pytest.raises(OutputError, match=f"{name} would be replaced"):
            PendingWork(replace(found, table=wanted), resolve_settings(FAST, [()]), Store(key), keep_suffix=False)


def test_a_name_that_is_not_utf_8_fails_alone(tmp_path: Path) -> None:
    files(tmp_path / "in", "a.png")
    try:
        (tmp_path / "in" / os.fsdecode(b"b\xff.png")).write_bytes(b"1")
    except OSError:
        pytest.skip("this file system has names in UTF-8 alone")
    work = work_for(str(tmp_path / "in"), str(tmp_path / "out"))
    assert [entry.key for entry in work.entries(work.remaining)] == ["a.png"]
    ((place, error),) = work.rejected.items()
    assert work.rejected_entry(place).key == "b\\xff.png"
    assert str(error) == f"The name {tmp_path}/in/b\\xff.png is not UTF-8. Rename the file or its folder."


def test_a_name_with_a_zero_byte_fails_alone(tmp_path: Path) -> None:
    names = [str(tmp_path / "a.png"), str(tmp_path / "b\0" / "c.png")]
    files(tmp_path, "a.png")
    found = find_pictures(names, Store(tmp_path / "out"))
    work = PendingWork(found, resolve_settings(FAST, found.options), Store(tmp_path / "out"), keep_suffix=False)
    assert list(work.remaining) == [0]
    told = f"The name {tmp_path}/b\\x00/c.png contains a zero byte. Rename the file or its folder."
    assert str(work.rejected[1]) == told
    with pytest.raises(OptionError, match="contains a zero byte"):
        Store("s3://bucket/a\0")


def test_keys_that_leave_the_destination_fail_alone(tmp_path: Path) -> None:
    found = find_pictures(["s3://b/../../etc/x.png", "s3://b/y.png"], Store(tmp_path))
    work = PendingWork(found, resolve_settings(FAST, found.options), Store(tmp_path), keep_suffix=False)
    assert list(work.remaining) == [1]
    assert "'..'" in str(work.rejected[0])
    assert "of s3://b/../../etc/x.png leads out of the destination" in str(work.rejected[0])
    assert work.rejected_entry(0).output == ""


def test_default_keys_stay_in_the_destination(tmp_path: Path) -> None:
    files(tmp_path, "many/a.png", "lists/b.png")
    (tmp_path / "lists" / "l.txt").write_text(
        f"../many/a.png\n./b.png\n../lists/../many/c.png\nfile://{tmp_path}/../d.png\n"
    )
    work = work_for(str(tmp_path / "lists" / "l.txt"), str(tmp_path / "out"))
    names = ["many/a.png", "b.png", "many/c.png", f"{tmp_path.parent}/d.png"[1:]]
    assert work.table.column("output").to_pylist() == names
    assert work.table.column("path").to_pylist()[:2] == [str(tmp_path / "many/a.png"), str(tmp_path / "lists/b.png")]
    (tmp_path / "lists" / "l.csv").write_text("path,key\nb.png,../b.png\nb.png,/c.png\nb.png,d.png\n")
    work = work_for(str(tmp_path / "lists" / "l.csv"), str(tmp_path / "out"))
    assert list(work.remaining) == [2]


def test_a_row_that_is_listed_twice_is_done_once(tmp_path: Path) -> None:
    rows = [
        f"{tmp_path}/a/b.png",
        f"{tmp_path}/a//b.png",
        f"{tmp_path}/\0.png",
        f"file://{tmp_path}/a/./b.png",
        "s3://b/c.png",
    ]
    work = PendingWork(
        find_pictures([*rows, rows[0], rows[2], "s3a://b/c.png"], Store(tmp_path)),
        resolve_settings(FAST, [()]),
        Store(tmp_path),
        keep_suffix=False,
    )
    assert work.table.column("path").to_pylist() == [rows[0], f"{tmp_path}/\\x00.png", "s3://b/c.png"]
    assert list(work.rejected) == [1]
    (tmp_path / "l.csv").write_text("path,scale,key\na.png,2,\na.png,4,\na.png,2,b\na.png,2,\n")
    with pytest.raises(
        OutputError, match=r"a\.png and a\.png \(a\.png\)\. Use unique names: give a list with a column key"
    ):
        work_for(str(tmp_path / "l.csv"), str(tmp_path / "out"))


def row_of(entry: Any, digest: str, size: int) -> PictureRow:
    return PictureRow(
        entry.path,
        entry.output,
        "done",
        key=entry.key,
        attempts=2,
        input_bytes=entry.bytes,
        input_stamp=entry.stamp,
        output_bytes=size,
        settings=digest,
    )


def manifest_of(*rows: PictureRow) -> Any:
    return pa.Table.from_pylist([row.as_dict() for row in rows], schema())


def sizes_of(**sizes: int) -> Any:
    return pa.table({"name": pa.array([f"{name}.png" for name in sizes], pa.string()), "bytes": list(sizes.values())})


def test_what_is_done_is_skipped_and_everything_else_is_not(tmp_path: Path) -> None:
    work = work_of(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg", "g.jpg")
    entries = {entry.key[0]: entry for entry in work.entries(work.remaining)}
    rows = {name: row_of(entry, work.digests[0], 10) for name, entry in entries.items()}
    rows["b"] = replace(rows["b"], input_stamp="another version")
    rows["c"] = replace(rows["c"], settings="another model")
    rows["d"] = replace(rows["d"], status="failed")
    del rows["g"]
    work.skip_done(
        manifest_of(*rows.values()), sizes_of(a=10, b=10, c=10, d=10, e=9, g=10)
    )  # e is cut short, f is gone
    assert [entry.key for entry in work.entries(work.done)] == ["a.jpg"]
    left = {entry.key[0]: entry.attempts for entry in work.entries(work.remaining)}
    assert left == {"b": 0, "c": 0, "d": 2, "e": 0, "f": 0, "g": 0}


def test_an_input_that_changed_is_seen_wherever_its_size_or_time_is_known(tmp_path: Path) -> None:
    files(tmp_path / "in", "a.jpg")
    (tmp_path / "list.txt").write_text("in/a.jpg\n")
    path, first = tmp_path / "in" / "a.jpg", (tmp_path / "in" / "a.jpg").stat()
    for source in ("in", "in/a.jpg", "list.txt"):
        os.utime(path, ns=(first.st_atime_ns, first.st_mtime_ns))
        path.write_bytes(b"12345")
        before = work_for(str(tmp_path / source), str(tmp_path / "out"))
        (entry,) = before.entries(before.remaining)
        assert (entry.bytes, entry.stamp) == (5, f"{path.stat().st_mtime_ns:x}")
        done = manifest_of(row_of(entry, before.digests[0], 10))
        lies = pa.table({"name": [entry.output], "bytes": [10]})
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        for text, later, left in ((b"12345", 0, 0), (b"1234567", 0, 1), (b"54321", 7, 1)):
            path.write_bytes(text)
            os.utime(path, ns=(times[0], times[1] + later))
            again = work_for(str(tmp_path / source), str(tmp_path / "out"))
            again.skip_done(done, lies)
            assert len(again.remaining) == left, (source, text)


def test_one_picture_may_have_several_outputs(tmp_path: Path) -> None:
    files(tmp_path, "a.png")
    (tmp_path / "list.csv").write_text("path,format\na.png,png\na.png,jpg\n")
    work = work_for(str(tmp_path / "list.csv"), str(tmp_path / "out"))
    entries = list(work.entries(work.remaining))
    rows = [row_of(entry, work.digests[entry.options], 10) for entry in entries]
    lies = pa.table({"name": [entry.output for entry in entries], "bytes": [10, 10]})
    work.skip_done(manifest_of(*rows), lies)
    assert [entry.output for entry in work.entries(work.done)] == [entry.output for entry in entries]
    work.skip_done(manifest_of(rows[1]), lies)
    assert [entry.output for entry in work.entries(work.remaining)] == [entries[0].output]


def test_another_picture_s_result_of_the_same_name_is_not_this_one_s(tmp_path: Path) -> None:
    work = work_of(tmp_path, "a.jpg")
    (entry,) = work.entries(work.remaining)
    work.skip_done(manifest_of(replace(row_of(entry, work.digests[0], 10), key="a.webp")), sizes_of(a=10))
    assert [(one.key, one.attempts) for one in work.entries(work.remaining)] == [("a.jpg", 0)]


def test_large_files_come_first(tmp_path: Path) -> None:
    work = work_of(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "in" / "b.jpg").write_bytes(bytes(100))
    work = work_of(tmp_path)
    assert [entry.key for entry in work.entries(work.remaining)] == ["b.jpg", "a.jpg"]
    (tmp_path / "in" / "a.jpg").write_bytes(bytes(200))
    work = work_of(tmp_path)
    assert [entry.key for entry in work.entries(work.remaining)] == ["a.jpg", "b.jpg"]


def test_the_digest_depends_on_what_determines_results() -> None:
    base, same = (resolve_settings(FAST, [()])[0] for _ in range(2))
    assert digest(base) == digest(same)
    assert digest(replace(base, max_pixels=7, enlarge=replace(base.enlarge, threads=3))) == digest(base)
    others = [
        replace(base, format="webp"),
        replace(base, quality=3),
        replace(base, enlarge=replace(base.enlarge, model="rlfn-s")),
        replace(base, enlarge=replace(base.enlarge, restore="off")),
        replace(base, enlarge=replace(base.enlarge, wanted=Wanted(2.0))),
    ]
    assert len({digest(one) for one in (base, *others)}) == 6


def test_options_of_a_list_override_only_themselves() -> None:
    base = replace(FAST, quality=70)
    made = resolve_settings(base, [(), (("scale", 2.0), ("format", "webp")), (("model", "rlfn-s-x3"), ("quality", 5))])
    assert [one.enlarge.wanted.scale for one in made] == [None, 2.0, None]
    assert [one.enlarge.model for one in made] == ["rlfn-xs", "rlfn-xs", "rlfn-s-x3"]
    assert [(one.format, one.quality) for one in made] == [(None, 70), ("webp", 70), (None, 5)]
    assert all(one.enlarge.engine != "auto" for one in made)
    with pytest.raises(OptionError, match=r"The list has pictures with scale 99\.0: No packaged model"):
        resolve_settings(FAST, [(("scale", 99.0),)])


@pytest.mark.parametrize("where", ["source", "output", "manifest"])
def test_locations_in_memory_are_refused(tmp_path: Path, where: str) -> None:
    pytest.importorskip("ray")
    files(tmp_path / "in", "a.png")
    asked = {"source": str(tmp_path / "in"), "output": str(tmp_path / "out"), where: "memory://x"}
    with pytest.raises(OptionError, match=r"memory://x is in the memory of one process, .* Name a folder or a bucket"):
        BulkRun(BulkRequest(**asked))
    assert not (tmp_path / "out").exists()
