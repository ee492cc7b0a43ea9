"""What is imported when: the command and the package start fast, and torch stays where it belongs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rlfn

HEAVY = ("torch", "onnxruntime", "openvino", "pyvips", "numpy", "pydantic", "PIL", "matplotlib")
TORCH_SIDE = ("networks", "training", "export", "studies", "integrations")

LADDER = (
    {"wording", "numeric"},
    {"errors", "telemetry"},
    {"atomic", "forked"},
    {"models", "images"},
    {"networks"},
    {"inference"},
    {"data", "jobs", "evaluation"},
    {"export"},
    {"training"},
    {"studies"},
    {"integrations"},
    {"api"},
    {"serve"},
    {"cli"},
)
"""The rooms from the lowest rung to the highest: a room imports those below it, and itself."""
ROOT = Path(rlfn.__file__).parent


def loaded(code: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after ``code``."""
    code += "\nimport sys\nprint('', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def modules() -> list[str]:
    """Return every module that must do without torch."""
    names = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        if path.name != "__main__.py" and (len(parts) < 2 or parts[1] not in TORCH_SIDE):
            names.append(".".join(parts).removesuffix(".__init__"))
    return names


RUN = "import sys, contextlib\nsys.argv = {}\nfrom rlfn.cli import main\nwith contextlib.suppress(SystemExit): main()"


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import rlfn, rlfn.cli", set()),
        (RUN.format(["rlfn", "--help"]), set()),
        *((RUN.format(["rlfn", name, "--help"]), set()) for name in ("upscale", "eval", "train", "study", "export")),
        (RUN.format(["rlfn", "upscal"]), set()),
    ],
)
def test_help_and_import_load_nothing_heavy(code: str, allowed: set[str]) -> None:
    found = loaded(code)
    assert "rlfn" in found
    assert not (found & set(HEAVY)) - allowed


def test_every_module_outside_the_torch_side_imports_without_torch() -> None:
    names = modules()
    assert {"rlfn.api.pictures", "rlfn.cli.upscale", "rlfn.inference.engines", "rlfn.evaluation.metrics"} <= set(names)
    found = loaded("import importlib\nfor name in " + repr(names) + ": importlib.import_module(name)")
    assert "numpy" in found
    assert not found & {"torch", "torchvision", "lightning"}


def test_upscaling_on_onnx_runtime_needs_no_torch() -> None:
    code = (
        "import sys, numpy as np\nsys.modules['torch'] = None\nimport rlfn\n"
        "assert rlfn.upscale(np.zeros((4, 5, 3), np.uint8), engine='onnxruntime').shape == (16, 20, 3)"
    )
    assert "onnxruntime" in loaded(code)


def imports(path: Path) -> list[tuple[int, str]]:
    """Return (line, room) of every import of the package in a file, those inside functions and for types included."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
            if node.module == "rlfn":
                names = [f"rlfn.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["rlfn.relative"]
        found += [(node.lineno, name.split(".")[1]) for name in names if name.startswith("rlfn.")]
    return found


def test_imports_only_go_down_the_ladder() -> None:
    rungs = {room: number for number, rooms in enumerate(LADDER) for room in rooms}
    upward = []
    for path in sorted(ROOT.rglob("*.py")):
        room = path.relative_to(ROOT).with_suffix("").parts[0]
        if room in ("__init__", "__main__"):
            continue
        for line, wanted in imports(path):
            if wanted not in (room, "__version__") and rungs[wanted] >= rungs[room]:
                upward.append(f"{path.relative_to(ROOT)}:{line}: {room} imports {wanted}")
    assert not upward
