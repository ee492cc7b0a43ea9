from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import pyvips

from rlfn.data import packing
from rlfn.data.pack import Pack
from rlfn.data.packing import make_pack, reduce_bicubic
from rlfn.data.pictures import read_rgb, write_rgb
from rlfn.errors import DataError, OptionError, OutputError
from rlfn.images.resize import resize
from synthetic import SIZES, synthetic


def contents(pack: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(pack.iterdir())}


def lr_folder(folder: Path, out: Path, scale: int, name: str = "X{s}/{stem}x{s}.png") -> Path:
    for path in folder.rglob("*.png"):
        target = out / path.relative_to(folder).parent / name.format(stem=path.stem, s=scale)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_rgb(target, 255 - reduce_bicubic(read_rgb(path), scale))
    return out


@pytest.mark.parametrize("workers", [1, 3])
def test_packs_do_not_depend_on_the_number_of_threads(folder: Path, tmp_path: Path, workers: int) -> None:
    reference = make_pack([folder], tmp_path / "reference", scales=(2,), min_side=64, workers=2).pack
    pack = make_pack([folder], tmp_path / "again", scales=(2, 2), min_side=64, workers=workers).pack
    assert contents(pack.path) == contents(reference.path)


def test_several_folders_prefix_their_names(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder / "sub", other)
    pack = make_pack([folder, other], tmp_path / "pack", min_side=64).pack
    assert pack.names == ("other/c.png", "pictures/a.png", "pictures/b.png", "pictures/sub/c.png")
    with pytest.raises(DataError, match=r"both have the name pictures/a\.png"):
        make_pack([folder, folder], tmp_path / "twice", min_side=64)


@pytest.mark.parametrize("name", ["X{s}/{stem}x{s}.png", "x{s}/{stem}.png", "{stem}x{s}.webp", "{stem}.png"])
def test_existing_reductions_are_used(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / "sub" / "c.png").unlink()
    given = tmp_path / "given"
    for path in folder.glob("*.png"):
        target = given / name.format(stem=path.stem, s=4)
        target.parent.mkdir(parents=True, exist_ok=True)
        pyvips.Image.new_from_array(255 - reduce_bicubic(read_rgb(path), 4)).write_to_file(
            str(target), **({"lossless": True} if target.suffix == ".webp" else {})
        )
    pack = make_pack([folder], tmp_path / "pack", lr_folder=given, min_side=64).pack
    for index in range(2):
        assert np.array_equal(pack.lr(index, 4), 255 - reduce_bicubic(pack.hr(index), 4))


def test_existing_reductions_in_sub_folders_are_used(folder: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    for path in folder.rglob("*.png"):
        for scale in (2, 4):
            target = given / f"X{scale}" / path.relative_to(folder).parent / f"{path.stem}x{scale}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_rgb(target, reduce_bicubic(read_rgb(path), scale))
    made = make_pack([folder], tmp_path / "made", scales=(2, 4), min_side=64).pack
    taken = make_pack([folder], tmp_path / "taken", scales=(2, 4), min_side=64, lr_folder=given).pack
    assert [taken.lr(2, 4).tolist(), taken.lr(0, 2).tolist()] == [made.lr(2, 4).tolist(), made.lr(0, 2).tolist()]


def test_missing_and_mismatched_pairs_are_named(folder: Path, tmp_path: Path) -> None:
    given = lr_folder(folder, tmp_path / "given", 4, "X{s}/{stem}x{s}.png")
    write_rgb(given / "X4" / "a.png", synthetic(5, 5))  # 0001x4.png goes before 0001.png
    write_rgb(given / "X4" / "bx4.png", synthetic(24, 17))
    (given / "sub" / "X4" / "cx4.png").unlink()
    with pytest.raises(DataError) as caught:
        make_pack([folder], tmp_path / "pack", lr_folder=given, min_side=64)
    assert "2 pictures cannot be packed. Remove or replace them, or leave them out with skip.\n" in str(caught.value)
    assert "\n  b.png is 64x96, so its" in str(caught.value)
    assert "must be 16x24, but" in str(caught.value)
    assert "sub/c.png has no picture reduced by 4" in str(caught.value)
    assert not (tmp_path / "pack").exists()
    packed = make_pack([folder], tmp_path / "pack", lr_folder=given, min_side=64, skip=True)
    assert packed.pack.names == ("a.png",)
    assert len(packed.left_out) == 2
    with pytest.raises(DataError, match="is not a folder"):
        make_pack([folder], tmp_path / "pack2", lr_folder=tmp_path / "nowhere")


def test_small_and_unreadable_pictures_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "text.png").write_text("no picture")
    whole = (folder / "a.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "trailing.png").write_bytes(whole + bytes(99))
    with pytest.raises(DataError) as caught:
        make_pack([folder], tmp_path / "pack", min_side=70)
    first, *lines = str(caught.value).splitlines()
    assert first == "4 pictures cannot be packed. Remove or replace them, or leave them out with skip."
    assert lines[0] == "  b.png is 64x96, smaller than 70 pixels a side"
    assert "cut.png' is a PNG file that is damaged or cut short" in lines[1]
    assert lines[2].startswith("  sub/c.png is ")
    assert "text.png' is not a picture" in lines[3]
    assert not (tmp_path / "pack").exists()
    (folder / "trailing.png").unlink()
    packed = make_pack([folder], tmp_path / "pack", min_side=70, skip=True)
    assert packed.pack.names == ("a.png",)
    with pytest.raises(DataError, match="No picture is left to pack"):
        make_pack([folder], tmp_path / "none", min_side=1000, skip=True)


def damaged_inside(whole: bytes) -> bytes:
    """Return a PNG file whose header and end are intact."""
    return whole[: len(whole) // 2] + bytes(64) + whole[len(whole) // 2 + 64 :]


def test_a_pack_that_leaves_out_damaged_pictures_can_be_repeated(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(damaged_inside(whole))
    out = tmp_path / "pack"
    first = make_pack([folder], out, min_side=64, skip=True)
    assert first.made == 2
    assert "b.png' is a PNG file that is damaged" in first.left_out[0]
    again = make_pack([folder], out, min_side=64, skip=True)
    assert again.made == 0
    assert again.left_out == first.left_out
    assert again.pack.names == first.pack.names
    with pytest.raises(DataError, match=r"without pictures that could not be decoded: b\.png\. Keep it with skip"):
        make_pack([folder], out, min_side=64)
    (folder / "b.png").write_bytes(whole + b"mended")
    with pytest.raises(DataError, match=r"some have changed since: b\.png"):
        make_pack([folder], out, min_side=64, skip=True)


def test_a_damaged_picture_is_named_and_the_rest_is_kept(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(damaged_inside(whole))
    with pytest.raises(
        DataError,
        match=r"(?s)1 picture cannot be packed\. The others are packed.*run again\.\n.*b\.png' is a PNG file",
    ):
        make_pack([folder], tmp_path / "pack", min_side=64)
    with pytest.raises(DataError, match="not finished"):
        Pack.open(tmp_path / "pack")
    (folder / "b.png").write_bytes(whole)
    packed = make_pack([folder], tmp_path / "pack", min_side=64)
    assert packed.made == 1
    assert packed.pack.names == tuple(SIZES)
    for index, name in enumerate(SIZES):
        assert np.array_equal(packed.pack.hr(index), read_rgb(folder / name))


def test_missing_and_empty_folders_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        make_pack([tmp_path / "nowhere"], tmp_path / "pack")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no pictures"):
        make_pack([tmp_path / "empty"], tmp_path / "pack")
    with pytest.raises(DataError, match="is a file"):
        make_pack([folder / "a.png"], tmp_path / "pack")
    for scales in ((), (1,)):
        with pytest.raises(OptionError, match="whole numbers of at least 2"):
            make_pack([folder], tmp_path / "pack", scales=scales)


def interrupted_after(count: int) -> Any:
    def progress(done: int, total: int, name: str) -> None:
        if done == count:
            raise KeyboardInterrupt

    return progress


def test_an_interrupted_pack_is_resumed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    with pytest.raises(KeyboardInterrupt):
        make_pack([folder], out, min_side=64, progress=interrupted_after(2))
    with pytest.raises(DataError, match="not finished"):
        Pack.open(out)
    with (out / "hr.u8").open("ab") as stream:  # a picture that was being written, and a torn line in the journal
        stream.write(b"torn")
    with (out / "journal.jsonl").open("a") as stream:
        stream.write('{"name": "sub/c.p')
    packed = make_pack([folder], out, min_side=64)
    assert packed.made == 1
    reference = make_pack([folder], tmp_path / "reference", min_side=64).pack
    assert contents(out) == contents(reference.path)
    assert make_pack([folder], out, min_side=64).made == 0


def test_damaged_and_changed_pictures_are_made_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    with pytest.raises(KeyboardInterrupt):
        make_pack([folder], out, min_side=64, progress=interrupted_after(2))
    with (out / "hr.u8").open("r+b") as stream:
        stream.write(bytes(5))
    write_rgb(folder / "b.png", synthetic(80, 80, 9))
    packed = make_pack([folder], out, min_side=64)
    assert packed.made == 3
    packed.pack.verify()
    assert np.array_equal(packed.pack.hr(1), synthetic(80, 80, 9))


def test_a_killed_run_is_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(12):
        write_rgb(folder / f"{number:02}.png", synthetic(200, 200, number))
    code = (
        "import sys, time; from pathlib import Path; from rlfn.data.packing import make_pack\n"
        "stop = lambda done, total, name: (print(done, flush=True), done == 3 and time.sleep(600))\n"
        "make_pack([Path(sys.argv[1])], Path(sys.argv[2]), min_side=64, progress=stop)"
    )
    out = tmp_path / "pack"
    run = subprocess.Popen([sys.executable, "-c", code, str(folder), str(out)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert [run.stdout.readline() for _ in range(3)] == ["1\n", "2\n", "3\n"]
    run.send_signal(signal.SIGKILL)
    run.wait()
    packed = make_pack([folder], out, min_side=64)
    assert packed.made == 9
    assert contents(out) == contents(make_pack([folder], tmp_path / "reference", min_side=64).pack.path)


def test_the_same_command_again_checks_a_finished_pack(folder: Path, tmp_path: Path) -> None:
    pack = make_pack([folder], tmp_path / "pack", min_side=8).pack
    seen: list[tuple[int, int, str]] = []
    make_pack([folder], pack.path, min_side=8, progress=lambda *row: seen.append(row))
    assert seen == [(number, len(pack), name) for number, name in enumerate(pack.names, 1)]
    samples = bytearray((pack.path / "hr.u8").read_bytes())
    samples[len(samples) // 2] ^= 1
    (pack.path / "hr.u8").write_bytes(samples)
    with pytest.raises(DataError, match=r"pack is damaged in: .*\.png\. Delete it and pack again"):
        make_pack([folder], pack.path, min_side=8)


def test_only_one_process_packs_into_a_folder(folder: Path, tmp_path: Path) -> None:
    """A second one would cut the files to what it knows, and the first would seal a pack with holes."""
    out = tmp_path / "pack"
    refused: list[str] = []

    def again(done: int, total: int, name: str) -> None:
        with pytest.raises(DataError) as caught:
            make_pack([folder], out, min_side=8)
        refused.append(str(caught.value))

    pack = make_pack([folder], out, min_side=8, workers=1, progress=again).pack
    assert len(refused) == len(pack)
    assert all(text.startswith(f"Another process packs into {out}. Wait for its end") for text in refused)
    pack.verify()
    assert make_pack([folder], out, min_side=8).made == 0


def test_other_settings_and_other_contents_are_not_overwritten(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    with pytest.raises(KeyboardInterrupt):
        make_pack([folder], out, min_side=64, progress=interrupted_after(1))
    with pytest.raises(DataError, match="unfinished pack with other settings"):
        make_pack([folder], out, scales=(2,), min_side=64)
    make_pack([folder], out, min_side=64)
    with pytest.raises(DataError, match="holds a pack of other"):
        make_pack([folder], out, scales=(2,), min_side=64)
    with pytest.raises(DataError, match="holds a pack of other"):
        make_pack([folder / "sub"], out, min_side=64)
    picture = next(folder.glob("*.png"))
    os.utime(picture, (1, 1))
    with pytest.raises(DataError, match=rf"of these pictures, but some have changed since: {picture.name}"):
        make_pack([folder], out, min_side=64)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="is not empty and contains no pack"):
        make_pack([folder], tmp_path / "mine", min_side=64)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_a_disk_that_is_too_small_is_noticed_first(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: usage._replace(free=50_000))
    with pytest.raises(OutputError, match=r"needs 0\.00 GB more and the disk of .* has 0\.00 GB free"):
        make_pack([folder], tmp_path / "pack", min_side=64)


def test_a_full_disk_is_reported_and_the_run_can_be_resumed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = packing._Writer.add
    made = []

    def full(self: Any, job: Any, planes: Any) -> None:
        if made:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        made.append(job)
        add(self, job, planes)

    with monkeypatch.context() as patched:
        patched.setattr(packing._Writer, "add", full)
        with pytest.raises(OutputError, match=r"is full\. Free some space and run the same command again"):
            make_pack([folder], tmp_path / "pack", min_side=64)
    assert make_pack([folder], tmp_path / "pack", min_side=64).made == 2


def test_a_disk_that_is_full_at_the_index_leaves_an_unfinished_pack(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Disk:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def fsync(self, file: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "pack"
    with monkeypatch.context() as patched:
        patched.setattr("rlfn.data.pack.os", Disk())
        with pytest.raises(OutputError, match=r"index\.json' cannot be written: no space left"):
            make_pack([folder], out, min_side=64)
    assert not list(out.glob(".*"))
    with pytest.raises(DataError, match="is not finished"):
        Pack.open(out)
    packed = make_pack([folder], out, min_side=64)
    assert packed.made == 0
    packed.pack.verify()


def test_an_unwritable_folder_is_reported(folder: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        make_pack([folder], Path("/proc/pack"), min_side=64)


def test_every_picture_is_decoded_once_and_the_index_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(60):
        write_rgb(folder / f"{number:02}.png", synthetic(64, 64, number))
    decoded, written = Mock(wraps=packing.read_rgb), Mock(wraps=packing.write_index)
    monkeypatch.setattr(packing, "read_rgb", decoded)
    monkeypatch.setattr(packing, "write_index", written)
    make_pack([folder], tmp_path / "pack", min_side=64)
    assert (decoded.call_count, written.call_count) == (60, 1)
    rows = json.loads((tmp_path / "pack" / "index.json").read_text())["pictures"]
    assert [row["offsets"]["1"] for row in rows] == list(range(0, 60 * 64 * 64 * 3, 64 * 64 * 3))


@pytest.mark.skipif("RLFN_SHARED" not in os.environ, reason="RLFN_SHARED names the folder of the test sets")
@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_reductions_equal_the_distributed_ones(tmp_path: Path, name: str) -> None:
    folder = Path(os.environ["RLFN_SHARED"]) / "data" / "bench" / name
    made = make_pack([folder / "HR"], tmp_path / "made", scales=(2, 3, 4), min_side=64).pack
    given = make_pack(
        [folder / "HR"], tmp_path / "given", scales=(2, 3, 4), min_side=64, lr_folder=folder / "LR_bicubic"
    ).pack
    for index, picture in enumerate(made.names):
        for scale in made.scales:
            assert np.array_equal(made.lr(index, scale), given.lr(index, scale)), (picture, scale)


def test_reduction_crops_first() -> None:
    picture = synthetic(17, 14)
    assert np.array_equal(reduce_bicubic(picture, 3), resize(picture[:15, :12], scale=1 / 3))
