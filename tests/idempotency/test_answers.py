"""What the middleware answers: the cases of the IETF draft, and what is kept of an answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from idempotency.service import ANY_BYTES, CHARGE, Gates, calling, kind, post, starlette
from idempotency.stores import Backend, Opened
from sagalang.idempotency import by_header


def test_a_repeat_is_answered_alike_and_takes_no_effect(
    client: httpx.Client, opened: Opened
) -> None:
    first, again = post(client, "k"), post(client, "k")
    assert (first.status_code, first.json()) == (201, {"payment": "pay-1"})
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["x-kind"] == "plain"
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert opened.effects() == ["charge k"]


def test_another_body_under_the_same_key_is_refused(client: httpx.Client, opened: Opened) -> None:
    post(client, "k", {"amount": 5})
    other = post(client, "k", {"amount": 6})
    assert (other.status_code, kind(other)) == (422, "key-reused")
    assert other.json()["title"] == "Idempotency-Key is already used"
    assert opened.effects() == ["charge k"]


def test_the_same_key_at_another_endpoint_is_another_request(
    client: httpx.Client, opened: Opened
) -> None:
    assert post(client, "k").status_code == 201
    assert post(client, "k", path="/other-charges").status_code == 201
    assert client.put("/charges", json={}, headers={"Idempotency-Key": "k"}).status_code == 201
    assert len(opened.effects()) == 3


def test_new_headers_are_no_new_request(client: httpx.Client) -> None:
    post(client, "k", traceparent="00-1-1-01", User_Agent="a")
    again = post(client, "k", traceparent="00-2-2-01", User_Agent="b")
    assert again.headers["idempotent-replayed"] == "true"


def test_a_request_in_progress_is_refused_and_may_be_repeated(
    backend: Backend, gates: Gates, tmp_path: Path
) -> None:
    with backend.open(tmp_path, 0.1) as impatient:
        app = starlette(impatient, gates, retry_after=3)
        with calling(app) as client, ThreadPoolExecutor() as pool:
            first = pool.submit(post, client, "k", {"how": "hold"})
            assert gates.entered.wait(5)
            second = post(client, "k", {"how": "hold"})
            assert (second.status_code, kind(second)) == (409, "in-progress")
            assert second.headers["retry-after"] == "3"
            gates.go.set()
            answer = first.result()
            third = post(client, "k", {"how": "hold"})
            assert third.content == answer.content
            assert third.headers["idempotent-replayed"] == "true"
        assert impatient.effects() == ["charge k"]


def test_a_missing_key_is_refused_where_one_is_required(opened: Opened) -> None:
    app = starlette(opened, required={CHARGE})
    with calling(app) as client:
        missing = post(client)
        assert (missing.status_code, kind(missing)) == (400, "key-missing")
        assert missing.json()["title"] == "Idempotency-Key is missing"
        assert kind(post(client, '""')) == "key-missing"
        assert post(client, path="/other-charges").status_code == 201
    assert opened.effects() == ["charge None"]


@pytest.mark.parametrize(
    "keys",
    [["a", "b"], ["a, b"], ["k" * 256], [b"k\x7f"], ["ü".encode()]],
    ids=["two headers", "two in one", "too long", "control", "not ASCII"],
)
def test_a_malformed_key_is_refused(client: httpx.Client, keys: list[str | bytes]) -> None:
    given = [(b"Idempotency-Key", k.encode() if isinstance(k, str) else k) for k in keys]
    refused = client.post("/charges", json={}, headers=given)
    assert (refused.status_code, kind(refused)) == (400, "key-malformed")


def test_a_quoted_key_is_the_same_as_a_bare_one(client: httpx.Client, opened: Opened) -> None:
    post(client, 'a"b')
    assert post(client, '"a\\"b"').headers["idempotent-replayed"] == "true"
    assert post(client, '"x, y"').status_code == 201
    assert opened.effects() == ['charge a"b', "charge x, y"]


@pytest.mark.parametrize("how", ["decline", "redirect"])
def test_refusals_and_redirects_are_recorded(
    client: httpx.Client, opened: Opened, how: str
) -> None:
    first, again = post(client, "k", {"how": how}), post(client, "k", {"how": how})
    assert again.content == first.content
    assert again.status_code == first.status_code
    assert again.headers.get("location") == first.headers.get("location")
    assert again.headers["idempotent-replayed"] == "true"
    undone = how == "decline" and opened.transactional
    assert opened.effects() == ([] if undone else ["charge k"])


@pytest.mark.parametrize("how", ["throttle", "unavailable"])
def test_come_back_later_means_that_nothing_happened(
    client: httpx.Client, gates: Gates, opened: Opened, how: str
) -> None:
    for _ in range(2):
        answer = post(client, "k", {"how": how})
        assert answer.status_code in (429, 503)
        assert "idempotent-replayed" not in answer.headers
    assert len(gates.runs) == 2
    assert post(client, "k", {"amount": 1}).status_code == 201  # even the body may change
    if opened.transactional:
        assert opened.effects() == ["charge k"]


@pytest.mark.parametrize("how", ["fail", "gateway", "timeout", "crash"])
def test_a_doubtful_answer_is_undone_or_else_kept(
    client: httpx.Client, gates: Gates, opened: Opened, how: str
) -> None:
    first, again = post(client, "k", {"how": how}), post(client, "k", {"how": how})
    assert first.status_code == again.status_code
    if opened.transactional:
        assert len(gates.runs) == 2
        assert opened.effects() == []
        assert "idempotent-replayed" not in again.headers
    else:
        assert opened.effects() == ["charge k"]
        assert again.headers["idempotent-replayed"] == "true"
        assert how != "crash" or kind(again) == "outcome-unknown"


@pytest.mark.parametrize("how", ["fail", "crash"])
def test_what_may_rerun_runs_again_after_a_failure(opened: Opened, gates: Gates, how: str) -> None:
    with calling(starlette(opened, gates, rerun={CHARGE})) as client:
        for _ in range(2):
            assert post(client, "k", {"how": how}).status_code == 500
        assert len(gates.runs) == 2
        assert post(client, "k", {}).status_code == 201


def test_binary_and_streamed_answers_come_back_byte_for_byte(client: httpx.Client) -> None:
    first, again = (post(client, "b", {"how": "binary"}) for _ in range(2))
    assert first.content == again.content == ANY_BYTES
    assert first.headers["set-cookie"] == "a=b"
    assert "set-cookie" not in again.headers
    assert again.headers["content-type"] == "application/octet-stream"
    first, again = (post(client, "s", {"how": "stream"}) for _ in range(2))
    assert first.content == again.content == b"part 0;part 1;part 2;"
    assert again.headers["idempotent-replayed"] == "true"


def test_an_answer_too_large_to_keep_is_undone_or_else_in_doubt(
    opened: Opened, gates: Gates
) -> None:
    with calling(starlette(opened, gates, max_answer=1_000)) as client:
        for _ in range(2):
            refused = post(client, "k", {"how": "long"})
            assert (refused.status_code, kind(refused)) == (500, "answer-too-large")
    assert opened.effects() == ([] if opened.transactional else ["charge k"])


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large_is_refused(opened: Opened, gates: Gates, chunked: bool) -> None:
    with calling(starlette(opened, gates, max_body=1_000)) as client:
        body = b'{"amount": 1}' + b" " * 1_000
        content = iter([body[:500], body[500:]]) if chunked else body
        refused = client.post("/charges", content=content, headers={"Idempotency-Key": "k"})
        assert (refused.status_code, kind(refused)) == (413, "body-too-large")
        assert post(client, "k").status_code == 201
    assert len(gates.runs) == 1


def test_keys_of_different_callers_have_nothing_to_do_with_each_other(opened: Opened) -> None:
    with calling(starlette(opened, caller=by_header("Authorization"))) as client:
        mine = post(client, "k", {"amount": 1}, Authorization="Bearer mine")
        yours = post(client, "k", {"amount": 2}, Authorization="Bearer yours")
        again = post(client, "k", {"amount": 2}, Authorization="Bearer yours")
    assert mine.json() != yours.json()
    assert again.json() == yours.json()


def test_a_record_is_forgotten_after_its_time(opened: Opened) -> None:
    late = 0

    def clock() -> int:
        return time.time_ns() // 1_000_000 + late

    with calling(starlette(opened, ttl=60, clock=clock)) as client:
        post(client, "k")
        late = 59_000
        assert post(client, "k").headers["idempotent-replayed"] == "true"
        late = 61_000
        assert "idempotent-replayed" not in post(client, "k").headers
    assert opened.effects() == ["charge k", "charge k"]


@pytest.mark.parametrize("path", ["/nowhere%00", "/nowhere%ff"])
def test_a_path_that_no_store_could_keep_is_answered_as_any_other(
    client: httpx.Client, path: str
) -> None:
    assert post(client, "k", path=path).status_code == 404
    assert post(client, "k", path=path).status_code == 404
