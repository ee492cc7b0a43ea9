"""Public data sets and weights: their URLs, their published hashes, and how to download them.

Sources of the hashes: ``sha256`` of DIV2K from TensorFlow Datasets (``url_checksums/div2k.txt``); ``md5`` from
torchSR (``datasets/div2k.py``, ``flickr2k.py``, ``benchmarks.py``); the hashes of the weights were computed for this
project from the official files. MD5 detects a damaged download, but not a forged one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rlfn.atomic import make_folder, to_path
from rlfn.errors import DataError, MissingExtraError, OutputError, unknown
from rlfn.wording import setting

_DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K"
_EDSR = "https://cv.snu.ac.kr/research/EDSR"
_RLFN = "https://github.com/bytedance/RLFN/raw/main/model_zoo"

_RESEARCH = "academic research use only, see https://data.vision.ee.ethz.ch/cvl/DIV2K/"
_MIXED = "none stated for the whole; photographs of many owners, for research"
_APACHE = "Apache-2.0"

DownloadProgress = Callable[[int, int], None]  # bytes on disk, bytes in all (0: unknown)


@dataclass(frozen=True)
class File:
    """One file to download: ``hash`` is ``sha256:...`` or ``md5:...``, or ``None`` when none is known."""

    url: str
    hash: str | None

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Download:
    """A named set of files. A set that may not be redistributed has no files; ``request`` says how to obtain it."""

    title: str
    licence: str
    files: tuple[File, ...] = ()
    request: str = ""


def _div2k(name: str, hashed: str) -> File:
    return File(f"{_DIV2K}/{name}.zip", hashed)


DOWNLOADS: dict[str, Download] = {
    "div2k": Download(
        "DIV2K: 800 training and 100 validation pictures, high resolution",
        _RESEARCH,
        (
            _div2k("DIV2K_train_HR", "sha256:9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335"),
            _div2k("DIV2K_valid_HR", "sha256:20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc"),
        ),
    ),
    "div2k-x2": Download(
        "DIV2K reduced by 2, bicubic",
        _RESEARCH,
        (
            _div2k(
                "DIV2K_train_LR_bicubic_X2", "sha256:a53a424317575838dadce4bcd97cf7b744d6855f43740ed5f0245af3cf4bd850"
            ),
            _div2k(
                "DIV2K_valid_LR_bicubic_X2", "sha256:60eed9875c697df51204aa579e2a699e1d5215095788a097ff54dd17e2664d57"
            ),
        ),
    ),
    "div2k-x3": Download(
        "DIV2K reduced by 3, bicubic",
        _RESEARCH,
        (
            _div2k("DIV2K_train_LR_bicubic_X3", "md5:ad80b9fe40c049a07a8a6c51bfab3b6d"),
            _div2k("DIV2K_valid_LR_bicubic_X3", "md5:18b1d310f9f88c13618c287927b29898"),
        ),
    ),
    "div2k-x4": Download(
        "DIV2K reduced by 4, bicubic",
        _RESEARCH,
        (
            _div2k("DIV2K_train_LR_bicubic_X4", "md5:76c43ec4155851901ebbe8339846d93d"),
            _div2k("DIV2K_valid_LR_bicubic_X4", "md5:21962de700c8d368c6ff83314480eff0"),
        ),
    ),
    "flickr2k": Download(
        "Flickr2K: 2650 pictures with their reductions",
        _MIXED,
        (File(f"{_EDSR}/Flickr2K.tar", "md5:5d3f39443d5e9489bff8963f8f26cb03"),),
    ),
    "benchmarks": Download(
        "Set5, Set14, B100 and Urban100 with their reductions, as EDSR distributes them",
        _MIXED,
        (File(f"{_EDSR}/benchmark.tar", "md5:4ace41d33c2384b97e6b320cd0afd6ba"),),
    ),
    "manga109": Download(
        "Manga109",
        "academic use, on request; may not be passed on",
        request="http://www.manga109.org/en/download.html",
    ),
    "rlfn-weights": Download(
        "the official weights of RLFN and RLFN-S, x2 and x4",
        _APACHE,
        (
            File(f"{_RLFN}/rlfn_x2.pth", "sha256:eafe5d5feeb122022453595c06d79160facdc157ae88deb02a44c50f5eba2d41"),
            File(f"{_RLFN}/rlfn_x4.pth", "sha256:8c7edb57dfc89048bafba29d591d4c27d4099964b4a9e22df23d6dc257a637c0"),
            File(f"{_RLFN}/rlfn_s_x2.pth", "sha256:f5175f499f869c1b884c2552a1bcd6abd07ab352e3d8c8c9abe31b1deb60fe45"),
            File(f"{_RLFN}/rlfn_s_x4.pth", "sha256:f769c5a88433786b2db0c2b24da6ca6c92a24c62344b9354a390f8a74388e89d"),
        ),
    ),
}


def get(name: str, out: Path, report: DownloadProgress | None = None) -> list[Path]:
    """Download a set into ``out`` and unpack its archives; files that are complete already are not downloaded again.

    An interrupted download is resumed if the server supports it.

    Args:
        name: a key of ``DOWNLOADS``.
        out: the folder to write to.
        report: called with the progress in bytes.

    Returns:
        The downloaded files.

    Raises:
        OptionError: an unknown name.
        DataError: the set must be requested from its owners, cannot be reached, or differs from its hash.
        OutputError: ``out`` cannot be written.
        MissingExtraError: pooch is not installed.
    """
    if name not in DOWNLOADS:
        raise unknown("data set", name, DOWNLOADS)
    download = DOWNLOADS[name]
    if download.request:
        raise DataError(f"{download.title} is not freely available; request it from its owners: {download.request}")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file, not a folder. Choose another place for {setting('output')}.")
    try:
        return [fetch(file, out, report) for file in download.files]
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}. Run again to continue.") from error


def fetch(file: File, out: Path, report: DownloadProgress | None = None) -> Path:
    """Download one file into ``out``, check it, and unpack it there if it is a zip or tar archive.

    Raises:
        DataError: the file cannot be downloaded, differs from its hash or is not a complete archive.
        OSError, OutputError: ``out`` cannot be written.
        MissingExtraError: pooch is not installed.
    """
    try:
        import pooch
    except ImportError as error:
        raise MissingExtraError("`rlfn data get`", "train") from error
    from requests import RequestException

    out.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("ERROR")
    target = out / file.name
    try:
        fetched = pooch.retrieve(
            file.url, file.hash, fname=file.name, path=out, downloader=_Resuming(file, out, report)
        )
    except RequestException as error:
        raise DataError(f"{file.url} cannot be fetched: {error}. Run again to continue.") from error
    except ValueError as error:  # raised by pooch for a wrong hash
        (out / f"{file.name}.part").unlink(missing_ok=True)
        raise DataError(
            f"{file.url} is not the expected file: its hash is not {file.hash}. Run again; if that does not "
            "help, the file was changed by its owners."
        ) from error
    _unpack(Path(fetched), out)
    return target


class _Resuming:
    """A resumable downloader for pooch: the bytes go to ``NAME.part``, and the next run requests the rest."""

    def __init__(self, file: File, out: Path, report: DownloadProgress | None) -> None:
        self._hash = file.hash
        self._part = out / f"{file.name}.part"
        self._report = report

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        import os

        import requests

        if self._hash is None:  # without a hash a change of the file in the meantime would go unnoticed
            self._part.unlink(missing_ok=True)
        have = self._part.stat().st_size if self._part.exists() else 0
        headers = (
            {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {"Accept-Encoding": "identity"}
        )
        with requests.get(url, headers=headers, stream=True, timeout=60) as answer:
            if answer.status_code != 416:  # 416: nothing is missing
                answer.raise_for_status()
                have = have if answer.status_code == 206 else 0
                total = have + int(answer.headers.get("Content-Length", 0))
                with self._part.open("ab" if have else "wb") as stream:
                    for piece in answer.iter_content(1 << 18):
                        stream.write(piece)
                        have += len(piece)
                        if self._report:
                            self._report(have, total)
                if have < total:
                    raise requests.ConnectionError(f"it ended after {have:,} of {total:,} bytes")
        os.replace(self._part, output_file)


def _unpack(archive: Path, out: Path) -> None:
    """Unpack a zip or tar file; other files are ignored, and existing members are kept."""
    import tarfile
    import zipfile

    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as zipped:
                for info in zipped.infolist():
                    if not info.is_dir():
                        _write_member(out, info.filename, info.file_size, partial(zipped.open, info))
        elif archive.suffix == ".tar":
            with tarfile.open(archive) as tarred:
                for member in tarred:
                    if member.isfile():
                        _write_member(out, member.name, member.size, partial(tarred.extractfile, member))
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise DataError(f"{archive} cannot be unpacked: {error}. Delete it and run again.") from error


def _write_member(out: Path, name: str, size: int, open_member: Callable[[], Any]) -> None:
    """Write one member of an archive atomically, and never outside ``out``."""
    import shutil

    target = out / name
    if not target.resolve().is_relative_to(out.resolve()):
        raise DataError(f"The archive has a file outside its own folder: {name}. It cannot be trusted; delete it.")
    if target.is_file() and target.stat().st_size == size:
        return
    make_folder(target.parent)
    with open_member() as source:
        to_path(target, lambda stream: shutil.copyfileobj(source, stream, 1 << 20))
