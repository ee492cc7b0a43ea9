"""Middleware that checks host names, API keys and origins, and adds security headers."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlfn.serve.problems import Problem, problem
from rlfn.serve.responses import problem_response
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
_PUBLIC = ("/", "/app", "/healthz", "/v1/openapi.json")
"""Paths that need no API key, besides the files of the page and the app."""

OnRequest = Callable[[Scope, int, float], None]
"""Called with a request's scope, its status and its duration in seconds."""


class SecurityMiddleware:
    """ASGI middleware.

    Args:
        app: the wrapped application.
        settings: the operator's settings.
        on_request: called after each request.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, on_request: OnRequest) -> None:
        self._app, self._settings, self._on_request = app, settings, on_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on and add headers to the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499  # the client disconnected before the response

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
            await problem_response(found)(scope, receive, with_headers)
        finally:
            self._on_request(scope, status, time.perf_counter() - began)

    def _add_headers(self, path: str, headers: MutableHeaders) -> None:
        for name, value in _COMMON.items():
            headers.setdefault(name, value)
        in_app = path.startswith("/app/")
        headers.setdefault("Cache-Control", "no-store" if path.startswith("/v1/") else "no-cache")
        headers.setdefault("Content-Security-Policy", _APP_POLICY if in_app else _PAGE_POLICY)
        # pages of allowed origins may use the API's responses
        shared = bool(self._settings.origins) and path.startswith("/v1/")
        headers.setdefault("Cross-Origin-Resource-Policy", "cross-origin" if shared else "same-origin")
        if in_app:
            headers.setdefault("Cross-Origin-Embedder-Policy", "require-corp")

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        settings, path = self._settings, scope["path"]
        if settings.hosts and _host(headers.get("host", "")) not in settings.hosts:
            raise problem("forbidden", "The Host header is not allowed. See the server's option --allowed-host.")
        allowed = {headers.get("origin", ""), "*"} & set(settings.origins)
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and _from_another_site(headers) and not allowed:
            raise problem(
                "forbidden",
                "Requests from pages of other sites are not allowed. See the server's option --cors-origin.",
            )
        if settings.keys and path not in _PUBLIC and not path.startswith(("/page/", "/app/")):
            _check_key(headers, settings.keys)


def _from_another_site(headers: Headers) -> bool:
    """Tell whether a page of another site sent a request.

    Browsers send Sec-Fetch-Site only over https and to this machine, so over plain http the page's origin decides.
    Ports are not compared, since a proxy may drop the server's.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None or origin is None:
        return site == "cross-site"
    return _host(origin.rpartition("://")[2]) != _host(headers.get("host", ""))


def _host(header: str) -> str:
    """Return a Host header's name without its port."""
    if header.startswith("["):
        return header.partition("]")[0].removeprefix("[").lower()
    return header.partition(":")[0].lower()


def _check_key(headers: Headers, keys: tuple[str, ...]) -> None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        key = headers.get("x-api-key", "")
    # compare with every key: the time must not reveal which one matches
    if not any([hmac.compare_digest(key.strip().encode(), known.encode()) for known in keys]):  # noqa: C419
        text = "An API key is required. Send it as 'Authorization: Bearer KEY'."
        raise problem("unauthorized", text, {"WWW-Authenticate": "Bearer"})
