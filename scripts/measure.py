"""Measure what the documents say and what depends on the weights, and keep it as data in docs/reports/measurements/.

    python scripts/measure.py [NAME...] --sets-dir BENCH_DIR
    python scripts/measure.py --stale

Without names, what is older than the packaged weights is measured anew. --stale lists that and ends with status 1 if
there is any. Beside its rows every file has the command, the commit, the processor, the versions and the SHA-256 of the
weights that were measured. python scripts/model_tables.py writes the tables.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlfn.models import catalog

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reports" / "measurements"

Rows = list[list[str]]
"""A table, its head first."""

PACKAGES = ("torch", "onnxruntime", "openvino")


def pruning(sets_dir: Path) -> Rows:
    """What removing channels costs before any fine-tuning."""
    from rlfn.evaluation.benchmark import evaluate
    from rlfn.evaluation.candidates import load_candidates
    from rlfn.networks import load_checkpoint, save_checkpoint
    from rlfn.networks.prune import prune

    whole = load_checkpoint(catalog.get_model("rlfn-s-x4").file(catalog.TENSORS).path)
    rows = [["`rlfn-s-x4`", "Set5, dB"]]
    with tempfile.TemporaryDirectory() as folder:
        for channels in (48, 46, 44):
            made = prune(whole, channels=channels) if channels < 48 else whole
            path = Path(folder) / f"{channels}.safetensors"
            save_checkpoint(path, made.network, made.variant, made.scale)
            (candidate,) = load_candidates([str(path)], "torch")
            report = evaluate([candidate], ["Set5"], sets_dir)
            found = next(result for result in report.results if result.model == candidate.name)
            rows.append([f"{channels} channels", f"{found.psnr:.2f}"])
    return rows


MEASUREMENTS: dict[str, tuple[Callable[[Path], Rows], tuple[str, ...]]] = {
    "pruning": (pruning, ("rlfn-s-x4",)),
}
"""What is measured, and of which models."""


def weights(name: str) -> dict[str, str]:
    """Return the SHA-256 of the weights that a measurement is of, by model, as the manifest has them."""
    return {model: catalog.get_model(model).file(catalog.TENSORS).sha256 for model in MEASUREMENTS[name][1]}


def kept(name: str) -> dict[str, Any]:
    """Return a measurement as it was kept; empty where there is none."""
    path = FOLDER / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def stale() -> list[str]:
    """Return the measurements that are not of the weights that are packaged now."""
    return [name for name in MEASUREMENTS if kept(name).get("weights") != weights(name)]


def facts() -> dict[str, Any]:
    """Return the commit, the processor and the versions of what is installed."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"commit": commit.stdout.strip() or "unknown", "processor": processor(), "versions": found}


def processor() -> str:
    """Return the processor's name, and those of its extensions that decide how fast and in what it computes."""
    from rlfn.inference.hardware import features

    names = sorted(features() & {"avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8"})
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name} ({', '.join(names) or 'no extensions known here'})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--sets-dir", type=Path, help="the folder that holds the standard sets")
    parser.add_argument("--stale", action="store_true", help="list what is older than the weights")
    given = parser.parse_args()
    if given.stale:
        print("\n".join(stale()) or "all measurements are of the packaged weights")
        raise SystemExit(1 if stale() else 0)
    wrong = set(given.names) - MEASUREMENTS.keys()
    if wrong or given.sets_dir is None:
        raise SystemExit(f"Give --sets-dir, and names of {', '.join(MEASUREMENTS)}.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in given.names or stale():
        measure, _ = MEASUREMENTS[name]
        data = {
            "about": (measure.__doc__ or "").strip(),
            "command": f"python scripts/measure.py {name} --sets-dir BENCH_DIR",
            **facts(),
            "weights": weights(name),
            "rows": measure(given.sets_dir),
        }
        (FOLDER / f"{name}.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        print(f"{name}: {FOLDER / name}.json", flush=True)


if __name__ == "__main__":
    main()
