"""``rlfn bulk`` compared with ``rlfn upscale`` on the same files and cores: throughput, memory and bytes.

    python benchmarks/bulk.py --pictures 20000

Pictures of 32 to 1,024 px per side are made once, with sides distributed log-uniformly. Both commands alternate, so
that other load on the machine affects both. Time is measured for the whole command, including the startup of Ray, and
from the first row on. Memory is the sum of the resident sizes of all processes of the command, sampled ten times a
second.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np

from rlfn.images.files import Picture, write_picture
from rlfn.images.resize import resize


def make(folder: Path, count: int, largest: int) -> int:
    """Write pictures with detail of all sizes, and return their pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    random, pixels = np.random.default_rng(0), 0
    for number in range(count):
        height, width = np.exp2(random.uniform(5, np.log2(largest), 2)).astype(int)
        coarse = random.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
        image = resize(coarse, size=(int(height), int(width)))
        write_picture(Picture(image), folder / f"{number:06d}.{'jpg' if number % 2 else 'png'}")
        pixels += int(height) * int(width)
    return pixels


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for one in found:
        try:
            threads = Path(f"/proc/{one}/task").iterdir()
            found += [int(child) for task in threads for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def resident(pid: int) -> int:
    """Return the proportional set size of a process: shared memory (Ray's store, libraries) counts in proportion."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def run(command: list[str]) -> dict[str, object]:
    """Run a command that prints one JSON record per picture; return its times and its memory."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    memory: list[int] = []

    def watch() -> None:
        while process.poll() is None:
            memory.append(sum(map(resident, family(process.pid))))
            time.sleep(1.0)

    thread = threading.Thread(target=watch)
    thread.start()
    assert process.stdout is not None
    first, records = None, 0
    for _ in process.stdout:
        first = first or time.perf_counter()
        records += 1
    assert process.stderr is not None
    said = process.stderr.read()
    thread.join()
    if process.wait():
        raise SystemExit(said)
    end = time.perf_counter()
    thirds = [memory[len(memory) * part // 3 : len(memory) * (part + 1) // 3] for part in (1, 2)]
    return {
        "seconds": round(end - began, 1),
        "without_start": round(end - (first or began), 1),
        "records": records,
        "peak_mb": max(memory, default=0) // 10**6,
        "mb_of_later_thirds": [int(median(part)) // 10**6 if part else None for part in thirds],
    }


def differing(one: Path, other: Path) -> int:
    """Return the number of files of two folders that differ or exist in only one."""
    names = {path.relative_to(folder) for folder in (one, other) for path in folder.rglob("*.png")}
    same = sum(
        (one / name).is_file() and (other / name).is_file() and (one / name).read_bytes() == (other / name).read_bytes()
        for name in names
    )
    return len(names) - same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--largest", type=int, default=1024, help="longest side")
    parser.add_argument("--model", default="rlfn-xs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("bulk-bench"))
    given = parser.parse_args()
    source = given.folder / "in"
    shutil.rmtree(given.folder, ignore_errors=True)
    pixels = make(source, given.pictures, given.largest)
    for _ in range(given.rounds):
        row: dict[str, object] = {"pictures": given.pictures, "mpx": round(pixels / 1e6, 1), "model": given.model}
        row["largest"] = given.largest
        for name in ("upscale", "bulk"):
            target = given.folder / name
            shutil.rmtree(target, ignore_errors=True)
            more = ["-r", "-o"] if name == "upscale" else []
            command = [sys.executable, "-m", "rlfn", name, str(source), *more, str(target), "-m", given.model, "--json"]
            row[name] = run(command)
        row["differing"] = differing(given.folder / "upscale", given.folder / "bulk")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
