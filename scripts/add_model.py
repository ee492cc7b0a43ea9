"""Put trained weights into the package: safetensors, the runtime's ONNX in fp32 and int8, hashes and measured scores.

    python scripts/add_model.py WEIGHTS --family rlfn-s --sets-dir BENCH_DIR [--continues rlfn-s-x4] [--first]

The int8 file is quantised from the same weights, or from those of --int8-weights, which a further stage of
quantization-aware training made. The model's name is the family's and the scale, such as rlfn-s-x4; an entry of the
same name is renewed. It keeps its chain of stages (the keys are those of rlfn.models.catalog.Model.chain) unless
--chain gives another one, or --continues a packaged model whose chain goes on with the stage that the file of the
weights itself tells. The entry's place decides the default of its scale: the first one serves.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rlfn.evaluation.benchmark import evaluate
from rlfn.evaluation.candidates import load_candidates
from rlfn.export.formats import export
from rlfn.export.request import ExportRequest
from rlfn.models.catalog import GRAPH, TENSORS, WEIGHTS, photo_families
from rlfn.models.manifest import entries, file_row, put, stage_of
from rlfn.networks import Checkpoint, load_checkpoint, save_checkpoint
from rlfn.networks.fuse import fuse_checkpoint
from rlfn.networks.integers import ROUNDED_IN_TRAINING
from rlfn.wording import as_argument, worded

SETS = ("Set5", "Set14", "B100")

MOST_LOST = 0.12
"""The most dB that an int8 file may lose on a set and still be packaged."""


def measure(graph: Path, sets_dir: Path) -> dict[str, dict[str, float]]:
    """Return what 'rlfn eval' prints for the graph on the standard sets."""
    report = evaluate(load_candidates([str(graph)]), SETS, sets_dir)
    if report.failures:
        raise SystemExit("\n".join(worded(failure.message, as_argument) for failure in report.failures))
    found = {result.set: result for result in report.results if result.model == graph.stem}
    return {name: {"psnr": round(found[name].psnr, 3), "ssim": round(found[name].ssim, 4)} for name in SETS}


def int8_rows(
    checkpoint: Checkpoint, path: Path, sets_dir: Path, full: dict[str, dict[str, float]]
) -> list[dict[str, Any]]:
    """Write the int8 file and return its manifest row, none where it loses too much."""
    export(checkpoint, "rlfn", path, ExportRequest("int8"))
    scores = measure(path, sets_dir)
    lost = {name: round(full[name]["psnr"] - scores[name]["psnr"], 3) for name in SETS}
    print(f"int8 loses {lost} dB", flush=True)
    if max(lost.values()) > MOST_LOST:
        path.unlink()
        print(f"That is more than {MOST_LOST} dB: packaged without int8.", flush=True)
        return []
    return [file_row(path, GRAPH, "int8", scores)]


def chain_of(checkpoint: Checkpoint, name: str, continues: str | None, chain: Path | None) -> list[dict[str, Any]]:
    """Return the stages that made the weights, the first one first."""
    if chain is not None:
        return read_chain(chain)
    if continues is None:
        return list(entries().get(name, {}).get("chain", []))
    earlier = entries()[continues].get("chain", [])
    return [*earlier, own_stage(checkpoint, len(earlier) + 1, "--chain")]


def own_stage(checkpoint: Checkpoint, number: int, option: str) -> dict[str, Any]:
    """Return the stage that the file of the weights tells; ``option`` gives the stages if it tells none."""
    own = stage_of(checkpoint.metadata, number)
    if own is None:
        raise SystemExit(f"The file does not tell how it was trained. Give its stages with {option}.")
    return own


def read_chain(path: Path) -> list[dict[str, Any]]:
    """Return the stages of a JSON file."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def clean_end(family: str, checkpoint: Checkpoint) -> dict[str, str]:
    """Return the manifest's line on the clean model with which one for photographs is blended, if it has one."""
    clean = next((one for one, photo in photo_families().items() if photo == family), None)
    name = f"{clean}-x{checkpoint.scale}"
    return {"clean": name} if entries().get(name, {}).get("variant") == checkpoint.variant.name else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--family", required=True, help="the weights' purpose, such as rlfn-s or rlfn-s-photo")
    parser.add_argument("--sets-dir", type=Path, required=True, help="the folder that holds Set5, Set14 and B100")
    parser.add_argument("--training", help="how it was trained; default: the file's metadata, else the entry's text")
    parser.add_argument("--continues", choices=entries(), help="the packaged model whose chain of stages goes on")
    parser.add_argument("--chain", type=Path, help="a JSON list of the stages that made it; default: the entry's own")
    parser.add_argument("--int8-weights", type=Path, help="weights for the int8 file alone, trained for int8")
    parser.add_argument("--int8-chain", type=Path, help="a JSON list of their stages; default: the entry's own")
    parser.add_argument("--first", action="store_true", help="make it the default of its scale")
    given = parser.parse_args()
    if given.int8_chain and not given.int8_weights:
        raise SystemExit("--int8-chain tells how the weights of --int8-weights were made. Give both, or neither.")
    checkpoint = fuse_checkpoint(load_checkpoint(given.weights))
    name = f"{given.family}-x{checkpoint.scale}"
    tensors, graph = WEIGHTS / f"{name}.safetensors", WEIGHTS / f"{name}.onnx"
    old = entries().get(name, {})
    training = given.training or checkpoint.metadata.get("trained") or old.get("training", "")
    chain = chain_of(checkpoint, name, given.continues, given.chain)
    known = {key: value for key, value in checkpoint.metadata.items() if key == ROUNDED_IN_TRAINING}
    save_checkpoint(tensors, checkpoint.network, checkpoint.variant, checkpoint.scale, {"trained": training, **known})
    export(checkpoint, "rlfn", graph)
    scores = measure(graph, given.sets_dir)
    files = [file_row(tensors, TENSORS, "fp32"), file_row(graph, GRAPH, "fp32")]
    rounded = checkpoint
    further: list[dict[str, Any]] = []
    if given.int8_weights:
        rounded = fuse_checkpoint(load_checkpoint(given.int8_weights))
        told = read_chain(given.int8_chain) if given.int8_chain else old.get("int8_chain")
        further = told or [own_stage(rounded, len(chain) + 1, "--int8-chain")]
    entry = {
        "family": given.family,
        "variant": checkpoint.variant.name,
        "scale": checkpoint.scale,
        "parameters": sum(parameter.numel() for parameter in checkpoint.network.parameters()),
        "licence": "Apache-2.0",
        "training": training,
        **clean_end(given.family, checkpoint),
        "chain": chain,
        **({"int8_chain": further} if further else {}),
        "scores": scores,
        "files": [*files, *int8_rows(rounded, WEIGHTS / f"{name}-int8.onnx", given.sets_dir, scores)],
    }
    put(name, entry, first=given.first)
    print(f"{name}: {len(chain)} stages, {scores}.")
    print(
        "Renew the tables with python scripts/model_tables.py, and the browser's tests with python web/tests/golden.py."
    )


if __name__ == "__main__":
    main()
