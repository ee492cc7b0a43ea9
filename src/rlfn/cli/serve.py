"""``rlfn serve``: the web page and the HTTP API."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from rlfn.cli import options
from rlfn.cli.commands import command
from rlfn.cli.messages import say
from rlfn.errors import MissingExtraError, OptionError
from rlfn.serve.settings import MEGABYTE, ServeSettings
from rlfn.wording import setting

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PACKAGE = Path(__file__).parents[1]

_MODULES = ("starlette", "uvicorn", "python_multipart", "prometheus_client")

KEY_VARIABLE = "RLFN_API_KEY"

_AMOUNT = options.Number(least=0.0)


def _setting(name: str, type: options.ParamType, help: str, unit: int = 1) -> options.Decorator:
    """Declare the option of a field of :class:`ServeSettings`, with its default in ``unit``."""
    default = getattr(ServeSettings, name) / unit
    shown = int(default) if default == int(default) else default
    return options.option(f"--{name.replace('_', '-')}", type=type, default=shown, help=help)


@command(
    "serve",
    section="Use",
    examples=(
        "rlfn serve",
        "rlfn serve --port 9000 --workers 2 --threads 4",
        "RLFN_API_KEY=$(openssl rand -hex 24) rlfn serve --host 0.0.0.0 --allowed-host pictures.example.org",
    ),
)
@options.option("--host", type=click.STRING, default="127.0.0.1", metavar="ADDRESS", help="Address to listen on.")
@options.option("--port", type=options.Number(whole=True, least=0), default=8000, help="Port; 0 picks a free one.")
@_setting("workers", options.COUNT, "Worker processes, each with one picture at a time.")
@options.option(
    "--threads", type=options.COUNT, help="CPU threads of each worker.", show_default="the cores divided by the workers"
)
@options.engine
@options.device
@options.tile
@_setting("max_body", _AMOUNT, "Largest request in MB.", MEGABYTE)
@_setting("max_pixels", options.COUNT, "Largest picture in px.")
@_setting("max_result_pixels", options.COUNT, "Largest result in px.")
@_setting("queue", options.COUNT, "Largest number of waiting jobs.")
@_setting("memory", _AMOUNT, "Memory for uploads and results, in MB.", MEGABYTE)
@_setting("cache", _AMOUNT, "Memory for cached results, in MB; 0 disables the cache.", MEGABYTE)
@_setting("seconds", _AMOUNT, "Longest processing time of a picture, in seconds.")
@_setting("keep", _AMOUNT, "How long finished results are kept, in seconds.")
@_setting("grace", _AMOUNT, "Grace period after SIGTERM, in seconds.")
@_setting("connections", options.COUNT, "Largest number of open connections.")
@options.option(
    "--api-key-file",
    type=options.FILE,
    help=f"Require an API key from this file (one per line); {KEY_VARIABLE} also works.",
)
@options.option(
    "--cors-origin", type=click.STRING, multiple=True, metavar="ORIGIN", help="Origin whose pages may call the API."
)
@options.option(
    "--allowed-host",
    type=click.STRING,
    multiple=True,
    metavar="NAME",
    help="Host name that the server answers to, besides this machine's own.",
    show_default="any, unless --host is a loopback address",
)
@options.option(
    "--app",
    type=options.FOLDER,
    help="Folder of the built browser app, served at /app/.",
    show_default="a checkout's web/dist",
)
def serve(
    host: str,
    port: int,
    api_key_file: Path | None,
    cors_origin: tuple[str, ...],
    allowed_host: tuple[str, ...],
    app: Path | None,
    **limits: Any,
) -> None:
    """Serve a web page and an HTTP API that enlarge pictures.

    Nothing is stored; SIGTERM shuts down gracefully.
    """
    for module in _MODULES:
        if find_spec(module) is None:
            raise MissingExtraError("The server", "serve")
    from rlfn.serve.server import run

    for name in ("max_body", "memory", "cache"):
        limits[name] = int(limits[name] * MEGABYTE)
    limits["threads"] = limits["threads"] or _threads_per_worker(limits["workers"])
    settings = ServeSettings(
        **limits,
        keys=_keys(api_key_file),
        origins=cors_origin,
        hosts=_hosts(host, allowed_host),
        app=_app_folder(app),
    )
    _check_engine(settings)
    run(settings, host, port, lambda address: say(f"Serving at {address} (press Ctrl-C to stop)", err=True))


def _threads_per_worker(workers: int) -> int | None:
    from rlfn.inference.hardware import default_threads

    return None if workers == 1 else max(1, default_threads() // workers)


def _keys(file: Path | None) -> tuple[str, ...]:
    given = [os.environ.get(KEY_VARIABLE, "")]
    if file is not None:
        try:
            given += file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise OptionError(
                f"The keys in {file} cannot be read: {reason}. Check {setting('api_key_file')}."
            ) from None
        if not any(line.strip() for line in given[1:]):
            raise OptionError(f"There is no key in {file}. Write one per line, made with: openssl rand -hex 24")
    return tuple(key.strip() for key in given if key.strip())


def _hosts(host: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the allowed host names; restricting them on the loopback prevents DNS rebinding."""
    own = _LOOPBACK if host in _LOOPBACK or allowed else ()
    return tuple(dict.fromkeys(name.lower() for name in (*own, *allowed)))


def _app_folder(given: Path | None) -> Path | None:
    folder = given or _app_in_checkout()
    if folder is not None and (folder / "index.html").is_file():
        return folder
    if given is not None:
        raise OptionError(f"There is no built app in {given}: index.html is missing. Build it first: npm run build")
    return None


def _app_in_checkout() -> Path | None:
    """Return where a checkout has its built app; None if the package is installed."""
    sources = _PACKAGE.parent
    return sources.parent / "web" / "dist" if sources.name == "src" else None


def _check_engine(settings: ServeSettings) -> None:
    """Refuse an invalid engine or tile size before the server listens."""
    from rlfn.inference.enlarge_options import EnlargeOptions

    EnlargeOptions(**settings.computing)
