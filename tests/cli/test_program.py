"""The process ``rlfn``: how it ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from waiting import PATIENCE


def end(code: str) -> tuple[int, str, str]:
    """Run ``program()`` with ``main`` replaced by ``code``; return the status and what was printed."""
    wrapped = f"import sys, atexit, threading, time\nimport rlfn.cli as c\n{code}\nc.main = main\nc.program()"
    done = subprocess.run([sys.executable, "-c", wrapped], capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("raised", "status"), [("sys.exit(0)", 0), ("sys.exit()", 0), ("sys.exit(2)", 2), ("sys.exit('a word')", 1)]
)
def test_the_status_is_that_of_the_command(raised: str, status: int) -> None:
    assert end(f"def main(): {raised}")[0] == status


def test_an_exception_ends_it_with_a_failure() -> None:
    status, _, said = end("def main(): raise RuntimeError('torn')")
    assert status == 1
    assert "torn" in said


def test_what_was_printed_is_written() -> None:
    assert end("def main(): print('x' * 100_000, end=''); sys.exit(0)") == (0, "x" * 100_000, "")


def test_what_others_registered_runs_first() -> None:
    code = "def main():\n    atexit.register(print, 'tidied up')\n    sys.exit(0)"
    assert end(code) == (0, "tidied up\n", "")


def test_threads_are_waited_for() -> None:
    code = """
def late():
    time.sleep(0.3)
    print('late')
def main():
    threading.Thread(target=late).start()
    sys.exit(0)
"""
    assert end(code) == (0, "late\n", "")
