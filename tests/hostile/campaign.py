"""Runs mutated files through victims, and counts: tried, taken, refused, violated."""

from __future__ import annotations

import random
import select
import subprocess
import sys
from collections import Counter
from pathlib import Path

from hostile.mutations import mutated

_PATIENCE = 120.0
"""Seconds for one file. Reading one takes milliseconds; a machine may be busy."""

_VICTIM = Path(__file__).with_name("victim.py")


class Victim:
    """A process of :mod:`victim`, begun again when it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, kind: str, path: Path) -> str:
        """Return what the victim says of a file: it begins with ok, refused or violated."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(_VICTIM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                bufsize=1,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{kind} {path}\n")
            if not select.select([process.stdout], [], [], _PATIENCE)[0]:
                self.end()
                return f"violated: no answer in {_PATIENCE:.0f} s"
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            status = process.wait()
            self._process = None
            return f"violated: the process ended with {status}"
        return answer.rstrip("\n")

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def run(kind: str, samples: dict[str, bytes], count: int, folder: Path, seed: int = 0) -> Counter[str]:
    """Try ``count`` mutations of ``samples``; return how many were taken, refused and violated, which are printed.

    A file that violates stays in ``folder``.
    """
    victim, names, figures = Victim(), sorted(samples), Counter[str]()
    try:
        for number in range(count):
            rng = random.Random(f"{kind} {seed} {number}")
            name, other = rng.choice(names), rng.choice(names)
            path = folder / f"{number}-{name}"
            path.write_bytes(mutated(samples[name], samples[other], rng))
            answer = victim(kind, path)
            word = "violated" if "(no sentence)" in answer else answer.split(None, 1)[0].rstrip(":")
            figures[word] += 1
            if word == "violated":
                print(f"{path}: {answer}")
            else:
                path.unlink()
    finally:
        victim.end()
    print(f"{kind}: {count} tried, {figures['ok']} taken, {figures['refused']} refused, {figures['violated']} violated")
    return figures
