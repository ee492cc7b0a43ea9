"""Stores of files: folders and buckets, what they hold, and what happens when they do not answer."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")

import fsspec
import pyarrow as pa

from rlfn.errors import MissingExtraError, OptionError, OutputError, PictureError
from rlfn.jobs.bulk import stores as module
from rlfn.jobs.bulk.file_systems import UnreachableError
from rlfn.jobs.bulk.manifest import Manifest, PictureRow, read_manifest
from rlfn.jobs.bulk.pending import PendingWork, resolve_settings
from rlfn.jobs.bulk.sources import find_pictures
from rlfn.jobs.bulk.stores import Store, read_location
from rlfn.jobs.record import Settings
from rlfn.wording import setting


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an empty place of each kind."""
    if request.param == "folder":
        return str(tmp_path / "store")
    if request.param == "memory":
        return f"memory://{tmp_path.name}"
    return str(request.getfixturevalue("bucket"))


def test_files_are_put_listed_read_and_deleted(place: str) -> None:
    store = Store(place)
    assert list(store.files()) == []
    for name in ("a.png", "deep/b c.png", ".hidden/c.png", "deep/.d.png"):
        store.put(name, name.encode())
    found = {one.name: one for one in store.files()}
    assert found.keys() == {"a.png", "deep/b c.png"}
    assert found["deep/b c.png"].size == len("deep/b c.png")
    assert store.read(store.path("deep/b c.png")) == b"deep/b c.png"
    assert read_location(store.display_path(store.path("a.png"))) == b"a.png"
    stamp = found["a.png"].stamp
    store.put("a.png", b"another")
    assert next(one for one in store.files() if one.name == "a.png").stamp != stamp
    store.delete("a.png")
    store.delete("a.png")
    assert [one.name for one in store.files()] == ["deep/b c.png"]
    with pytest.raises(PictureError, match=r"There is no file .*a\.png"):
        store.read(store.path("a.png"))
    again = pickle.loads(pickle.dumps(store))
    assert (again.root, again.protocol) == (store.root, store.protocol)
    facts = store.facts()
    assert facts is not None
    assert not facts.is_file


def test_unknown_protocols_and_missing_packages() -> None:
    with pytest.raises(OptionError, match=r"Unknown protocol s4://\. Allowed: folders, file://, s3://"):
        Store("s4://bucket")
    with pytest.raises(MissingExtraError, match="pip install adlfs"):
        Store("az://container/x")


def test_a_double_colon_is_part_of_a_name(place: str) -> None:
    store = Store(f"{place}/c::d")
    for name in ("a.png", "a.png::red.png", "x::y.png", "file::z.png", "s3:q.png"):
        store.put(name, name.encode())
        assert read_location(store.display_path(store.path(name))) == name.encode()
    assert len(list(store.files())) == 5
    facts = Store(store.display_path(store.path("a.png::red.png"))).facts()
    assert facts is not None
    assert (facts.is_file, facts.size) == (True, len("a.png::red.png"))
    assert store.root.endswith("/c::d")


@pytest.mark.parametrize("name", ["c::d", "res::1", "file:x", "local:y", "data::x.png", "memory::z", "~", "x/o://p"])
def test_a_local_path_is_not_a_url(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Store(name).put("a.png", b"1")
    assert (tmp_path / name / "a.png").read_bytes() == b"1"
    assert [one.name for one in Store(name).files()] == ["a.png"]
    assert read_location(f"{name}/a.png") == b"1"


def test_urls_that_need_another_file_are_refused() -> None:
    with pytest.raises(OptionError, match=r"Unknown protocol simplecache::s3://"):
        Store("simplecache::s3://bucket/a.png")
    with pytest.raises(OptionError, match=r"reference://a\.png cannot be used \(.*Name a folder or a bucket"):
        Store("reference://a.png")


def test_a_url_keeps_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hosted(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
        def __init__(self, host: str) -> None:
            super().__init__()

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return path.removeprefix("hosted://anna@host:22")

        @staticmethod
        def _get_kwargs_from_urls(path: str) -> dict[str, str]:
            return {"host": path.split("/")[2]}

    monkeypatch.setattr(fsspec, "available_protocols", lambda: ["hosted"])
    fsspec.register_implementation("hosted", Hosted, clobber=True)
    store = Store("hosted://anna@host:22/in/")
    assert store.display_path(store.path("a.png")) == "hosted://anna@host:22/in/a.png"
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    with pytest.raises(PictureError, match=r"There is no file hosted://anna@host:22/in/a\.png"):
        store.read(store.path("a.png"))


def test_markers_of_empty_folders_are_not_files(bucket: str) -> None:
    store = Store(f"{bucket}/in")
    for name in ("a.png", "folder.png/", "sub/"):
        store.put(name, b"" if name.endswith("/") else b"1")
    assert [one.name for one in store.files()] == ["a.png"]
    assert [one.name for one in Store(bucket).files()] == ["in/a.png"]


def test_odd_keys_of_objects_are_pictures_or_errors(bucket: str, tmp_path: Path) -> None:
    store, names = Store(bucket), ["/lead.png", "a/../up.png", "a/./dot.png", "a//twice.png"]
    for name in names:
        store.put(name, name.encode())
    found = find_pictures(bucket, Store(tmp_path))
    work = PendingWork(found, resolve_settings(Settings(), [()]), Store(tmp_path), keep_suffix=False)
    entries = {entry.output: read_location(entry.path).decode() for entry in work.entries(work.remaining)}
    assert entries == {"lead.png": "/lead.png", "a/dot.png": "a/./dot.png", "a/twice.png": "a//twice.png"}
    ((index, error),) = work.rejected.items()
    assert work.rejected_entry(index).key == "a/../up.png"
    assert "leads out of the destination" in str(error)


def test_relative_paths_of_a_list_in_a_bucket_start_from_its_folder(bucket: str, tmp_path: Path) -> None:
    Store(bucket).put("lists/deep/l.txt", b"../../many/a.png\nb.png\n../../../c.png\n")
    table = find_pictures(f"{bucket}/lists/deep/l.txt", Store(tmp_path)).table
    assert table.column("path").to_pylist() == [
        f"{bucket}/many/a.png",
        f"{bucket}/lists/deep/b.png",
        f"{bucket}/../c.png",
    ]
    assert table.column("key").to_pylist() == ["many/a.png", "b.png", "c.png"]


def test_a_missing_bucket_is_named(bucket: str) -> None:
    missing = Store(f"{bucket}-none/out")
    sentence = r"The bucket of s3://.*-none/out\S* does not exist\. Create it, or check the spelling\."
    with pytest.raises(PictureError, match=sentence):
        list(missing.files())
    with pytest.raises(OutputError, match=sentence):
        missing.put("a.png", b"1")
    assert missing.facts() is None
    assert Store(f"{bucket}/none").facts() is None


def test_missing_credentials_are_asked_for_at_once(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(module.time, "sleep", lambda seconds: pytest.fail("retried"))
    sentence = (
        r"needs credentials \(Unable to locate credentials\)\. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"
    )
    for work in (lambda: Store(bucket).facts(), lambda: list(Store(bucket).files())):
        with pytest.raises(UnreachableError, match=sentence):
            work()
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_store_is_retried_before_it_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    store = Store("memory://flaky")
    store.put("a", b"1")
    answers: list[Any] = [ConnectionResetError("reset by peer"), TimeoutError(), b"1"]

    def cat(path: str) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bytes(answer)

    monkeypatch.setattr(store.system, "cat_file", cat)
    assert store.read("/flaky/a") == b"1"
    assert pauses == [0.5, 2.0]
    answers += [ConnectionResetError("reset by peer")] * 4
    with pytest.raises(UnreachableError, match=r"memory://flaky/a is unreachable \(reset by peer\)\. Try again"):
        store.read("/flaky/a")
    assert answers == []
    answers.append(PermissionError("no"))
    with pytest.raises(PictureError, match=r"Permission denied: .* cannot be read"):
        store.read("/flaky/a")


def test_a_dropout_does_not_turn_a_picture_into_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    Store("memory://dropout").put("a.png", b"123")
    system, asked = type(Store("memory://dropout").system), []
    info = system.info

    def flaky(self: Any, path: str, **options: Any) -> Any:
        asked.append(path)
        if len(asked) == 1:
            raise ConnectionResetError("reset by peer")
        return info(self, path, **options)

    monkeypatch.setattr(system, "info", flaky)
    found = find_pictures("memory://dropout/a.png", Store("memory://elsewhere"))
    assert found.table.select(["key", "bytes"]).to_pylist() == [{"key": "a.png", "bytes": 3}]
    assert len(asked) == 2


def test_a_remote_folder_that_cannot_be_listed_is_not_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    store = Store("memory://unlistable")
    for name in ("a.png", "locked/b.png", "deep/er/c.png", "gone/d.png", ".hidden/e.png"):
        store.put(name, b"123")
    errors: dict[str, list[Exception]] = {
        "locked": [PermissionError()] * 9,
        "er": [ConnectionResetError("reset by peer")],
        "gone": [FileNotFoundError()],
        ".hidden": [AssertionError("a hidden folder is listed")],
    }
    monkeypatch.setattr(type(store.system), "find", fsspec.AbstractFileSystem.find)  # as SFTP and others have it
    listed = type(store.system).ls

    def ls(self: Any, path: str, **how: Any) -> Any:
        if left := errors.get(path.rpartition("/")[2]):
            raise left.pop()
        return listed(self, path, **how)

    monkeypatch.setattr(type(store.system), "ls", ls)
    found = find_pictures("memory://unlistable", Store(tmp_path))
    assert found.table.column("key").to_pylist() == ["a.png", "deep/er/c.png", "locked"]
    told = "Permission denied: memory://unlistable/locked cannot be read. Check its permissions."
    assert found.rejected == {2: told}
    errors["er"] = [ConnectionResetError("reset by peer")] * 4
    with pytest.raises(UnreachableError, match=r"deep/er is unreachable \(reset by peer\)"):
        find_pictures("memory://unlistable", Store(tmp_path))
    errors["unlistable"] = [PermissionError()]
    with pytest.raises(PictureError, match="Permission denied: memory://unlistable cannot be read"):
        find_pictures("memory://unlistable", Store(tmp_path))


@pytest.mark.parametrize("name", ["CredentialRetrievalError", "TimeoutError"])
def test_only_missing_credentials_are_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    store = Store("memory://credentials")

    def cat(path: str) -> bytes:
        raise type(name, (Exception,), {})("no answer from the bucket credentials")

    monkeypatch.setattr(store.system, "cat_file", cat)
    with pytest.raises(UnreachableError, match=r"is unreachable \(no answer from the bucket credentials\)"):
        store.read("/credentials/a")
    assert len(pauses) == 3


def test_what_cannot_be_written_is_said_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("memory://refusing")
    errors: list[Exception] = [PermissionError("no"), IsADirectoryError("no")]

    def pipe(path: str, data: bytes) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(store.system, "pipe_file", pipe)
    with pytest.raises(OutputError, match=r"Permission denied: memory://refusing/a cannot be written\. Check the perm"):
        store.put("a", b"1")
    with pytest.raises(OutputError, match=r"memory://refusing/a is a folder; a file is needed"):
        store.put("a", b"1")


def test_an_unreachable_file_to_delete_is_named_by_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    store = Store("memory://deleting")

    def remove(path: str) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(store.system, "rm_file", remove)
    with pytest.raises(UnreachableError, match="memory://deleting/a is unreachable"):
        store.delete("a")


def test_a_file_system_without_atomic_writes_gets_a_temporary_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.local, store.protocol = False, "sftp"  # the same steps, on a file system that is at hand
    store.put("deep/a.png", b"1")
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "a.png"]


def row(key: str, status: str = "done", at: float = 1.0) -> PictureRow:
    return PictureRow(f"in/{key}", f"{key}.png", status, key=key, finished=at)


def test_the_manifest_has_the_records_of_pictures(place: str) -> None:
    facts: dict[str, Any] = {"input_size": (3, 2), "restore": 0.5, "restore_reason": "noise", "device": "cpu"}
    warned = replace(row("a"), warnings=(f"{setting('quality', 9)} ignored", "EXIF dropped"), **facts)
    manifest = Manifest(Store(place))
    manifest.add(warned)
    manifest.add(replace(row("b", "failed"), error=f"Give {setting('tile', 128)}."))
    manifest.flush()
    first, second = read_manifest(place).to_pylist()
    assert first == {**warned.as_dict(), "input_size": [3, 2], "warnings": ["quality=9 ignored", "EXIF dropped"]}
    assert (second["error"], second["input_size"], second["warnings"]) == ("Give tile=128.", None, [])


def test_the_manifest_can_be_read_at_any_time_and_is_merged_in_the_end(place: str) -> None:
    manifest = Manifest(Store(place))
    assert not manifest.exists()
    manifest.begin(pa.chunked_array([], pa.string()))
    assert manifest.exists()
    assert read_manifest(place).num_rows == 0
    manifest.add(row("a", "failed"))
    manifest.add(row("b"))
    manifest.flush()
    manifest.add(row("c"))
    assert read_manifest(place).column("key").to_pylist() == ["a", "b"]
    manifest.flush()
    later = Manifest(Store(place))
    later.add(row("a", "done", at=2.0))
    later.flush()
    found = read_manifest(place)
    assert dict(zip(found.column("key").to_pylist(), found.column("status").to_pylist(), strict=True)) == {
        "a": "done",
        "b": "done",
        "c": "done",
    }
    assert len(list(Store(place).files())) == 4
    later.compact()
    assert len(list(Store(place).files())) == 1
    assert read_manifest(place).sort_by("key") == found.sort_by("key")


def test_a_manifest_that_another_run_merges_is_read_again(place: str) -> None:
    manifest, other = Manifest(Store(place)), Manifest(Store(place))
    for key in "abc":
        manifest.add(row(key))
        manifest.flush()
    read, gone = manifest.store.read, []

    def late(path: str) -> bytes:
        if not gone:
            gone.append(path)
            other.compact()
        return read(path)

    manifest.store.read = late  # type: ignore[method-assign]
    assert sorted(manifest.read().column("key").to_pylist()) == ["a", "b", "c"]
    gone.clear()
    other.add(row("d"))
    other.flush()
    manifest.compact()
    assert sorted(read_manifest(place).column("key").to_pylist()) == ["a", "b", "c", "d"]


def test_a_picture_s_outputs_have_a_row_each_and_those_that_have_none_too(tmp_path: Path) -> None:
    manifest = Manifest(Store(tmp_path))
    manifest.add(PictureRow("in/a", "a.png", "failed", key="a", finished=1.0))
    manifest.add(PictureRow("in/a", "a.jpg", "done", key="a", finished=2.0))
    manifest.add(PictureRow("in/a", "a.png", "done", key="a", finished=3.0))
    manifest.add(PictureRow("in/a", "", "failed", key="../a", finished=4.0))
    manifest.add(PictureRow("in/b", "", "failed", key="../b", finished=4.0))
    manifest.compact()
    rows = [(row["key"], row["output"], row["status"]) for row in manifest.read().to_pylist()]
    assert rows == [("a", "a.jpg", "done"), ("a", "a.png", "done"), ("../a", "", "failed"), ("../b", "", "failed")]


def test_a_plan_lasts_until_each_of_its_outputs_has_a_row(place: str) -> None:
    killed = Manifest(Store(place))
    killed.begin(pa.chunked_array([["a.png", "b.png"]]))
    later = Manifest(Store(place))
    assert later.planned().to_pylist() == ["a.png", "b.png"]
    assert later.read().num_rows == 0  # who reads the manifest sees no plans
    later.begin(pa.chunked_array([["a.png"]]))
    later.add(row("a"))
    later.compact()
    assert Manifest(Store(place)).planned().to_pylist() == ["a.png", "b.png"]
    later.add(row("b", "failed"))
    later.compact()
    assert Manifest(Store(place)).planned().to_pylist() == []
    assert len(list(Store(place).files())) == 1


def test_rows_are_flushed_when_it_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest(Store(tmp_path))
    manifest.add(row("a"))
    assert not manifest.exists()
    monkeypatch.setattr(Manifest, "due", lambda self: True)
    manifest.add(row("b"))
    assert read_manifest(str(tmp_path)).num_rows == 2


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(OutputError, match=r"x\.parquet is not a manifest of bulk processing, or it is damaged"):
        read_manifest(str(tmp_path))
