from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource
from rlfn.cli.tuning import tune_for_training

tune_for_training()
import torch

def faults(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        torch.zeros(2**21).add_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(20)
print(faults(20))
"""

PAGES = 20 * 2**23 // 4096
"""The pages of all the tensors that the code above makes and frees."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
@pytest.mark.parametrize(
    ("own", "least", "most"), [({}, 0, PAGES // 100), ({"MALLOC_MMAP_THRESHOLD_": "131072"}, PAGES // 2, 2 * PAGES)]
)
def test_freed_memory_is_used_again_unless_the_environment_says_otherwise(
    own: dict[str, str], least: int, most: int
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environment |= own | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, check=True, capture_output=True, text=True)
    assert least <= int(done.stdout) <= most
