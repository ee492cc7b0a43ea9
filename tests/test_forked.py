"""Processes that fork: the child works, or says in a sentence why not; it never waits for threads that it lacks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

_SCRIPT = """
import os, signal, sys
import numpy as np
from rlfn.errors import ForkedError
from rlfn.images.files import Picture, read_picture, write_picture
from rlfn.inference.upscaler import Upscaler

image = np.full((16, 20, 3), 90, np.uint8)

def read():
    return read_picture("a.png").pixels

def write():
    write_picture(Picture(image), "b.png")

def new(engine="onnxruntime"):
    return Upscaler("rlfn-xs-x2", engine=engine, threads=2)

{before}
sys.stdout.flush()
child = os.fork()
if child == 0:
    signal.alarm(60)
    try:
        {inside}
    except ForkedError as error:
        print(error)
    sys.exit(7)
_, status = os.waitpid(child, 0)
print("status", status)
"""


def run(tmp_path, before: str, inside: str) -> str:
    """Return what a parent and its forked child print; the child ends by itself."""
    from rlfn.images.files import Picture, write_picture
    from synthetic import synthetic

    write_picture(Picture(synthetic(16, 20)), tmp_path / "a.png")
    code = _SCRIPT.format(before=before, inside=inside)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert f"status {7 << 8}" in done.stdout, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def test_child_of_a_process_that_read_a_picture(tmp_path):
    for before in ("read()", "write()"):
        for inside in ("read()", "write()"):
            told = run(tmp_path, before, inside)
            assert "cannot read or write pictures in this process" in told
            assert "get_context('spawn') or 'forkserver'" in told


def test_child_that_reads_first(tmp_path):
    assert "cannot" not in run(tmp_path, "", "read(); write(); read()")


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_child_after_an_inference_ends_and_computes(tmp_path, engine):
    pytest.importorskip(engine)
    run(tmp_path, f"u = new('{engine}'); u(image)", "pass")
    told = run(
        tmp_path,
        f"u = new('{engine}'); told = u(image)",
        f"print(np.array_equal(u(image), told), np.array_equal(new('{engine}')(image), told))",
    )
    assert "True True" in told


def test_child_of_a_thread_that_was_computing(tmp_path):
    before = "u = new(); u(image); u._lock.acquire()"  # as another thread of the parent would hold it
    assert "(32, 40, 3)" in run(tmp_path, before, "print(u(image).shape)")


def test_child_of_a_process_that_used_torch(tmp_path):
    pytest.importorskip("torch")
    assert "cannot run the engine torch" in run(tmp_path, "u = new('torch'); u(image)", "u(image)")


def test_pool_of_forked_workers(tmp_path):
    code = """
import multiprocessing, numpy as np, rlfn
def work(value):
    return rlfn.upscale(np.full((16, 16, 3), value, np.uint8), 2, model="rlfn-xs", engine="onnxruntime", threads=2)
if __name__ == "__main__":
    here = work(7)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(all(np.array_equal(one, here) for one in pool.map(work, [7, 7, 7])))
"""
    (tmp_path / "pool.py").write_text(code)
    done = subprocess.run([sys.executable, "pool.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)
