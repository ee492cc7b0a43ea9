"""What the command line prints: settings as flags, names made safe, errors in a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlfn.cli.evaluate import evaluate
from rlfn.cli.messages import explain, flags, printable
from rlfn.cli.upscale import upscale
from rlfn.errors import OptionError
from rlfn.images.files import Picture, write_picture
from rlfn.wording import setting

POSIX = os.name == "posix"
EVIL = "a\x1b[2J\x07\n\u202egpj\x9b.png"


def make(name: str) -> None:
    write_picture(Picture(np.zeros((20, 30, 3), np.uint8)), Path(name))


@pytest.mark.parametrize(
    ("command", "marked", "said"),
    [
        (upscale, setting("tile", 128), "--tile 128"),
        (upscale, setting("output"), "-o"),
        (upscale, setting("max_pixels", 9), "--max-pixels 9"),
        (upscale, setting("overwrite", True), "--overwrite"),
        (upscale, setting("input"), "INPUT"),
        (upscale, setting("as_json"), "--json"),
        (upscale, setting("debug"), "--debug"),
        (evaluate, setting("model"), "MODEL"),
        (evaluate, setting("model", "a.pth"), "a.pth"),
        (None, setting("min_side", 3), "--min-side 3"),
    ],
)
def test_settings_are_worded_as_the_command_s_flags(command: click.Command | None, marked: str, said: str) -> None:
    assert explain(OptionError(f"Use {marked}."), command) == f"Use {said}."


def test_an_error_of_every_kind_is_one_sentence() -> None:
    assert explain(MemoryError(), upscale) == "There is not enough memory. Use smaller pictures or --tile 128."
    assert explain(MemoryError(), evaluate) == "There is not enough memory. Use smaller pictures."
    assert explain(OSError(5, "Input/output error")).startswith("[Errno 5] Input/output error. Run again")
    assert "No space is left on the output's device" in explain(OSError(28, "No space left on device"))
    assert "[Errno 28]" in explain(OSError(28, "No space left on device", "a.png"))
    assert (
        explain(KeyError("x")) == "An internal error occurred (KeyError: 'x'). Run again with --debug for the details."
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 日本 \U0001f600.png", "plain ä 日本 \U0001f600.png"),
        ("\u0644\u200c\u0645", "\u0644\u200c\u0645"),  # a joiner that Persian needs
        ("a\tb\r\n\x00\x1b[31m\x7f\x9b", r"a\tb\r\n\x00\x1b[31m\x7f\x9b"),
        ("\udcff\u202e\u2028", r"\udcff\u202e\u2028"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_nothing_unprintable_is_left(text: str) -> None:
    shown = printable(text)
    harmless = "\u200c\u200d"
    unassigned = {one for one in shown if unicodedata.category(one) == "Cn"}
    odd = {one for one in shown if not (one.isprintable() or one.isspace() or one in harmless or one >= "\ue000")}
    assert odd <= unassigned
    assert not set(shown) & set(map(chr, (*range(32), *range(127, 160))))


@pytest.mark.skipif(not POSIX, reason="such names are not allowed elsewhere")
@pytest.mark.usefixtures("nearest")
def test_names_are_shown_escaped_but_in_json(command) -> None:
    make(EVIL)
    done = command("upscale", EVIL)
    assert done.status == 0
    assert done.out.startswith(b"a\\x1b[2J\\x07\\n\\u202egpj\\x9b.png -> a\\x1b[2J")
    assert len(done.lines) == 1
    record = command("upscale", EVIL, "--json", "--overwrite").records[0]
    assert record["input"] == EVIL
    for arguments in (
        (f"no{EVIL}",),
        (EVIL, "-o", f"{EVIL}.zzz"),
        (EVIL, "-m", f"{EVIL}.onnx"),
        (EVIL, f"--no{EVIL}"),
        (EVIL, "-s", EVIL),
        (EVIL, "-o", f"b/{EVIL}", "--debug", "--format", EVIL[:5]),
    ):
        done = command("upscale", *arguments)
        assert done.status == 2
        text = done.err.replace("\n", "")
        assert "\\x1b" in text
        assert text.isprintable(), arguments


@pytest.mark.usefixtures("nearest")
def test_the_words_of_a_failure_are_flags_in_json_too(command) -> None:
    make("a.png")
    record = command("upscale", "a.png", "--max-pixels", "9", "--json").records[0]
    assert "--max-pixels" in record["error"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_standard_output_ends_no_work(tmp_path: Path) -> None:
    for name in "ab":
        make(str(tmp_path / f"{name}.png"))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rlfn", "upscale", str(tmp_path), "-o", str(tmp_path / "out"), "-s", "2"],
            stdout=full,
            stderr=-1,
            text=True,
        )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    assert done.returncode == 1
    assert "2 upscaled." in done.stderr
    assert done.stderr.splitlines()[-1].startswith("rlfn: The output cannot be printed: No space is left")


@pytest.mark.skipif(not POSIX, reason="needs a shell")
def test_closed_streams_fail_nothing_that_does_not_need_them(tmp_path: Path) -> None:
    make(str(tmp_path / "a.png"))
    for stream, arguments, status, said in (
        (">&-", "a.png -s 2", 0, ""),
        ("<&- 2>&-", "a.png -s 3", 0, ""),
        (">&-", "a.png -o -", 2, "rlfn: Standard output is closed. Name a file with -o"),
        ("<&-", "- -o b.png", 2, "rlfn: Standard input is closed."),
        ("2>/dev/full" if Path("/dev/full").exists() else "2>&-", "none.png", 2, ""),
    ):
        command = f'"{sys.executable}" -m rlfn upscale {arguments} {stream}'
        done = subprocess.run(["sh", "-c", command], cwd=tmp_path, stdout=-1, stderr=-1, text=True)
        assert done.returncode == status, done.stderr
        assert done.stderr.startswith(said)
        assert len(done.stderr.splitlines()) == (1 if said else 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a_x2.png", "a_x3.png"]


def test_flags_without_a_command() -> None:
    assert flags(None)("tile", None) == "--tile"
    assert json.dumps(flags(upscale)("scale", "2")) == '"--scale 2"'


def test_a_message_of_several_lines_keeps_them(command) -> None:
    pytest.importorskip("pydantic")
    done = command("train", "cpu-evening")
    assert done.status == 2
    first, second = done.err.splitlines()
    assert first == "rlfn: A run of the recipe cpu-evening cannot start:"
    assert second.startswith("  data: The recipe names no data.")
