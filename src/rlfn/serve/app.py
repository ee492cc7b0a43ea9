"""The HTTP application: its routes and handlers."""

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
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from rlfn.errors import RlfnError
from rlfn.serve.capabilities import capabilities
from rlfn.serve.job import JobState, UpscaleJob
from rlfn.serve.job_queue import JobQueue
from rlfn.serve.media import wants_mixed
from rlfn.serve.metrics import CONTENT_TYPE, ServerMetrics
from rlfn.serve.openapi import document
from rlfn.serve.problems import Problem, internal_error, problem, problem_of
from rlfn.serve.responses import DETAILS, ResultResponse, events, job_status, problem_response
from rlfn.serve.security import SecurityMiddleware
from rlfn.serve.settings import ServeSettings
from rlfn.serve.uploads import read_upload
from rlfn.serve.work import JobResult
from rlfn.serve.workers import ProcessWorker, Worker

PAGE = Path(__file__).parent / "page"

_LOG = logging.getLogger("rlfn.serve")


def make_app(
    settings: ServeSettings | None = None, make_workers: Callable[[ServeSettings], Sequence[Worker]] | None = None
) -> Starlette:
    """Make the ASGI application, for uvicorn or any other server of one process.

    Args:
        settings: the operator's settings.
        make_workers: makes the workers; worker processes by default.
    """
    settings = settings or ServeSettings()
    metrics = ServerMetrics()
    make_workers = make_workers or (lambda given: [ProcessWorker(given) for _ in range(given.workers)])
    queue = JobQueue(settings, make_workers(settings), metrics.job_finished)
    metrics.watch(queue)
    api = _Api(queue, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await queue.start()
        yield
        await queue.close()

    middleware = [Middleware(SecurityMiddleware, settings=settings, on_request=api.count_request)]
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
            HTTPException: _on_http_exception,
            ClientDisconnect: _on_disconnect,
            Exception: _on_unexpected,
        },
    )
    app.state.queue = queue
    app.router.redirect_slashes = False  # its redirects are absolute, and wrong behind a proxy with TLS or a prefix
    return app


class _Api:
    """The endpoints."""

    def __init__(self, queue: JobQueue, metrics: ServerMetrics) -> None:
        self.queue, self.metrics = queue, metrics

    def routes(self, app: Path | None) -> list[Route | Mount]:
        found: list[Route | Mount] = [
            Route("/", self.page),
            Mount("/page", StaticFiles(directory=PAGE)),
            Route("/v1/upscale", self.upscale, methods=["POST"]),
            Route("/v1/jobs", self.create_job, methods=["POST"]),
            Route("/v1/jobs/{id}", self.job, methods=["GET", "DELETE"]),
            Route("/v1/jobs/{id}/result", self.result, methods=["GET"]),
            Route("/v1/models", self.models),
            Route("/v1/openapi.json", self.openapi),
            Route("/healthz", self.health),
            Route("/metrics", self.prometheus_metrics),
        ]
        if app is not None:
            found.append(Route("/app", self.redirect_to_app))
            found.append(Mount("/app", StaticFiles(directory=app, html=True)))
        return found

    async def page(self, request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def redirect_to_app(self, request: Request) -> Response:
        return RedirectResponse("app/")

    async def upscale(self, request: Request) -> Any:
        upload = await read_upload(request, self.queue)
        job = self.queue.submit(upload.picture, upload.options, upload.idempotency, detached=False)
        return _ResultWhenReady(self.queue, job, request, forget_after=False)

    async def create_job(self, request: Request) -> Response:
        upload = await read_upload(request, self.queue)
        job = self.queue.submit(upload.picture, upload.options, upload.idempotency)
        # relative to the request's URL, which may have a prefix that a proxy removes
        return JSONResponse(job_status(job, self.queue), 202, {"Location": f"jobs/{job.id}"})

    async def job(self, request: Request) -> Response:
        job = self._job(request)
        if request.method == "DELETE":
            return self._delete_job(job)
        if "text/event-stream" in request.headers.get("accept", ""):
            kind = "text/event-stream"
            headers = {"X-Accel-Buffering": "no"}  # proxies must not buffer the events
            return StreamingResponse(events(job, self.queue), 200, headers, kind)
        return JSONResponse(job_status(job, self.queue))

    def _delete_job(self, job: UpscaleJob) -> Response:
        self.queue.cancel(job)
        self.queue.forget(job)
        return Response(status_code=204)

    async def result(self, request: Request) -> Any:
        job = self._job(request)
        if not job.finished:
            raise problem("not_ready", "The job is not finished yet.", {"Retry-After": "1"})
        if job.state is JobState.CANCELLED:
            raise problem("cancelled", "The job was cancelled.")
        return _ResultWhenReady(self.queue, job, request, forget_after=True)

    async def models(self, request: Request) -> Response:
        return JSONResponse(capabilities(self.queue.settings))

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(document(self.queue.settings))

    async def health(self, request: Request) -> Response:
        if self.queue.draining:
            return JSONResponse({"status": "shutting_down"}, 503)
        facts = {"status": "ok", "waiting": len(self.queue.waiting), "running": len(self.queue.running)}
        return JSONResponse(facts)

    async def prometheus_metrics(self, request: Request) -> Response:
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)

    def count_request(self, scope: Scope, status: int, seconds: float) -> None:
        route = _route(scope["path"])
        self.metrics.requests.labels(_method(scope["method"]), route, status).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)

    def _job(self, request: Request) -> UpscaleJob:
        found = self.queue.jobs.get(request.path_params["id"])
        if found is None:
            raise problem("not_found", "There is no such job. Jobs are deleted once their results were fetched.")
        return found


class _ResultWhenReady:
    """A response that waits for a result and sends it; waiting ends when the client disconnects.

    Args:
        queue: the job queue.
        job: the job whose result is sent.
        request: the request.
        forget_after: whether a detached job is forgotten once its result was sent.
    """

    def __init__(self, queue: JobQueue, job: UpscaleJob, request: Request, *, forget_after: bool) -> None:
        self._queue, self._job, self._forget_after = queue, job, forget_after
        self._mixed = wants_mixed(request.headers.get("accept", ""))
        self._sending = False
        self._disconnected = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self._send_result(scope, receive, send))
        disconnect = asyncio.ensure_future(self._watch_disconnect(receive))
        try:
            await asyncio.wait({work, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            if not (work.done() or self._sending):
                work.cancel()
            await work
        except asyncio.CancelledError:
            work.cancel()
            if not disconnect.done():
                raise
        finally:
            disconnect.cancel()

    async def _send_result(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._queue.wait_for_result(self._job) as result:
            self._sending = True
            response = self._response(result)
            await response(scope, receive, send)
        taken = self._forget_after and response.complete and scope["method"] != "HEAD"
        if taken and self._job.detached and not self._job.waiters:
            self._queue.forget(self._job)

    def _response(self, result: JobResult) -> ResultResponse:
        patience = self._queue.settings.patience
        cached = self._job.cached
        return ResultResponse(
            result, mixed=self._mixed, cached=cached, patience=patience, disconnected=lambda: self._disconnected
        )

    async def _watch_disconnect(self, receive: Receive) -> None:
        """Note when the client disconnects."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._disconnected = True


_ROUTES = ("/", "/v1/upscale", "/v1/jobs", "/v1/models", "/v1/openapi.json", "/healthz", "/metrics")


def _route(path: str) -> str:
    """Return the route of a path as a metrics label; clients cannot create new labels."""
    if path in _ROUTES:
        return path
    if path.startswith("/v1/jobs/"):
        return "/v1/jobs/{id}/result" if path.endswith("/result") else "/v1/jobs/{id}"
    return next((f"{start}*" for start in ("/page/", "/app/") if path.startswith(start)), "other")


def _method(name: str) -> str:
    return name if name in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RlfnError)
    return problem_response(problem_of(error))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem_response(problem("not_found", "There is no such resource. See v1/openapi.json."))
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return problem_response(
            problem("method_not_allowed", f"{request.method} is not allowed here. Allowed: {allowed}.", error.headers)
        )
    return problem_response(problem("bad_request", str(error.detail)))


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # the client has left


async def _on_unexpected(request: Request, error: Exception) -> Response:
    _LOG.error("A request failed.", exc_info=error)
    return problem_response(internal_error())
