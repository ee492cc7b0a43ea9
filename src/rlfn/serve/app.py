"""The HTTP application: routes, and what each does at the desk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from rlfn.errors import RlfnError
from rlfn.serve.answers import DETAILS, Sent, events, problem_answer, ticket_facts
from rlfn.serve.bodies import read_order
from rlfn.serve.crew import Hand, ProcessHand
from rlfn.serve.desk import Desk
from rlfn.serve.gatekeeper import Gatekeeper
from rlfn.serve.media import wants_mixed
from rlfn.serve.metrics import CONTENT_TYPE, ServerMetrics
from rlfn.serve.offer import offer
from rlfn.serve.openapi import document
from rlfn.serve.problems import Problem, broken, problem, problem_of
from rlfn.serve.settings import ServeSettings
from rlfn.serve.ticket import Ticket, TicketState
from rlfn.serve.work import Delivery

PAGE = Path(__file__).parent / "page"

_LOG = logging.getLogger("rlfn.serve")


def make_app(
    settings: ServeSettings | None = None, hands: Callable[[ServeSettings], Sequence[Hand]] | None = None
) -> Starlette:
    """Make the ASGI application, for uvicorn or any other server of one process.

    Args:
        settings: the operator's decisions.
        hands: makes what does the work; worker processes by default.
    """
    settings = settings or ServeSettings()
    metrics = ServerMetrics()
    workers = hands(settings) if hands else [ProcessHand(settings) for _ in range(settings.workers)]
    desk = Desk(settings, workers, metrics.picture_ended)
    metrics.watch(desk)
    api = _Api(desk, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await desk.start()
        yield
        await desk.close()

    middleware = [Middleware(Gatekeeper, settings=settings, counted=api.counted)]
    if settings.origins:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("Authorization", "X-API-Key", "Idempotency-Key"),
            expose_headers=(DETAILS, "Location", "Retry-After"),
        )
        middleware.insert(0, cors)
    app = Starlette(
        routes=api.routes(settings.app),
        middleware=middleware,
        lifespan=lifespan,
        exception_handlers={
            Problem: _on_problem,
            RlfnError: _on_error,
            HTTPException: _on_http,
            ClientDisconnect: _on_gone,
            Exception: _on_fault,
        },
    )
    app.state.desk = desk
    return app


class _Api:
    """The endpoints."""

    def __init__(self, desk: Desk, metrics: ServerMetrics) -> None:
        self.desk, self.metrics = desk, metrics

    def routes(self, app: Path | None) -> list[Route | Mount]:
        found: list[Route | Mount] = [
            Route("/", self.page),
            Mount("/page", StaticFiles(directory=PAGE)),
            Route("/v1/upscale", self.upscale, methods=["POST"]),
            Route("/v1/jobs", self.add_job, methods=["POST"]),
            Route("/v1/jobs/{id}", self.job, methods=["GET", "DELETE"]),
            Route("/v1/jobs/{id}/result", self.result, methods=["GET"]),
            Route("/v1/models", self.models),
            Route("/v1/openapi.json", self.openapi),
            Route("/healthz", self.health),
            Route("/metrics", self.numbers),
        ]
        if app is not None:
            found.append(Mount("/app", StaticFiles(directory=app, html=True)))
        return found

    async def page(self, request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def upscale(self, request: Request) -> Any:
        order = await read_order(request, self.desk)
        ticket = self.desk.submit(order.picture, order.asked, order.idempotency, job=False)
        return _Handing(self.desk, ticket, request, fetched=False)

    async def add_job(self, request: Request) -> Response:
        order = await read_order(request, self.desk)
        ticket = self.desk.submit(order.picture, order.asked, order.idempotency)
        place = f"{request.url.path.rstrip('/')}/{ticket.id}"
        return JSONResponse(ticket_facts(ticket, self.desk), 202, {"Location": place})

    async def job(self, request: Request) -> Response:
        ticket = self._ticket(request)
        if request.method == "DELETE":
            return self._drop(ticket)
        if "text/event-stream" in request.headers.get("accept", ""):
            kind = "text/event-stream"
            headers = {"X-Accel-Buffering": "no"}  # a proxy that collects would hold progress back
            return StreamingResponse(events(ticket, self.desk), 200, headers, kind)
        return JSONResponse(ticket_facts(ticket, self.desk))

    def _drop(self, ticket: Ticket) -> Response:
        self.desk.cancel(ticket)
        self.desk.forget(ticket)
        return Response(status_code=204)

    async def result(self, request: Request) -> Any:
        ticket = self._ticket(request)
        if not ticket.over:
            raise problem("not_ready", "The picture is not done yet.", {"Retry-After": "1"})
        if ticket.stage is TicketState.CANCELLED:
            raise problem("cancelled", "The picture was given up.")
        return _Handing(self.desk, ticket, request, fetched=True)

    async def models(self, request: Request) -> Response:
        return JSONResponse(offer(self.desk.settings))

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(document(self.desk.settings))

    async def health(self, request: Request) -> Response:
        if self.desk.draining:
            return JSONResponse({"status": "ending"}, 503)
        facts = {"status": "ok", "waiting": len(self.desk.waiting), "running": len(self.desk.running)}
        return JSONResponse(facts)

    async def numbers(self, request: Request) -> Response:
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)

    def counted(self, scope: Scope, status: int, seconds: float) -> None:
        route = _route(scope["path"])
        self.metrics.requests.labels(_method(scope["method"]), route, status).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)

    def _ticket(self, request: Request) -> Ticket:
        found = self.desk.tickets.get(request.path_params["id"])
        if found is None:
            raise problem("not_found", "There is no such job. Results are forgotten once they were fetched.")
        return found


class _Handing:
    """An answer that waits for a result and sends it; a client who leaves ends the waiting.

    Args:
        desk: where the ticket lies.
        ticket: whose result is sent.
        request: what is answered.
        fetched: whether a job's result counts as fetched then, and is forgotten.
    """

    def __init__(self, desk: Desk, ticket: Ticket, request: Request, *, fetched: bool) -> None:
        self._desk, self._ticket, self._fetched = desk, ticket, fetched
        self._mixed = wants_mixed(request.headers.get("accept", ""))
        self._begun = False
        self._left = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self._hand_over(scope, receive, send))
        gone = asyncio.ensure_future(self._watch(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not (work.done() or self._begun):
                work.cancel()
            await work
        except asyncio.CancelledError:
            work.cancel()
            if not gone.done():
                raise
        finally:
            gone.cancel()

    async def _hand_over(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._desk.awaited(self._ticket) as delivery:
            self._begun = True
            answer = self._answer(delivery)
            await answer(scope, receive, send)
        taken = self._fetched and answer.sent and scope["method"] != "HEAD"
        if taken and self._ticket.job and not self._ticket.waiters:
            self._desk.forget(self._ticket)

    def _answer(self, delivery: Delivery) -> Sent:
        patience = self._desk.settings.patience
        cached = self._ticket.cached
        return Sent(delivery, mixed=self._mixed, cached=cached, patience=patience, left=lambda: self._left)

    async def _watch(self, receive: Receive) -> None:
        """Note when the client leaves."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._left = True


_ROUTES = ("/", "/v1/upscale", "/v1/jobs", "/v1/models", "/v1/openapi.json", "/healthz", "/metrics")


def _route(path: str) -> str:
    """Return what a path is counted as: few words, whatever clients ask for."""
    if path in _ROUTES:
        return path
    if path.startswith("/v1/jobs/"):
        return "/v1/jobs/{id}/result" if path.endswith("/result") else "/v1/jobs/{id}"
    return next((f"{start}*" for start in ("/page/", "/app/") if path.startswith(start)), "other")


def _method(name: str) -> str:
    return name if name in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_answer(error)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RlfnError)
    return problem_answer(problem_of(error))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem_answer(problem("not_found", "There is nothing at this address. See v1/openapi.json."))
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return problem_answer(
            problem("method", f"{request.method} is not answered here. Allowed: {allowed}.", error.headers)
        )
    return problem_answer(problem("bad_request", str(error.detail)))


async def _on_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _on_fault(request: Request, error: Exception) -> Response:
    _LOG.error("A request failed.", exc_info=error)
    return problem_answer(broken())
