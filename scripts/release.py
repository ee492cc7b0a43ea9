"""Build a release into dist/ and try it: sdist and wheel, their metadata, contents and size, and the wheel at work.

    pip install '.[release]'
    python scripts/release.py

The version is ``__version__`` in src/rlfn/__init__.py. Nothing is uploaded: the last line says how to.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
LEFT_OUT = (".ci/", ".gitignore", "shared/")
"""What git tracks and the sdist does without; the sdist also holds PKG-INFO."""
MOST_MB = 30
"""A larger archive has something in it by mistake: the wheel is 24 MB, 23 of them weights, the sdist 26 MB."""


def main() -> None:
    if changed := _run("git", "status", "--porcelain", capture=True):
        raise SystemExit(f"Commit or remove these first, a release is made of what git has:\n{changed}")
    tracked = _run("git", "ls-files", capture=True).splitlines()
    for old in DIST.glob("rlfn-*"):
        old.unlink()
    _run(sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT))  # the wheel is built from the sdist
    (sdist,), (wheel,) = DIST.glob("rlfn-*.tar.gz"), DIST.glob("rlfn-*.whl")
    _run(sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel))
    if problems := archive_problems(sdist, wheel, tracked):
        raise SystemExit("\n".join(problems))
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python")
        _run(python, "-m", "pip", "install", "--quiet", str(wheel))
        _run(python, str(ROOT / "scripts" / "check_base.py"))
    print(f"Ready. Upload with: python -m twine upload dist/{sdist.name} dist/{wheel.name}")


def archive_problems(sdist: Path, wheel: Path, tracked: Iterable[str]) -> list[str]:
    """Return what is wrong with the two archives: files that are missing, too many or too large."""
    tracked = list(tracked)
    with tarfile.open(sdist) as archive:
        problems = sdist_problems([member.name for member in archive if member.isfile()], tracked)
    with zipfile.ZipFile(wheel) as archive:
        problems += wheel_problems(archive.namelist(), tracked, copied_into_wheel())
    for path in (sdist, wheel):
        size = path.stat().st_size / 1e6
        print(f"{path.name}: {size:.1f} MB")
        if size > MOST_MB:
            problems.append(f"{path.name} has {size:.1f} MB, over {MOST_MB}")
    return problems


def copied_into_wheel() -> set[str]:
    """Return the names that pyproject.toml's ``force-include`` gives to files from outside the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return set(project["tool"]["hatch"]["build"]["targets"]["wheel"].get("force-include", {}).values())


def sdist_problems(names: Iterable[str], tracked: Iterable[str]) -> list[str]:
    """Return how an sdist's files differ from what git tracks."""
    have = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in names} - {"PKG-INFO", ".gitignore"}
    return _differences("the sdist", have, {name for name in tracked if not name.startswith(LEFT_OUT)})


def wheel_problems(names: Iterable[str], tracked: Iterable[str], copied: Iterable[str] = ()) -> list[str]:
    """Return how a wheel's files differ from the package that git tracks and the files that are ``copied`` into it."""
    have = {name for name in names if ".dist-info/" not in name}
    package = {name[len("src/") :] for name in tracked if name.startswith("src/")}
    return _differences("the wheel", have, package | set(copied))


def _differences(what: str, have: set[str], wanted: set[str]) -> list[str]:
    lacks = [f"{what} lacks {name}" for name in sorted(wanted - have)]
    return lacks + [f"{what} has {name}, which git does not track" for name in sorted(have - wanted)]


def _run(*command: str, capture: bool = False) -> str:
    done = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE if capture else None)
    return (done.stdout or "").strip()


if __name__ == "__main__":
    main()
