"""Signals and streams of the whole command, as a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from rlfn.images.files import Picture, write_picture
from synthetic import synthetic
from waiting import PATIENCE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

_NATIVE = """
import hashlib, sys
from pathlib import Path
from rlfn.atomic import to_path
from rlfn.cli.signals import ending_on_signals

def encode(stream):
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)  # hours, in one call that lets other threads run

with ending_on_signals():
    to_path(Path("out.bin"), encode)
"""

_EARLY = """
import os, signal, sys
from importlib import import_module

class Strike:
    def find_spec(self, name, path=None, target=None):
        if name == "rlfn.cli":
            os.kill(os.getpid(), signal.SIGINT)
            print("not ended", flush=True)

sys.meta_path.insert(0, Strike())
"""

_PACKAGE = """
import os, signal
try:
    number = {number}
    if number is not None:
        os.kill(os.getpid(), number)
        print("not ended", flush=True)
except BaseException:
    pass
raise ImportError("initialization failed")  # what an extension module makes of it
"""

_NOISE = """
import os, sys
from rlfn.cli.streams import keep_natives_quiet
keep_natives_quiet()
os.write(1, b"native out")
os.write(2, b"native err")
print("said")
print("warned", file=sys.stderr)
"""


def start(code: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize(("number", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_native_code_does_not_keep_a_command_alive(tmp_path: Path, number: str, status: int) -> None:
    process = start(_NATIVE, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    time.sleep(1.0)  # until the native call, which nobody can see from outside, is entered
    process.send_signal(getattr(signal, number))
    _, told = process.communicate(timeout=PATIENCE)
    assert (process.returncode, told) == (status, "rlfn: stopped.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["script", "module"])
def test_ctrl_c_before_the_command_line_is_loaded(tmp_path: Path, way: str) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["rlfn"].partition(":")
    starts = {
        "script": f"import_module('{module}').{function}()",
        "module": "import_module('runpy').run_module('rlfn', run_name='__main__')",
    }
    process = start(_EARLY + starts[way], tmp_path, "models")
    assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("engine", ["openvino", "ncnn"])
@pytest.mark.parametrize(
    ("number", "status", "told"),
    [
        (signal.SIGINT, 130, "rlfn: stopped.\n"),
        (signal.SIGTERM, 143, ""),
        (None, 2, "rlfn: An internal error occurred (ImportError: initialization failed)"),
    ],
)
def test_a_signal_while_an_engine_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, number: int | None, status: int, told: str
) -> None:
    write_picture(Picture(synthetic(16, 20)), tmp_path / "a.png")
    (tmp_path / "packages" / engine).mkdir(parents=True)
    written = None if number is None else int(number)
    (tmp_path / "packages" / engine / "__init__.py").write_text(_PACKAGE.format(number=written))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"), prepend=os.pathsep)
    process = start("from rlfn.cli import main; main()", tmp_path, "upscale", "a.png", "--engine", engine)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (status, "")
    assert err.startswith(told) if told else err == ""
    assert not (tmp_path / "a_x4.png").exists()


def test_storm_of_signals_leaves_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(200):  # more than can be made before the first signal arrives
        write_picture(Picture(synthetic(40, 40, number)), tmp_path / "in" / f"{number:03}.png")
    code = "import sys; from rlfn.cli import main; sys.argv[0] = 'rlfn'; print('begun', flush=True); main()"
    process = start(code, tmp_path, "upscale", "in", "-o", "out", "-m", "rlfn-xs-x2", "--engine", "onnxruntime")
    assert process.stdout is not None
    process.stdout.readline()
    while process.poll() is None and not any(tmp_path.glob("out/*.png")):
        time.sleep(0.01)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) * 20:
        if process.poll() is None:
            process.send_signal(number)
            time.sleep(0.001)
    _, told = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in told
    assert "Exception" not in told
    assert process.returncode in (130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)
    assert not list(tmp_path.glob("out/.*"))


def test_what_native_code_prints_goes_nowhere(tmp_path: Path) -> None:
    process = start(_NOISE, tmp_path)
    assert process.communicate(timeout=PATIENCE) == ("said\n", "warned\n")


def test_closed_streams_are_not_given_to_the_next_file(tmp_path: Path) -> None:
    code = "import os\n" + _NOISE + "\nprint(open('a.txt', 'w').fileno() > 2, file=sys.stderr)"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stderr == "warned\nTrue\n"


@pytest.mark.parametrize("redirect", [">&-", "> /dev/full"])
def test_unwritable_standard_output(tmp_path: Path, redirect: str) -> None:
    if redirect.endswith("full") and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    write_picture(Picture(synthetic(16, 20)), tmp_path / "a.png")
    command = f'"$0" -m rlfn upscale a.png -o b.png -m rlfn-xs-x2 --engine onnxruntime {redirect}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (tmp_path / "b.png").is_file()
    assert "Traceback" not in done.stderr
    if redirect == ">&-":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 1
        assert done.stderr.startswith("rlfn: The output cannot be printed")
