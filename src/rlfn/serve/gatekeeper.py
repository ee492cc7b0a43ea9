"""What stands before every route: names of hosts, keys, other sites' pages, and the headers of every answer."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlfn.serve.answers import problem_answer
from rlfn.serve.problems import Problem, problem
from rlfn.serve.settings import ServeSettings

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_APP_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self' blob: data:; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_COMMON = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_OPEN = ("/", "/healthz", "/v1/openapi.json")
"""What is answered without a key, besides the files of the page and the app."""

Counted = Callable[[Scope, int, float], None]
"""Called with a request's scope, its status and its seconds."""


class Gatekeeper:
    """ASGI middleware.

    Args:
        app: what it stands before.
        settings: the operator's.
        counted: see :data:`Counted`.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, counted: Counted) -> None:
        self._app, self._settings, self._counted = app, settings, counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on and add headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499  # the client left before there was an answer

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(scope["path"], MutableHeaders(scope=message))
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, with_headers)
        except Problem as found:
            await problem_answer(found)(scope, receive, with_headers)
        finally:
            self._counted(scope, status, time.perf_counter() - began)

    def _add_headers(self, path: str, headers: MutableHeaders) -> None:
        for name, value in _COMMON.items():
            headers.setdefault(name, value)
        in_app = path.startswith("/app/")
        headers.setdefault("Cache-Control", "no-store" if path.startswith("/v1/") else "no-cache")
        headers.setdefault("Content-Security-Policy", _APP_POLICY if in_app else _PAGE_POLICY)
        # pages of other origins that were allowed in may use what the API answers
        shared = bool(self._settings.origins) and path.startswith("/v1/")
        headers.setdefault("Cross-Origin-Resource-Policy", "cross-origin" if shared else "same-origin")
        if in_app:
            headers.setdefault("Cross-Origin-Embedder-Policy", "require-corp")

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        settings, path = self._settings, scope["path"]
        if settings.hosts and _host(headers.get("host", "")) not in settings.hosts:
            raise problem("forbidden", "The server is not called by this name. See its option --allowed-host.")
        if headers.get("sec-fetch-site") == "cross-site" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            origin = headers.get("origin", "")
            if not {origin, "*"} & set(settings.origins):
                raise problem("forbidden", "A page of another site sent this. The server's --cors-origin allows one.")
        if settings.keys and path not in _OPEN and not path.startswith(("/page/", "/app/")):
            _check_key(headers, settings.keys)


def _host(header: str) -> str:
    """Return a Host header's name without its port."""
    if header.startswith("["):
        return header.partition("]")[0].removeprefix("[").lower()
    return header.partition(":")[0].lower()


def _check_key(headers: Headers, keys: tuple[str, ...]) -> None:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = headers.get("x-api-key", "")
    # every key is compared, so that the time tells nothing
    if not any([hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys]):  # noqa: C419
        text = "This server serves those who have a key. Send it as 'Authorization: Bearer KEY'."
        raise problem("key_needed", text, {"WWW-Authenticate": "Bearer"})
