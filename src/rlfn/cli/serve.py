"""``rlfn serve``: the page and the HTTP API."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from rlfn.cli import options
from rlfn.cli.commands import command
from rlfn.cli.messages import say
from rlfn.errors import MissingExtraError, OptionError, setting

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MEGABYTE = 1_000_000
_APPS = (Path(__file__).parents[1] / "serve" / "built_app", Path(__file__).parents[3] / "web" / "dist")
"""Where a build of the browser app may lie: in the package, or in the checkout that this runs from."""

_MODULES = ("starlette", "uvicorn", "python_multipart", "prometheus_client")

KEY_VARIABLE = "RLFN_API_KEY"


@command(
    "serve",
    section="Use",
    examples=(
        "rlfn serve",
        "rlfn serve --port 9000 --workers 2 --threads 4",
        "RLFN_API_KEY=$(openssl rand -hex 24) rlfn serve --host 0.0.0.0 --allowed-host pictures.example.org",
    ),
)
@options.option("--host", type=click.STRING, default="127.0.0.1", metavar="ADDRESS", help="Where to listen.")
@options.option("--port", type=options.Number(whole=True, least=0), default=8000, help="The port; 0 takes a free one.")
@options.option("--workers", type=options.COUNT, default=1, help="Processes, each with one picture at a time.")
@options.option("--threads", type=options.COUNT, help="CPU threads of a worker.", show_default="the cores, shared out")
@options.engine
@options.device
@options.tile
@options.option("--max-body", type=options.NUMBER, default=32, help="Largest request in MB.")
@options.option("--max-pixels", type=options.COUNT, default=16_000_000, help="Largest picture in px.")
@options.option("--max-result-pixels", type=options.COUNT, default=256_000_000, help="Largest result in px.")
@options.option("--queue", type=options.COUNT, default=64, help="Pictures that may wait.")
@options.option("--memory", type=options.NUMBER, default=1024, help="Uploads and results that are held, in MB.")
@options.option("--cache", type=options.NUMBER, default=64, help="Results that are kept in memory, in MB; 0: none.")
@options.option("--seconds", type=options.NUMBER, default=300, help="Longest time for one picture.")
@options.option("--keep", type=options.NUMBER, default=600, help="Seconds in which a job's result is to be fetched.")
@options.option("--grace", type=options.NUMBER, default=30, help="Seconds that SIGTERM leaves running pictures.")
@options.option("--connections", type=options.COUNT, default=1000, help="Connections at a time.")
@options.option(
    "--api-key-file",
    type=options.FILE,
    help=f"Serve only who has a key of this file, one a line; {KEY_VARIABLE} does as well.",
)
@options.option(
    "--cors-origin", type=click.STRING, multiple=True, metavar="ORIGIN", help="A site whose pages may call the API."
)
@options.option(
    "--allowed-host",
    type=click.STRING,
    multiple=True,
    metavar="NAME",
    help="A name under which the server may be called, besides this machine's own.",
    show_default="any, unless it listens on the loopback",
)
@options.option(
    "--app",
    type=options.FOLDER,
    help="The built browser app, to be offered at /app/.",
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
    """Offer a page and an HTTP API that enlarge pictures.

    Nothing is stored; SIGTERM ends it in order.
    """
    for module in _MODULES:
        if find_spec(module) is None:
            raise MissingExtraError("The server", "serve")
    from rlfn.serve.server import run
    from rlfn.serve.settings import ServeSettings

    for name in ("max_body", "memory", "cache"):
        limits[name] = int(limits[name] * _MEGABYTE)
    if limits["tile"].isdecimal():
        limits["tile"] = int(limits["tile"])
    limits["threads"] = limits["threads"] or _share_of_cores(limits["workers"])
    settings = ServeSettings(
        **limits,
        keys=_keys(api_key_file),
        origins=cors_origin,
        hosts=_hosts(host, allowed_host),
        app=_app_folder(app),
    )
    _check_engine(settings)
    run(settings, host, port, lambda address: say(f"rlfn serves at {address} (Ctrl-C ends it)", err=True))


def _share_of_cores(workers: int) -> int | None:
    from rlfn.inference.hardware import default_threads

    return None if workers == 1 else max(1, default_threads() // workers)


def _keys(file: Path | None) -> tuple[str, ...]:
    given = [os.environ.get(KEY_VARIABLE, "")]
    if file is not None:
        try:
            given += file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            what = getattr(error, "strerror", None) or "it is no text"
            raise OptionError(f"The keys in {file} cannot be read: {what}. Check {setting('api_key_file')}.") from None
        if not any(line.strip() for line in given[1:]):
            raise OptionError(f"There is no key in {file}. Write one a line, made with: openssl rand -hex 24")
    return tuple(key.strip() for key in given if key.strip())


def _hosts(host: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that are answered: on the loopback no others, so that no web page can pose as one of ours."""
    own = _LOOPBACK if host in _LOOPBACK or allowed else ()
    return tuple(dict.fromkeys(name.lower() for name in (*own, *allowed)))


def _app_folder(given: Path | None) -> Path | None:
    for folder in _APPS if given is None else (given,):
        if (folder / "index.html").is_file():
            return folder
    if given is not None:
        raise OptionError(f"There is no built app in {given}: index.html is missing. Build it first: npm run build")
    return None


def _check_engine(settings: Any) -> None:
    """Refuse an engine or a tile with which no picture could be enlarged, before anything listens."""
    from rlfn.inference.enlarge import EnlargeOptions

    EnlargeOptions(**settings.computing)
