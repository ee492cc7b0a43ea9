"""Shells complete commands, options and names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlfn.cli import completion
from rlfn.cli.completion import SHELLS
from rlfn.data.downloads import DOWNLOADS
from rlfn.inference.engines import ENGINES
from rlfn.models import catalog

NAMES = (*catalog.models(), *catalog.families())


def complete(shell: str, *words: str, incomplete: str = "") -> list[str]:
    """Ask the command for completions as a shell's script does; return the values offered."""
    line = " ".join(("rlfn", *words, incomplete))
    environment = {
        **os.environ,
        completion.VARIABLE: f"{shell}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": incomplete if shell == "fish" else str(len(words) + 1),
    }
    done = subprocess.run([sys.executable, "-m", "rlfn"], env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    if shell == "bash":
        return [row.partition(",")[2] for row in lines]
    return lines[1::3] if shell == "zsh" else [row.split(",")[-1].split("\t")[0] for row in lines]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed_and_asks_this_command(command, shell: str) -> None:
    done = command("completion", shell)
    assert done.status == 0
    text = done.out.decode()
    assert f"{completion.VARIABLE}={shell}_complete" in text
    assert "rlfn" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_are_completed(shell: str) -> None:
    assert set(complete(shell, incomplete="e")) >= {"eval", "export"}


@pytest.mark.parametrize(
    ("words", "incomplete", "offered"),
    [
        (("upscale", "a.png", "--engine"), "", {"auto", *ENGINES}),
        (("upscale", "a.png", "-m"), "rlfn-xs", {name for name in NAMES if name.startswith("rlfn-xs")}),
        (("eval",), "rlfn-s-x", {name for name in catalog.models() if name.startswith("rlfn-s-x")}),
        (("data", "get"), "", set(DOWNLOADS)),
        (("completion",), "", set(SHELLS)),
        (("upscale",), "--self", {"--self-ensemble"}),
    ],
)
def test_names_come_from_the_tables(words: tuple[str, ...], incomplete: str, offered: set[str]) -> None:
    found = set(complete("bash", *words, incomplete=incomplete)) - {incomplete}
    assert found == offered - {incomplete}


def test_bash_completes_with_the_script(tmp_path: Path) -> None:
    """The whole way: the script is sourced, its function is called, and the words are there."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    (tmp_path / "rlfn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rlfn "$@"\n')
    (tmp_path / "rlfn").chmod(0o755)
    code = (
        'eval "$(rlfn completion bash)"\n'
        "COMP_WORDS=(rlfn up); COMP_CWORD=1; _rlfn_completion rlfn\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([bash, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["upscale"]


def test_a_mistyped_shell_is_answered_with_the_names(command) -> None:
    done = command("completion", "bahs")
    assert done.status == 2
    assert "Allowed: bash, zsh, fish. Did you mean 'bash'?" in done.err
