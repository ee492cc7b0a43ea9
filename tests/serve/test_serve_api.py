"""Pictures over HTTP: what goes in, what comes out, and what is said about it."""

from __future__ import annotations

import email
import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from rlfn.api.pictures import upscale_with_details
from rlfn.images.files import FORMATS, WRITABLE, Metadata, read_picture
from rlfn.serve.media import accepted_format, writable_formats
from serving import PrefixProxy, metric_values, picture_bytes, size_of
from waiting import PATIENCE, until


def details(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.headers["rlfn-details"])
    return found


def test_a_picture_as_the_body_comes_back_as_the_api_makes_it(serving: Any) -> None:
    data = picture_bytes()
    answer = serving().post("/v1/upscale?scale=2.5", content=data)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    expected = upscale_with_details(data, scale=2.5)
    assert np.array_equal(read_picture(answer.content).pixels, read_picture(expected.picture).pixels)
    facts = details(answer)
    assert facts["input_size"] == [20, 16]
    assert tuple(facts["output_size"]) == expected.output_size == (50, 40)
    assert not facts["cached"]


def test_a_form_takes_the_same_fields(serving: Any) -> None:
    fields = {"width": "30", "format": "webp", "quality": "80", "restore": "off", "wrap": "true", "height": ""}
    answer = serving().post("/v1/upscale", files={"picture": ("a.png", picture_bytes())}, data=fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    assert size_of(answer.content) == (30, 24)
    assert details(answer)["restore_reason"] == "as asked"


@pytest.mark.parametrize("format", WRITABLE)
def test_accept_chooses_the_format(serving: Any, format: str) -> None:
    if format == "jxl":
        pytest.importorskip("pyjpegxl")
    kind = FORMATS[format].media_type
    answer = serving().post("/v1/upscale", content=picture_bytes(), headers={"Accept": f"image/gif, {kind};q=0.5"})
    assert answer.headers["content-type"] == kind
    assert read_picture(answer.content).format == format


def test_the_pictures_own_format_is_the_default(serving: Any) -> None:
    client = serving()
    for format in ("jpg", "tiff"):
        answer = client.post("/v1/upscale?restore=off", content=picture_bytes(format=format))
        assert answer.headers["content-type"] == FORMATS[format].media_type


def test_an_accept_without_a_format_that_can_be_written_is_refused(serving: Any) -> None:
    answer = serving().post("/v1/upscale", content=picture_bytes(), headers={"Accept": "image/x-icon"})
    assert answer.status_code == 406
    assert "image/webp" in answer.json()["detail"]


def test_metadata_is_kept_and_losses_are_reported(serving: Any) -> None:
    data = picture_bytes(metadata=Metadata(resolution=(10.0, 10.0), iptc=b"\x1c\x02\x78\x00\x03abc"), format="jpg")
    answer = serving().post("/v1/upscale?restore=off", content=data, headers={"Accept": "image/webp"})
    assert read_picture(answer.content).metadata.resolution == pytest.approx((10.0, 10.0))
    expected = upscale_with_details(data, restore="off", format="webp").warnings
    assert expected
    assert details(answer)["warnings"] == list(expected)


def test_details_come_before_the_picture_where_that_is_asked_for(serving: Any) -> None:
    headers = {"Accept": "multipart/mixed, image/webp"}
    answer = serving().post("/v1/upscale?scale=2", content=picture_bytes(), headers=headers)
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    first, second = email.message_from_bytes(head + answer.content).get_payload()
    assert json.loads(first.get_payload())["output_size"] == [40, 32]
    assert second.get_content_type() == "image/webp"
    assert size_of(answer.content.partition(b"Content-Type: image/webp\r\n\r\n")[2]) == (40, 32)


def test_a_repeated_request_is_answered_from_the_cache(serving: Any, gated_workers: Any) -> None:
    client = serving()
    first, second, other = (client.post(f"/v1/upscale?scale={scale}", content=picture_bytes()) for scale in (2, 2, 3))
    assert first.content == second.content
    assert [details(one)["cached"] for one in (first, second, other)] == [False, True, False]
    assert gated_workers.done == 2
    found = metric_values(client.get("/metrics"))
    assert found['rlfn_pictures_total{status="cached"}'] == 1
    assert found['rlfn_pictures_total{status="done"}'] == 2
    assert found["rlfn_cache_bytes"] == len(first.content) + len(other.content)


def test_the_cache_can_be_disabled(serving: Any, gated_workers: Any) -> None:
    client = serving(cache=0)
    for _ in range(2):
        assert client.post("/v1/upscale?scale=2", content=picture_bytes()).status_code == 200
    assert gated_workers.done == 2


def test_nothing_is_held_after_a_result_was_sent(serving: Any) -> None:
    client = serving(cache=0)
    client.post("/v1/upscale", content=picture_bytes())
    queue = client.app.state.queue
    assert (queue.jobs, queue.upload_bytes, queue.result_bytes, list(queue.waiting)) == ({}, 0, 0, [])


def test_models_formats_and_limits_are_listed(serving: Any) -> None:
    found = serving(max_pixels=12345).get("/v1/models").json()
    assert {"rlfn-s", "rlfn-xs"} <= {row["name"] for row in found["families"]}
    assert [row["name"] for row in found["formats"]] == list(WRITABLE)
    assert found["limits"]["pixels"] == 12345
    assert all(row["about"].endswith(".") for row in found["families"])


def test_behind_a_proxy_that_removes_a_prefix(listening: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>the app</p>")
    with (
        PrefixProxy(listening(app=tmp_path)) as proxy,
        httpx2.Client(base_url=proxy.address, timeout=PATIENCE) as client,
    ):
        made = client.post("v1/jobs", content=picture_bytes())
        place = made.url.join(made.headers["location"])
        assert str(place) == f"{proxy.address}v1/jobs/{made.json()['id']}"
        until(lambda: client.get(place).json()["status"] == "done")
        assert size_of(client.get(f"{place}/result").content) == (80, 64)
        answer = client.get("app", follow_redirects=True)
        assert (str(answer.url), answer.text) == (f"{proxy.address}app/", "<p>the app</p>")
        openapi = client.get("v1/openapi.json")
        assert str(openapi.url.join(openapi.json()["servers"][0]["url"])) == proxy.address
        assert not proxy.strays


def test_the_openapi_document_is_valid_and_complete(serving: Any) -> None:
    validate = pytest.importorskip("openapi_spec_validator").validate
    client = serving(keys=("k" * 16,))
    found = client.get("/v1/openapi.json").json()
    validate(found)
    assert set(found["paths"]) == {route.path for route in client.app.routes} - {"/", "/page", "/v1/openapi.json"}
    fields = {row["name"] for row in found["paths"]["/v1/upscale"]["post"]["parameters"] if row["in"] == "query"}
    form = found["paths"]["/v1/upscale"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert fields | {"picture"} == set(form["properties"])


def test_media_types_come_from_the_table_of_formats() -> None:
    assert [accepted_format(FORMATS[name].media_type) for name in WRITABLE] == list(WRITABLE)
    assert [row["media_type"] for row in writable_formats()] == [FORMATS[name].media_type for name in WRITABLE]
    assert {row["name"] for row in writable_formats() if row["browsers"]} == {"jpg", "png", "webp", "avif"}


def test_formats_that_lack_a_package_are_not_offered(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.images.codecs.codec.find_spec", lambda name: None)
    assert "jxl" not in {row["name"] for row in writable_formats()}
    assert accepted_format("image/jxl, image/webp;q=0.5") == "webp"
    answer = serving().post("/v1/upscale?format=jxl", content=picture_bytes())
    assert answer.status_code == 422
    assert "pip install 'rlfn[jxl]'" in answer.json()["detail"]


def test_media_types_are_distinct() -> None:
    assert len({row.media_type for row in FORMATS.values()}) == len(FORMATS)
