"""Refused requests: the status, the code and the message."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlfn.api.pictures import upscale
from rlfn.errors import OptionError
from rlfn.serve.fields import FIELDS, as_field
from rlfn.serve.job_queue import JobQueue
from rlfn.serve.problems import Problem
from rlfn.serve.settings import ServeSettings
from rlfn.serve.uploads import _chunks
from serving import get, picture_bytes, post
from waiting import until

KEY = "0123456789abcdef0123"


def refused(answer: Any, status: int, code: str) -> str:
    """Check an answer that is a problem; return its sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert (found["status"], found["code"]) == (status, code)
    detail: str = found["detail"]
    assert detail.endswith((".", "?", "hex 24"))
    return detail


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("scale=x", "The field 'scale' was given as 'x'. Allowed: a number, such as 2 or 2.5."),
        ("scale=9", "No packaged model upscales x9."),
        ("scale=nan", "A scale of nan was asked for."),
        ("scale=2&width=3", "Give either 'scale', or 'width' and 'height'."),
        ("scale=2&scale=3", "The field 'scale' was given twice."),
        ("width=0", "A width of 0 px was asked for."),
        ("scal=2", "There is no field 'scal'."),
        ("scal=2", "Did you mean 'scale'?"),
        ("model=rlfn-m", "There is no packaged model or family 'rlfn-m'."),
        ("model=/etc/passwd", "There is no packaged model or family '/etc/passwd'."),
        ("model=../mine.onnx", "There is no packaged model or family '../mine.onnx'."),
        ("model=http://127.0.0.1/a.onnx", "There is no packaged model or family"),
        ("precision=fp8", "There is no precision 'fp8'."),
        ("restore=2", "'restore' was given as '2'. Allowed: auto, off, or a number from 0 (off) to 1 (full)."),
        ("wrap=perhaps", "The field 'wrap' was given as 'perhaps'. Allowed: true or false."),
        ("quality=0", "Quality 0 is out of range. Allowed: 1 to 100."),
        ("format=gif", "There is no output format 'gif'."),
        ("width=1_0", "The field 'width' was given as '1_0'. Allowed: a whole number of pixels."),
        ("scale=1_0", "The field 'scale' was given as '1_0'. Allowed: a number"),
        ("restore=0_1", "The field 'restore' was given as '0_1'. Allowed: auto, off, or a number from 0"),
        ("tile=64", "There is no field 'tile'."),
        ("picture=/etc/passwd", "'picture' is not for the query."),
    ],
)
def test_invalid_fields(serving: Any, query: str, sentence: str) -> None:
    answer = serving().post(f"/v1/upscale?{query}", content=picture_bytes())
    assert sentence in refused(answer, 422, "invalid_option")


@pytest.mark.parametrize("name", [*FIELDS, "x" * 900])
def test_long_values_are_cut_in_messages(serving: Any, name: str) -> None:
    answer = serving().post(f"/v1/upscale?{name}={'9' * 5000}", content=picture_bytes())
    message = refused(answer, 422, "invalid_option")
    assert "9" * 61 not in message
    assert "x" * 61 not in message


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"no picture", "not a picture that rlfn knows"),
        (picture_bytes(300, 300)[:-4000], "a PNG file that is damaged or cut short"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    ],
)
def test_pictures_that_cannot_be_read(serving: Any, data: bytes, sentence: str) -> None:
    assert sentence in refused(serving().post("/v1/upscale", content=data), 422, "invalid_picture")


def test_a_request_without_a_picture(serving: Any) -> None:
    client = serving()
    assert "no picture in the request" in refused(client.post("/v1/upscale"), 400, "bad_request")
    only_fields = client.post("/v1/upscale", files={"scale": (None, "2")})
    assert "Send it as the body, or as 'picture'" in refused(only_fields, 400, "bad_request")
    misnamed = client.post("/v1/upscale", files={"file": ("a.png", picture_bytes())})
    assert "Send the picture as 'picture'" in refused(misnamed, 422, "invalid_option")
    for text in ("photo.jpg", picture_bytes(60, 60) + bytes(2000)):  # without a file name
        answer = client.post("/v1/upscale", files={"picture": (None, text)})
        told = "The form's 'picture' is text: it has no file name. Send a file, as curl -F picture=@photo.jpg does."
        assert refused(answer, 400, "bad_request") == told
    long = client.post("/v1/upscale", files={"model": (None, "x" * 1025)})
    assert "The field 'model' has more than 1,024 bytes" in refused(long, 400, "bad_request")
    similar = client.post("/v1/upscale?pictur=x", content=picture_bytes())
    assert "Allowed: scale, " in refused(similar, 422, "invalid_option")
    two = client.post("/v1/upscale", files=[("picture", ("a.png", b"1")), ("picture", ("b.png", b"2"))])
    assert "Too many files" in refused(two, 400, "bad_request")


def test_an_invalid_form(serving: Any) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    refused(serving().post("/v1/upscale", content=b"x", headers=headers), 400, "bad_request")


def test_an_unsupported_media_type(serving: Any) -> None:
    answer = serving().post("/v1/upscale", json={"url": "http://127.0.0.1/a.png"})
    assert "application/json" in refused(answer, 415, "unsupported_media_type")


def test_too_many_bytes(serving: Any) -> None:
    client = serving(max_body=1000)
    assert "limit of 0.001 MB" in refused(client.post("/v1/upscale", content=bytes(1001)), 413, "too_large")

    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield bytes(500)

    refused(client.post("/v1/upscale", content=pieces()), 413, "too_large")
    assert client.app.state.queue.upload_bytes == 0


def test_too_many_pixels_in_or_out(serving: Any) -> None:
    client = serving(max_pixels=400, max_result_pixels=5000)
    message = refused(client.post("/v1/upscale", content=picture_bytes(21, 20)), 413, "too_large")
    assert message.startswith("The picture has 21 x 20 = 420 pixels; this server allows at most 400.")
    message = refused(client.post("/v1/upscale", content=picture_bytes(20, 20)), 413, "too_large")
    assert message.startswith("The result would have 80 x 80 = 6,400 pixels; this server allows at most 5,000.")


def test_unknown_paths_and_methods(serving: Any) -> None:
    client = serving()
    refused(client.get("/v1/nothing"), 404, "not_found")
    refused(client.get("/page/../settings.py"), 404, "not_found")
    refused(client.get("/page/%2e%2e/settings.py"), 404, "not_found")
    assert "Allowed: POST" in refused(client.get("/v1/upscale"), 405, "method_not_allowed")
    message = refused(client.put("/v1/jobs/some"), 405, "method_not_allowed")
    assert all(method in message for method in ("GET", "HEAD", "DELETE"))
    refused(client.get("/v1/jobs/unknown"), 404, "not_found")


def test_api_keys(serving: Any) -> None:
    client = serving(keys=(KEY, "f" * 20))
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}, {"X-API-Key": b"\xfc"}):
        answer = client.post("/v1/upscale", content=picture_bytes(), headers=headers)
        assert "An API key is required" in refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    refused(client.get("/metrics"), 401, "unauthorized")
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": "f" * 20}):
        assert client.post("/v1/upscale", content=picture_bytes(), headers=headers).status_code == 200
    for path in ("/", "/page/style.css", "/healthz", "/v1/openapi.json"):
        assert client.get(path).status_code == 200


def test_the_app_needs_no_key(serving: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>the app</p>")
    client = serving(keys=(KEY,), app=tmp_path)
    answer = client.get("/app", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/app/")
    assert client.get("/app").text == "<p>the app</p>"
    refused(serving(keys=(KEY,)).get("/app"), 404, "not_found")


def test_pages_of_other_sites(serving: Any) -> None:
    foreign = {"Origin": "https://other.example", "Sec-Fetch-Site": "cross-site"}
    client = serving()
    refused(client.post("/v1/upscale", content=picture_bytes(), headers=foreign), 403, "forbidden")
    answer = client.get("/v1/models", headers=foreign)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"

    client = serving(origins=("https://other.example",))
    answer = client.post("/v1/upscale", content=picture_bytes(), headers=foreign)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://other.example"
    assert "Rlfn-Details" in answer.headers["access-control-expose-headers"]
    another = {"Origin": "https://third.example", "Sec-Fetch-Site": "cross-site"}
    refused(client.post("/v1/upscale", content=picture_bytes(), headers=another), 403, "forbidden")


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://other.example", "192.0.2.1:8000", 403),
        ("null", "192.0.2.1:8000", 403),
        ("http://192.0.2.1:8000", "192.0.2.1:8000", 200),
        ("http://pictures.example:8080", "Pictures.Example", 200),
        ("http://[::1]:8000", "[::1]:8000", 200),
        ("http://partner.example", "192.0.2.1:8000", 200),
    ],
)
def test_pages_of_other_sites_over_plain_http(serving: Any, origin: str, host: str, status: int) -> None:
    client = serving(origins=("http://partner.example",))
    headers = {"Origin": origin, "Host": host}  # browsers send no Sec-Fetch-Site there
    assert client.post("/v1/upscale", content=picture_bytes(), headers=headers).status_code == status


def test_host_names(serving: Any) -> None:
    client = serving(hosts=("127.0.0.1", "::1", "pictures.example"))
    for host in ("127.0.0.1:8000", "[::1]:8000", "Pictures.Example"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "", "127.0.0.1.evil.example"):
        refused(client.get("/healthz", headers={"Host": host}), 403, "forbidden")


def test_security_headers(serving: Any) -> None:
    client = serving()
    for answer in (client.get("/"), client.get("/page/page.js"), client.get("/v1/models"), client.get("/none")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
    assert client.get("/v1/models").headers["cache-control"] == "no-store"


def test_the_app_is_isolated_so_that_it_may_use_threads(serving: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>the app</p>")
    client = serving(app=tmp_path)
    answer = client.get("/app/")
    assert answer.text == "<p>the app</p>"
    assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
    assert "'wasm-unsafe-eval'" in answer.headers["content-security-policy"]
    assert client.get("/v1/models").json()["app"]
    refused(serving().get("/app/"), 404, "not_found")


def test_settings_are_worded_as_fields_or_flags() -> None:
    assert as_field("width", None) == "'width'"
    assert as_field("precision", "fp32") == "precision=fp32"
    assert as_field("max_pixels", None) == "the server's --max-pixels"


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"queue": 0},
        {"seconds": 0},
        {"seconds": float("nan")},
        {"cache": -1},
        {"memory": 100, "max_body": 100},
        {"keys": ("short",)},
        {"origins": ("example.org",)},
        {"origins": ("https://example.org/",)},
    ],
)
def test_invalid_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        ServeSettings(**wrong)


def test_fields_and_settings_cover_the_python_options() -> None:
    operators = {row.name for row in dataclasses.fields(ServeSettings)}
    options = {*inspect.signature(upscale).parameters} - {"picture", "output", "progress"}
    assert set(FIELDS) == options - operators
    assert options & operators == {"engine", "threads", "tile", "max_pixels", "device"}


def test_invalid_requests_are_not_logged(listening: Any, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert post(f"{listening()}/v1/upscale", content=picture_bytes(), headers=headers).status_code == 400
    websocket = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    assert get(f"{listening()}/", headers=websocket).status_code == 200
    assert not [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_an_upload_that_still_receives_data_is_refused_when_the_server_shuts_down() -> None:
    queue = JobQueue(ServeSettings(), [])
    received = []

    class Upload:
        async def stream(self) -> AsyncIterator[bytes]:
            while True:
                yield b"chunk"

    async def receive() -> None:
        async for chunk in _chunks(Upload(), queue):  # type: ignore[arg-type]
            received.append(chunk)
            assert len(received) == 1, "the upload goes on"
            queue.draining = True

    with pytest.raises(Problem, match="shutting down") as caught:
        asyncio.run(receive())
    assert caught.value.status == 503
    assert caught.value.headers["Connection"] == "close"
    assert not queue.upload_timers


def test_results_of_failed_jobs_are_documented_problems(serving: Any, gated_workers: Any) -> None:
    client = serving(max_pixels=400)
    job = client.post("/v1/jobs", content=picture_bytes(21, 20)).json()["id"]
    until(lambda: client.get(f"/v1/jobs/{job}").json()["status"] == "failed")
    refused(client.get(f"/v1/jobs/{job}/result"), 413, "too_large")
    gated_workers.gate.clear()
    job = client.post("/v1/jobs", content=picture_bytes(20, 20)).json()["id"]
    client.portal.call(client.app.state.queue.stop)
    refused(client.get(f"/v1/jobs/{job}/result"), 503, "shutting_down")
    health = client.get("/healthz")
    assert (health.status_code, health.json()) == (503, {"status": "shutting_down"})
    assert health.headers["content-type"] == "application/json"
