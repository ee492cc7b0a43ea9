"""Put trained weights into the package: safetensors, the runtime's ONNX in fp32 and int8, hashes and measured scores.

    python scripts/add_model.py WEIGHTS NAME --sets-dir SETS_DIR [--training TEXT] [--chain FILE] [--first]

An entry of the same name is renewed. It keeps its chain of stages unless --chain gives another one (the keys are those
of rlfn.models.catalog.Model.chain). The entry's place decides the default of its scale: the first one serves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from rlfn.errors import as_argument, worded
from rlfn.evaluation.benchmark import Contender, evaluate
from rlfn.export.int8 import write_runtime_int8
from rlfn.inference.upscaler import Upscaler
from rlfn.models.catalog import GRAPH, TENSORS, WEIGHTS
from rlfn.networks import load_checkpoint, save_checkpoint
from rlfn.networks.fuse import fuse_checkpoint
from rlfn.networks.graph import export_onnx

SETS = ("Set5", "Set14", "B100")

MOST_LOST = 0.1
"""The most dB that an int8 file may lose on a set and still be packaged."""


def measure(graph: Path, scale: int, sets_dir: Path) -> dict[str, dict[str, float]]:
    """Return what 'rlfn eval' prints for the graph on the standard sets."""
    upscaler = Upscaler(graph, tile=0)
    report = evaluate([Contender(graph.stem, scale, upscaler, upscaler.engine)], SETS, sets_dir)
    if report.failures:
        raise SystemExit("\n".join(worded(failure.message, as_argument) for failure in report.failures))
    found = {result.set: result for result in report.results if result.model == graph.stem}
    return {name: {"psnr": round(found[name].psnr, 3), "ssim": round(found[name].ssim, 4)} for name in SETS}


def add_int8(graph: Path, path: Path, scale: int, sets_dir: Path, full: dict[str, dict[str, float]]) -> list[dict]:
    """Write the int8 file; return its manifest row, or none where it loses too much."""
    write_runtime_int8(graph, path)
    scores = measure(path, scale, sets_dir)
    lost = {name: round(full[name]["psnr"] - scores[name]["psnr"], 3) for name in SETS}
    print(f"int8 loses {lost} dB", flush=True)
    if max(lost.values()) > MOST_LOST:
        path.unlink()
        print(f"That is more than {MOST_LOST} dB: packaged without int8.", flush=True)
        return []
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return [{"file": path.name, "format": GRAPH, "precision": "int8", "sha256": digest, "scores": scores}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("name")
    parser.add_argument("--sets-dir", type=Path, required=True, help="the folder that holds Set5, Set14 and B100")
    parser.add_argument("--training", help="how it was trained; default: the file's metadata, else the entry's text")
    parser.add_argument("--chain", type=Path, help="a JSON list of the stages that made it; default: the entry's own")
    parser.add_argument("--first", action="store_true", help="make it the default of its scale")
    given = parser.parse_args()
    checkpoint = fuse_checkpoint(load_checkpoint(given.weights))
    tensors, graph = WEIGHTS / f"{given.name}.safetensors", WEIGHTS / f"{given.name}.onnx"
    path = WEIGHTS / "manifest.json"
    models = json.loads(path.read_text(encoding="utf-8"))["models"] if path.exists() else {}
    old = models.get(given.name, {})
    training = given.training or checkpoint.metadata.get("trained") or old.get("training", "")
    save_checkpoint(tensors, checkpoint.network, checkpoint.variant, checkpoint.scale, {"trained": training})
    export_onnx(checkpoint, graph, grid=True)
    scores = measure(graph, checkpoint.scale, given.sets_dir)
    files = [
        {
            "file": path.name,
            "format": kind,
            "precision": "fp32",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path, kind in ((tensors, TENSORS), (graph, GRAPH))
    ]
    files += add_int8(graph, WEIGHTS / f"{given.name}-int8.onnx", checkpoint.scale, given.sets_dir, scores)
    entry = {
        "family": old.get("family") or given.name.removesuffix(f"-x{checkpoint.scale}"),
        "variant": checkpoint.variant.name,
        "scale": checkpoint.scale,
        "parameters": sum(parameter.numel() for parameter in checkpoint.network.parameters()),
        "licence": "Apache-2.0",
        "training": training,
        "chain": json.loads(given.chain.read_text(encoding="utf-8")) if given.chain else old.get("chain", []),
        "scores": scores,
        "files": files,
    }
    models = {given.name: entry, **models} if given.first else {**models, given.name: entry}
    models[given.name] = entry
    path.write_text(json.dumps({"models": models}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
