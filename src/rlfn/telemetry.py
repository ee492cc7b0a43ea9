"""Imports of packages with telemetry, which is turned off: nothing is sent or stored without the user's request."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_SWITCHES = {
    "onnxruntime": {"ORT_DISABLE_TELEMETRY": "1"},
    "huggingface_hub": {"HF_HUB_DISABLE_TELEMETRY": "1"},
    "ray": {"RAY_USAGE_STATS_ENABLED": "0"},
}
"""The environment variables of each package. They stay set: some are read again later, or in another process."""

_COLLECTORS = {"openvino": "openvino_telemetry", "nncf": "openvino_telemetry"}
"""The module with which each package sends telemetry. Without it they use a stub of their own."""


def import_silent(name: str) -> Any:
    """Import and return the package ``name`` with its telemetry off.

    onnxruntime 1.29 and later queue events for Microsoft under the home folder unless ORT_DISABLE_TELEMETRY is set
    before the import; OpenVINO writes a client id and asks for a consent file when its tools are imported.

    Raises:
        ImportError: the package is not installed.
    """
    if sys.modules.get(name) is not None:
        return sys.modules[name]
    os.environ.update(_SWITCHES.get(name, {}))
    collector = _COLLECTORS.get(name)
    if collector is None:
        return import_module(name)
    before: dict[str, ModuleType] = {key: sys.modules[key] for key in (collector,) if key in sys.modules}
    sys.modules[collector] = None  # type: ignore[assignment]
    try:
        return import_module(name)
    finally:
        del sys.modules[collector]
        sys.modules.update(before)
