"""Extensions: user-written modules, loaded from a file or found through entry points of installed packages.

An extension is a Python module with any of these tables, whose rows have the format of the package's own tables:

``NETWORKS``      name -> (a frozen dataclass of the sizes, :class:`rlfn.networks.build.Architecture`)
``LOSSES``        name -> a function of (sr, hr), see :mod:`rlfn.training.losses`
``DEGRADATIONS``  name -> a dataclass, see :class:`rlfn.data.degradations.Degradation`

An installed package declares its module as an entry point of the group ``rlfn.extensions``. Loading an extension runs
it: only files named by the user, and packages installed by the user, are ever loaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping, MutableMapping
from dataclasses import is_dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from rlfn.errors import OptionError
from rlfn.models.variants import SIZES
from rlfn.networks.build import ARCHITECTURES, Architecture
from rlfn.wording import with_kind

GROUP = "rlfn.extensions"

_loaded: dict[Path, tuple[str, ModuleType]] = {}
_owners: dict[tuple[int, str], str] = {}  # (id of a table, name) -> the extension that added it


def load_module(path: Path) -> ModuleType:
    """Import a Python file as a module; a file with the same content is imported only once.

    Raises:
        OptionError: there is no such file, or running it failed.
    """
    path = path.resolve()
    if path.suffix != ".py" or not path.is_file():
        raise OptionError(f"There is no extension {path}. Give the path of a Python file.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if path not in _loaded or _loaded[path][0] != digest:
        spec = importlib.util.spec_from_file_location(f"rlfn_extension_{path.stem}_{digest[:8]}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # user code raises arbitrary exceptions
            raise OptionError(f"The extension {path} cannot be loaded: {with_kind(error)}.") from error
        _loaded[path] = (digest, module)
    return _loaded[path][1]


def installed() -> list[ModuleType]:
    """Return the modules of the installed extensions."""
    return [point.load() for point in entry_points(group=GROUP)]


def add_rows(table: MutableMapping[str, Any], rows: Mapping[str, Any], kind: str, module: ModuleType) -> None:
    """Add an extension's rows to one of the package's tables.

    Raises:
        OptionError: a name exists already in the package or another extension.
    """
    place = module.__file__ or module.__name__
    for name, row in rows.items():
        if name in table and _owners.get((id(table), name)) != place:
            raise OptionError(f"The extension {place} has a {kind} '{name}', which exists already. Rename it.")
        table[name] = row
        _owners[id(table), name] = place


def register_networks(module: ModuleType) -> None:
    """Add a module's ``NETWORKS`` to the tables of architectures and sizes.

    Raises:
        OptionError: a row is not a pair of sizes and architecture, or its name exists already.
    """
    rows = getattr(module, "NETWORKS", {})
    for name, row in rows.items():
        fits = isinstance(row, tuple) and len(row) == 2 and isinstance(row[1], Architecture)
        if not fits or not (isinstance(row[0], type) and is_dataclass(row[0])):
            raise OptionError(
                f"The network '{name}' of {module.__file__} is not a pair of a dataclass of sizes and an Architecture."
            )
    add_rows(ARCHITECTURES, {name: row[1] for name, row in rows.items()}, "network", module)
    add_rows(SIZES, {name: row[0] for name, row in rows.items()}, "network", module)


def register_installed_networks() -> None:
    """Add the networks of every installed extension."""
    for module in installed():
        register_networks(module)
