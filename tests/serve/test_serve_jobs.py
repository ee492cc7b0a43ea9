"""Jobs: the queue, progress, cancelling, idempotency keys, and memory limits."""

from __future__ import annotations

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from rlfn.errors import PictureError
from rlfn.serve import responses
from rlfn.serve.workers import LostWorkerError
from serving import get, metric_values, picture_bytes, post, size_of
from waiting import PATIENCE, until


def test_a_job_from_upload_to_result(serving: Any) -> None:
    client = serving()
    answer = client.post("/v1/jobs?scale=3", content=picture_bytes())
    assert answer.status_code == 202
    place = answer.headers["location"]
    assert place == f"/v1/jobs/{answer.json()['id']}"
    until(lambda: client.get(place).json()["status"] == "done")
    found = client.get(place).json()
    assert found["progress"] == 1
    assert found["details"]["output_size"] == [60, 48]
    assert client.head(f"{place}/result").headers["content-length"] == str(found["bytes"])
    result = client.get(f"{place}/result", headers={"Accept": "image/png"})
    assert len(result.content) == found["bytes"]
    assert size_of(result.content) == (60, 48)
    assert client.get(place).status_code == 404
    assert client.app.state.queue.result_bytes == 0


def test_ids_cannot_be_guessed(serving: Any) -> None:
    client = serving()
    ids = {client.post("/v1/jobs", content=picture_bytes()).json()["id"] for _ in range(3)}
    assert len(ids) == 3
    assert min(map(len, ids)) >= 24


def test_states_as_server_sent_events(serving: Any, gated_workers: Any) -> None:
    client = serving()
    place = client.post("/v1/jobs", content=picture_bytes(60, 60)).headers["location"]
    answer = client.get(place, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    states = [json.loads(lines[1].removeprefix("data: ")) for lines in blocks]
    assert [f"event: {state['status']}" for state in states] == [lines[0] for lines in blocks]
    assert states[-1]["status"] == "done"
    shares = [state["progress"] for state in states]
    assert shares == sorted(shares)


def test_a_failed_job_says_why(serving: Any) -> None:
    client = serving()
    place = client.post("/v1/jobs", content=b"nonsense").headers["location"]
    until(lambda: client.get(place).json()["status"] == "failed")
    found = client.get(place).json()["problem"]
    assert found["code"] == "invalid_picture"
    answer = client.get(f"{place}/result")
    assert answer.status_code == 422
    assert answer.json() == found


def test_waiting_and_cancelling(serving: Any, gated_workers: Any) -> None:
    client = serving()
    gated_workers.gate.clear()
    places = [client.post(f"/v1/jobs?width={30 + i}", content=picture_bytes()).headers["location"] for i in range(3)]
    states = [client.get(place).json() for place in places]
    assert [state["status"] for state in states] == ["running", "waiting", "waiting"]
    assert [state.get("jobs_ahead") for state in states] == [None, 0, 1]
    assert client.get(f"{places[1]}/result").status_code == 409
    assert client.delete(places[1]).status_code == 204
    assert client.get(places[1]).status_code == 404
    assert client.get(places[2]).json()["jobs_ahead"] == 0
    assert client.delete(places[0]).status_code == 204  # in the middle of its work
    until(lambda: client.get(places[2]).json()["status"] == "running")
    assert client.app.state.queue.upload_bytes == len(picture_bytes())
    gated_workers.gate.set()
    until(lambda: client.get(places[2]).json()["status"] == "done")
    assert metric_values(client.get("/metrics"))['rlfn_pictures_total{status="cancelled"}'] == 2


def test_a_full_queue_refuses_with_retry_after(serving: Any, gated_workers: Any) -> None:
    client = serving(queue=1)
    gated_workers.gate.clear()
    for width in (30, 31):
        assert client.post(f"/v1/jobs?width={width}", content=picture_bytes()).status_code == 202
    answer = client.post("/v1/upscale?width=32", content=picture_bytes())
    assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
    assert answer.json()["detail"].startswith("1 job is already waiting. Try again in ")
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert client.get("/healthz").json() == {"status": "ok", "waiting": 1, "running": 1}


def test_upload_memory_is_limited(serving: Any, gated_workers: Any) -> None:
    data = picture_bytes()
    client = serving(max_body=len(data), memory=2 * len(data) + 2)
    gated_workers.gate.clear()
    assert client.post("/v1/jobs", content=data).status_code == 202
    answer = client.post("/v1/jobs?width=31", content=data)
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert "retry-after" in answer.headers


def test_no_job_starts_while_too_many_results_wait(serving: Any, gated_workers: Any) -> None:
    data = picture_bytes(8, 8)
    client = serving(max_body=len(data), memory=2 * len(data), cache=0)
    first = client.post("/v1/jobs", content=data).headers["location"]
    until(lambda: client.get(first).json()["status"] == "done")
    assert client.get(first).json()["bytes"] > len(data)
    second = client.post("/v1/jobs?width=31", content=data).headers["location"]
    assert client.get(second).json()["status"] == "waiting"
    assert gated_workers.started == 1
    assert client.get(f"{first}/result").status_code == 200
    until(lambda: client.get(second).json()["status"] == "done")


def test_unfetched_results_expire(serving: Any) -> None:
    client = serving(keep=0.2)
    place = client.post("/v1/jobs", content=picture_bytes()).headers["location"]
    until(lambda: client.get(place).status_code == 404)
    assert client.app.state.queue.result_bytes == 0


def test_a_job_that_takes_too_long_is_cancelled(serving: Any, gated_workers: Any) -> None:
    client = serving(seconds=0.1)
    gated_workers.gate.clear()
    answer = client.post("/v1/upscale", content=picture_bytes())
    assert (answer.status_code, answer.json()["code"]) == (422, "processing_timeout")
    gated_workers.gate.set()
    assert client.post("/v1/upscale", content=picture_bytes()).status_code == 200


def test_the_same_idempotency_key_is_the_same_job(serving: Any, gated_workers: Any) -> None:
    client = serving()
    gated_workers.gate.clear()
    headers = {"Idempotency-Key": "once"}
    first, second = (client.post("/v1/jobs", content=picture_bytes(), headers=headers) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    other = client.post("/v1/jobs?width=31", content=picture_bytes(), headers=headers)
    assert other.status_code == 422
    assert "Take a new one" in other.json()["detail"]
    another = client.post("/v1/jobs?width=31", content=picture_bytes(), headers=headers | {"X-API-Key": "else"})
    assert another.status_code == 202
    assert client.delete(another.headers["location"]).status_code == 204
    wrong = client.post("/v1/jobs", content=picture_bytes(), headers={"Idempotency-Key": "with space"})
    assert wrong.status_code == 400
    gated_workers.gate.set()
    until(lambda: client.get(first.headers["location"]).json()["status"] == "done")
    assert gated_workers.done == 1


@pytest.mark.parametrize(
    ("error", "tries"),
    [(LostWorkerError("Send it again."), 2), (RuntimeError("a bug"), 2), (PictureError("Not a picture."), 1)],
)
def test_an_idempotency_key_tries_again_only_after_the_servers_own_failures(
    serving: Any, gated_workers: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    client = serving()
    worker = gated_workers.workers[0]
    works, calls = worker.run, 0

    async def fails_once(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        return await works(*given)

    monkeypatch.setattr(worker, "run", fails_once)

    def place() -> Any:
        headers = {"Idempotency-Key": "once"}
        return client.post("/v1/jobs", content=picture_bytes(), headers=headers).headers["location"]

    first = place()
    until(lambda: client.get(first).json()["status"] == "failed")
    second = place()
    until(lambda: client.get(second).json()["status"] in ("done", "failed"))
    assert client.get(second).json()["status"] == ("done" if tries == 2 else "failed")
    assert (second != first) == (tries == 2)
    assert place() == second
    assert calls == tries
    assert client.get(first).json()["status"] == "failed"  # the first attempt can still be looked up


def test_a_job_joins_a_waiting_request_and_outlives_it(listening: Any, gated_workers: Any) -> None:
    address, headers = listening(cache=0), {"Idempotency-Key": "once"}
    gated_workers.gate.clear()
    with ThreadPoolExecutor() as pool:
        waited = pool.submit(post, f"{address}/v1/upscale", content=picture_bytes(), headers=headers)
        until(lambda: get(f"{address}/healthz").json()["running"] == 1)
        place = "/v1/" + post(f"{address}/v1/jobs", content=picture_bytes(), headers=headers).headers["location"]
        gated_workers.gate.set()
        assert waited.result().status_code == 200
    assert get(f"{address}{place}").json()["status"] == "done"
    assert get(f"{address}{place}/result").content == waited.result().content


def test_a_client_that_disconnects_cancels_its_job(listening: Any, gated_workers: Any) -> None:
    address = listening(cache=0)
    gated_workers.gate.clear()
    with socket.create_connection(("127.0.0.1", httpx2.URL(address).port), PATIENCE) as client:
        body = picture_bytes()
        head = f"POST /v1/upscale HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        until(lambda: get(f"{address}/healthz").json()["running"] == 1)
    until(lambda: get(f"{address}/healthz").json()["running"] == 0)
    found = metric_values(get(f"{address}/metrics"))
    assert found['rlfn_pictures_total{status="cancelled"}'] == 1
    assert found["rlfn_upload_bytes"] == 0


def test_an_interrupted_result_can_be_fetched_again(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "_CHUNK", 20)
    client = serving()
    place = client.post("/v1/jobs", content=picture_bytes()).headers["location"]
    until(lambda: client.get(place).json()["status"] == "done")
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"{place}/result",
        "raw_path": b"",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "http_version": "1.1",
        "headers": [(b"host", b"127.0.0.1")],
    }
    sent: list[Any] = []

    async def ask() -> None:
        left = asyncio.Event()
        messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            for message in messages:
                return message
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:  # as servers do: to nobody, without an error
            sent.append(message)
            if len(sent) == 3:
                left.set()

        await client.app(scope, receive, send)

    client.portal.call(ask)
    assert len(sent) < 10
    assert sent[-1]["more_body"]
    whole = client.get(f"{place}/result")
    assert len(whole.content) > 20 * len(sent)
    assert client.get(place).status_code == 404


def test_cached_results_that_wait_are_counted(serving: Any) -> None:
    data = picture_bytes(8, 8)
    client = serving(max_body=len(data), memory=2 * len(data), cache=1 << 20)
    queue = client.app.state.queue
    first = client.post("/v1/upscale", content=data)
    assert (first.status_code, queue.result_bytes) == (200, 0)
    places = [client.post("/v1/jobs", content=data).headers["location"] for _ in range(3)]
    assert [client.get(place).json()["status"] for place in places] == ["done"] * 3
    assert queue.result_bytes == len(first.content)  # one result, however many wait for it
    assert queue.result_bytes >= queue.settings.memory // 2
    assert client.post("/v1/upscale", content=data).content == first.content  # what is sent at once needs no room
    other = picture_bytes(8, 7)
    assert client.post("/v1/jobs", content=other).status_code == 202
    for place in places:
        assert client.get(f"{place}/result").content == first.content
    until(lambda: queue.result_bytes != len(first.content))
