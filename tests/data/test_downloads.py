from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rlfn.data import downloads
from rlfn.data.downloads import DOWNLOADS, Download, File, fetch, get
from rlfn.errors import DataError, OptionError, OutputError


class Server:
    """Serves ``files`` on this machine; can break off after some bytes, and can ignore ranges."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.break_after: int | None = None
        self.ranges = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, self.headers.get("Range")))
                body = outer.files.get(self.path[1:])
                if body is None:
                    self.send_error(404)
                    return
                start = 0
                if outer.ranges and (wanted := self.headers.get("Range")):
                    start = int(wanted.removeprefix("bytes=").rstrip("-"))
                    if start >= len(body):
                        self.send_error(416)
                        return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body) - start))
                self.end_headers()
                self.wfile.write(body[start:][: outer.break_after])

            def log_message(self, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def serve(self, name: str, body: bytes, hash: str | None = "sha256") -> File:
        self.files[name] = body
        known = f"{hash}:{hashlib.new(hash, body).hexdigest()}" if hash else None
        return File(f"http://127.0.0.1:{self.http.server_port}/{name}", known)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, body in members.items():
            archive.writestr(name.replace("__", "/"), body)
    return stream.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def test_a_set_is_fetched_checked_and_unpacked(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = (
        server.serve("train.zip", zipped(DIV__a=b"one", DIV__sub__b=b"two")),
        server.serve("bench.tar", tarred({"Set5/HR/x.png": b"three"}), "md5"),
        server.serve("weights.pth", b"four", None),
    )
    monkeypatch.setitem(downloads.DOWNLOADS, "mine", Download("Mine", "free", files))
    seen: list[tuple[int, int]] = []
    paths = get("mine", tmp_path / "out", lambda have, total: seen.append((have, total)))
    assert [path.name for path in paths] == ["train.zip", "bench.tar", "weights.pth"]
    assert (tmp_path / "out/DIV/sub/b").read_bytes() == b"two"
    assert (tmp_path / "out/Set5/HR/x.png").read_bytes() == b"three"
    assert (4, 4) in seen
    assert not list((tmp_path / "out").rglob("*.part"))
    (tmp_path / "out/DIV/a").unlink()
    asked = len(server.requests)
    get("mine", tmp_path / "out")
    assert (tmp_path / "out/DIV/a").read_bytes() == b"one"  # unpacked again, without the network
    assert len(server.requests) == asked


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_is_resumed(server: Server, tmp_path: Path, ranges: bool) -> None:
    body = bytes(range(256)) * 4000
    file = server.serve("big.bin", body)
    server.break_after = 600_000
    with pytest.raises(DataError, match=r"cannot be fetched.*Run again to continue"):
        fetch(file, tmp_path)
    assert not (tmp_path / "big.bin").exists()
    kept = (tmp_path / "big.bin.part").stat().st_size
    assert 0 < kept <= 600_000
    server.break_after, server.ranges = None, ranges
    fetch(file, tmp_path)
    assert (tmp_path / "big.bin").read_bytes() == body
    assert server.requests[-1] == ("/big.bin", f"bytes={kept}-")
    assert [path.name for path in tmp_path.iterdir()] == ["big.bin"]


def test_a_complete_unchecked_download_is_finished(server: Server, tmp_path: Path) -> None:
    file = server.serve("a.bin", b"whole")
    (tmp_path / "a.bin.part").write_bytes(b"whole")
    assert fetch(file, tmp_path).read_bytes() == b"whole"


def test_without_a_hash_a_download_starts_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(b"of another version")
    assert fetch(server.serve("a.bin", b"whole", None), tmp_path).read_bytes() == b"whole"
    assert server.requests == [("/a.bin", None)]


def test_a_wrong_hash_is_refused_and_nothing_is_kept(server: Server, tmp_path: Path) -> None:
    file = server.serve("a.zip", zipped(a=b"good"))
    server.files["a.zip"] = zipped(a=b"evil")
    with pytest.raises(DataError, match="is not the expected file: its hash is not sha256:"):
        fetch(file, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_file_and_a_dead_server_are_reported(server: Server, tmp_path: Path) -> None:
    file = server.serve("a.zip", b"")
    del server.files["a.zip"]
    with pytest.raises(DataError, match="404"):
        fetch(file, tmp_path)
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch(File("http://127.0.0.1:9/a.zip", None), tmp_path)


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_archives_cannot_write_outside(server: Server, tmp_path: Path, name: str) -> None:
    members = {"../evil.txt": b"x"}
    body = zipped(**{"..__evil.txt": b"x"}) if name == "a.zip" else tarred(members)
    with pytest.raises(DataError, match="outside its own folder"):
        fetch(server.serve(name, body), tmp_path / "out")
    assert not (tmp_path / "evil.txt").exists()


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_damaged_archives_are_reported(server: Server, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be unpacked"):
        fetch(server.serve(name, b"not an archive" * 100, None), tmp_path)


def test_a_damaged_member_leaves_nothing_unfinished(server: Server, tmp_path: Path) -> None:
    body = zipped(a=b"good", b=b"content")
    with pytest.raises(DataError, match="cannot be unpacked"):
        fetch(server.serve("a.zip", body.replace(b"content", b"CONTENT"), None), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.zip"]


def test_unknown_names_and_sets_on_request(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'div2k'"):
        get("div2", tmp_path)
    with pytest.raises(DataError, match=r"request it from its owners: http://www\.manga109\.org"):
        get("manga109", tmp_path)


def test_an_unwritable_folder_is_reported(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(downloads.DOWNLOADS, "mine", Download("Mine", "free", (server.serve("a", b""),)))
    with pytest.raises(OutputError, match="cannot be written"):
        get("mine", Path("/proc/out"))
    (tmp_path / "a.toml").touch()
    with pytest.raises(OutputError, match=r"a\.toml is a file, not a folder"):
        get("mine", tmp_path / "a.toml")


@pytest.mark.parametrize("name", DOWNLOADS)
def test_every_row_is_complete(name: str) -> None:
    download = DOWNLOADS[name]
    assert download.title
    assert download.licence
    assert bool(download.files) != bool(download.request)
    for file in download.files:
        assert file.url.startswith("https://")
        kind, _, digest = (file.hash or "").partition(":")
        assert len(digest) == {"sha256": 64, "md5": 32}[kind]
        int(digest, 16)
