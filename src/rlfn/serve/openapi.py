"""The OpenAPI document, written from the tables of fields, formats and problems."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from rlfn import __version__
from rlfn.serve.fields import FIELDS, PICTURE, RequestField
from rlfn.serve.media import MIXED, writable_formats
from rlfn.serve.problems import CODES, TITLES
from rlfn.serve.responses import DETAILS
from rlfn.serve.settings import ServeSettings

_EXAMPLE_DETAILS = {
    "input_size": [640, 360],
    "output_size": [1280, 720],
    "format": "webp",
    "model": "rlfn-xs-x2",
    "engine": "onnxruntime",
    "precision": "fp32",
    "device": "cpu",
    "restore": 0.0,
    "restore_reason": "no traces of coding or noise",
    "warnings": ["EXIF of 70,000 bytes dropped: WebP holds 65,533"],
    "seconds": 0.1234,
    "cached": False,
}
_UPLOAD = (
    "bad_request",
    "not_acceptable",
    "request_timeout",
    "too_large",
    "unsupported_media_type",
    "invalid_option",
    "queue_full",
    "overloaded",
    "shutting_down",
)
"""Problems of sending a picture."""

_OUTCOME = (
    "cancelled",
    "too_large",
    "invalid_option",
    "invalid_picture",
    "invalid_output",
    "processing_timeout",
    "worker_lost",
    "shutting_down",
)
"""Problems of a job, sent instead of its result."""

_EXAMPLE_JOB = {"id": "s3cr3t-and-unguessable", "status": "running", "progress": 0.25}


def document(settings: ServeSettings) -> dict[str, Any]:
    """Return the OpenAPI document of a server."""
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "rlfn",
            "version": __version__,
            "summary": "Make pictures larger and sharper.",
            "description": "Enlarges pictures and keeps their metadata. Results are kept in memory only, and a job is "
            "deleted once its result was fetched.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": ".."}],
        "paths": _paths(bool(settings.keys)),
        "components": {"schemas": _schemas()},
    }
    if settings.keys:
        found["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        found["security"] = [{"bearer": []}, {"key": []}]
    return found


@cache
def _paths(keyed: bool) -> dict[str, Any]:
    found = _picture_paths() | _service_paths()
    for path in found.values():
        for method, operation in path.items():
            if method != "parameters":
                protected = keyed and "security" not in operation
                _add_problems(operation, ("forbidden", "internal_error", *(("unauthorized",) if protected else ())))
    return found


def _picture_paths() -> dict[str, dict[str, Any]]:
    """Return the paths that take pictures, and those of jobs."""
    job = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    state = {"application/json": {"schema": _ref("Job"), "example": _EXAMPLE_JOB}}
    event = f"event: running\ndata: {json.dumps(_EXAMPLE_JOB)}\n\n"
    stream = {"text/event-stream": {"schema": {"type": "string"}, "example": event}}
    return {
        "/v1/upscale": {
            "post": _operation(
                "Enlarge a picture and wait for the result",
                "upscale",
                {"200": _picture()},
                (*_UPLOAD, *_OUTCOME),
                body=True,
            )
        },
        "/v1/jobs": {
            "post": _operation(
                "Submit a job",
                "createJob",
                {
                    "202": {
                        "description": "The job.",
                        "headers": {
                            "Location": {
                                "description": "The job's URL, relative to the URL of the request.",
                                "schema": {"type": "string"},
                            }
                        },
                        "content": state,
                    }
                },
                _UPLOAD,
                body=True,
            )
        },
        "/v1/jobs/{id}": {
            "parameters": [job],
            "get": _operation(
                "Get the state of a job; as server-sent events with Accept: text/event-stream",
                "getJob",
                {"200": {"description": "The state of the job.", "content": state | stream}},
                ("not_found",),
            ),
            "delete": _operation(
                "Cancel and delete a job", "deleteJob", {"204": {"description": "The job is deleted."}}, ("not_found",)
            ),
        },
        "/v1/jobs/{id}/result": {
            "parameters": [job],
            "get": _operation(
                "Get the result of a job, which is then deleted",
                "getResult",
                {"200": _picture()},
                ("not_found", "not_ready", *_OUTCOME),
            ),
        },
    }


def _service_paths() -> dict[str, dict[str, Any]]:
    """Return the paths that tell what the server is and how it is."""
    closing = {"application/json": {"schema": {"type": "object"}, "example": {"status": "shutting_down"}}}
    closed = {"503": {"description": "It is shutting down.", "content": closing}}
    return {
        "/v1/models": {
            "get": _operation("Models, formats and limits", "models", _json("The models, formats and limits."))
        },
        "/healthz": {
            "get": _operation(
                "Whether the server accepts pictures", "health", _json("It does.") | closed, open_to_all=True
            )
        },
        "/metrics": {
            "get": _operation(
                "Prometheus metrics", "metrics", {"200": {"description": "Metrics.", "content": {"text/plain": {}}}}
            )
        },
    }


def _add_problems(operation: dict[str, Any], codes: tuple[str, ...]) -> None:
    """Add the responses of problems, those with the same status as one response."""
    for code in dict.fromkeys(codes):
        status = CODES[code]
        row = operation["responses"].setdefault(
            str(status), {"description": "", "content": {"application/problem+json": {"schema": _ref("Problem")}}}
        )
        row["description"] = f"{row['description']}, {code}" if row["description"] else f"{TITLES[status]}: {code}"
        if status in (409, 429, 503):
            row["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}


def _operation(
    summary: str,
    name: str,
    responses: dict[str, Any],
    problems: tuple[str, ...] = (),
    *,
    body: bool = False,
    open_to_all: bool = False,
) -> dict[str, Any]:
    found: dict[str, Any] = {"summary": summary, "operationId": name, "responses": dict(responses)}
    _add_problems(found, problems)
    if open_to_all:
        found["security"] = []
    if body:
        key: dict[str, Any] = {"name": "Idempotency-Key", "in": "header"}
        key["schema"] = {"type": "string", "maxLength": 200}
        key["description"] = (
            "A second request with the same key joins the first one, unless that failed with a status of 500 or more."
        )
        found["parameters"] = [*map(_parameter, FIELDS.values()), key]
        found["requestBody"] = {"required": True, "content": _request()}
    return found


def _request() -> dict[str, Any]:
    properties: dict[str, Any] = {PICTURE: {"type": "string", "format": "binary"}}
    properties |= {row.name: _schema(row) | {"description": row.about} for row in FIELDS.values()}
    form = {"type": "object", "required": [PICTURE], "properties": properties}
    return {
        "multipart/form-data": {"schema": form, "example": {PICTURE: "(the file)", "scale": 2, "format": "webp"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "image/*": {"schema": {"type": "string", "format": "binary"}},
    }


def _parameter(row: RequestField) -> dict[str, Any]:
    return {"name": row.name, "in": "query", "description": row.about, "schema": _schema(row), "example": row.example}


def _schema(row: RequestField) -> dict[str, Any]:
    return row.schema | ({"enum": list(row.names())} if row.names is not None else {})


def _picture() -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    content: dict[str, Any] = {str(row["media_type"]): {"schema": binary} for row in writable_formats()}
    content[MIXED] = {"schema": binary | {"description": "The details as JSON, then the picture."}}
    about = f"What computed it and what was lost, as JSON; with Accept: {MIXED} it comes before the picture instead."
    details = {"application/json": {"schema": _ref("Details"), "example": _EXAMPLE_DETAILS}}
    return {
        "description": "The picture.",
        "headers": {DETAILS: {"description": about, "content": details}},
        "content": content,
    }


def _json(about: str) -> dict[str, Any]:
    return {"200": {"description": about, "content": {"application/json": {"schema": {"type": "object"}}}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas() -> dict[str, Any]:
    size: dict[str, Any] = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
    size["description"] = "Width and height in px."
    text, number = {"type": "string"}, {"type": "number"}
    details: dict[str, Any] = dict.fromkeys(("format", "model", "engine", "precision", "device"), text)
    details["restore_reason"] = text
    details |= {"input_size": size, "output_size": size, "restore": number, "seconds": number}
    details |= {"warnings": {"type": "array", "items": text}, "cached": {"type": "boolean"}}
    status = {"type": "string", "enum": ["waiting", "running", "done", "failed", "cancelled"]}
    return {
        "Problem": {
            "type": "object",
            "description": "RFC 9457.",
            "required": ["title", "status", "code", "detail"],
            "properties": {
                "title": text,
                "status": {"type": "integer"},
                "code": {"type": "string", "enum": list(CODES)},
                "detail": text,
            },
        },
        "Details": {"type": "object", "properties": details},
        "Job": {
            "type": "object",
            "required": ["id", "status", "progress"],
            "properties": {
                "id": text,
                "status": status,
                "progress": {"type": "number", "minimum": 0, "maximum": 1},
                "jobs_ahead": {"type": "integer", "description": "Number of jobs that wait before this one."},
                "details": _ref("Details"),
                "bytes": {"type": "integer"},
                "problem": _ref("Problem"),
            },
        },
    }
