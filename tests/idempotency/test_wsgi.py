"""Flask behind a threaded WSGI server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from idempotency.service import ANY_BYTES, Gates, answer_to, kind, post
from idempotency.stores import Opened
from sagalang.idempotency import WsgiIdempotencyMiddleware, fence, fence_sync, key, one_caller

flask = pytest.importorskip("flask")
serving = pytest.importorskip("werkzeug.serving")


def application(opened: Opened, gates: Gates, **options: Any) -> Any:
    app = flask.Flask("payments")

    @app.post("/charges")
    @app.post("/wallets/<wallet>/charges")
    def charge(wallet: str = "") -> Any:
        order = flask.request.get_json()
        gates.runs.append(str(key()))
        opened.write_sync(f"charge {key()}")
        how = order.get("how", "")
        if how == "hold":
            gates.pass_through_sync()
        elif how == "slow":
            time.sleep(0.05)
        elif how == "crash":
            raise RuntimeError("a bug")
        elif how == "stream":
            return flask.Response((part for part in ("a", "b", "c")), 201)
        elif how == "long":
            return flask.Response(("x" * 100 for _ in range(1_000)), 201)
        elif how == "binary":
            return flask.Response(ANY_BYTES, 201, {"Set-Cookie": "a=b"})
        elif how:
            status, headers, body = answer_to(how)
            return flask.jsonify(body), status, headers
        return {"payment": f"pay-{len(gates.runs)}"}, 201, {"X-Kind": "plain"}

    @app.post("/charges/<path:of>/refund")
    def refund(of: str) -> Any:
        before = fence_sync(of, of="POST /charges")
        opened.write_sync(f"refund {of}")
        status = int(flask.request.args.get("how", 200))
        return {"before": before.value if before else None}, status

    @app.post("/stream")
    def stream() -> Any:
        return flask.Response("x" * 100 for _ in range(1_000))

    @app.post("/async-refund/<of>")
    async def async_refund(of: str) -> Any:
        await fence(of, of="POST /charges")
        return {}

    @app.get("/charges")
    def look() -> Any:
        return {"charges": opened.effects()}

    middleware: Any = WsgiIdempotencyMiddleware(
        app.wsgi_app, store=opened.wsgi, **{"caller": one_caller, **options}
    )
    app.wsgi_app = middleware
    return app


@contextmanager
def calling(app: Any) -> Iterator[httpx.Client]:
    server = serving.make_server("127.0.0.1", 0, app, threaded=True)
    server.RequestHandlerClass.log = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        with httpx.Client(base_url=url, verify=False, trust_env=False) as client:
            yield client
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def client(opened: Opened, gates: Gates) -> Iterator[httpx.Client]:
    with calling(application(opened, gates)) as found:
        yield found


def test_a_repeat_is_answered_alike_and_takes_no_effect(
    client: httpx.Client, opened: Opened
) -> None:
    first, again = post(client, "k"), post(client, '"k"', traceparent="new")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["x-kind"] == "plain"
    assert again.headers["idempotent-replayed"] == "true"
    other = post(client, "k", {"amount": 6})
    assert (other.status_code, kind(other)) == (422, "key-reused")
    assert client.get("/charges").json() == {"charges": ["charge k"]}
    assert client.post("/charges", json={}).status_code == 201


def test_the_route_is_the_rule_of_flask(opened: Opened, gates: Gates) -> None:
    required = {"POST /wallets/<wallet>/charges", "POST /nowhere"}
    with calling(application(opened, gates, required=required)) as client:
        assert kind(client.post("/wallets/7/charges", json={})) == "key-missing"
        assert kind(client.post("/nowhere")) == "key-missing"
        assert client.post("/elsewhere").status_code == 404


def test_two_keys_are_refused(client: httpx.Client) -> None:
    given = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    refused = client.post("/charges", json={}, headers=given)
    assert (refused.status_code, kind(refused)) == (400, "key-malformed")


def test_of_many_threads_with_one_key_one_runs(client: httpx.Client, opened: Opened) -> None:
    def insist(_: int) -> tuple[int, bytes]:
        while (answer := post(client, "k", {"how": "decline"})).headers.get("retry-after"):
            time.sleep(0.02)
        return answer.status_code, answer.content

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(insist, range(40)))) == 1
    assert len(opened.effects()) == (0 if opened.transactional else 1)


@pytest.mark.parametrize("how", ["binary", "stream"])
def test_binary_and_streamed_answers_come_back(client: httpx.Client, how: str) -> None:
    first, again = (post(client, "k", {"how": how}) for _ in range(2))
    assert first.content == again.content == (ANY_BYTES if how == "binary" else b"abc")
    assert "set-cookie" not in again.headers


@pytest.mark.parametrize("how", ["throttle", "fail", "crash"])
def test_what_failed_is_undone_or_else_kept(
    client: httpx.Client, opened: Opened, gates: Gates, how: str
) -> None:
    for _ in range(2):
        assert post(client, "k", {"how": how}).status_code in (429, 500)
    again = opened.transactional or how == "throttle"
    assert len(gates.runs) == (2 if again else 1)
    if opened.transactional:
        assert opened.effects() == []


def test_an_exception_that_the_framework_lets_through(opened: Opened, gates: Gates) -> None:
    app = application(opened, gates)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with calling(app) as client:
        for _ in range(2):
            assert post(client, "k", {"how": "crash"}).status_code == 500
    assert len(gates.runs) == (2 if opened.transactional else 1)
    assert opened.effects() == ([] if opened.transactional else ["charge k"])


def test_fences(client: httpx.Client, opened: Opened) -> None:
    post(client, "k")
    assert client.post("/charges/k/refund").json() == {"before": "done"}
    assert client.post("/charges/late/refund").json() == {"before": None}
    assert kind(post(client, "k")) == "fenced"
    assert kind(post(client, "late")) == "fenced"
    refused = client.post("/charges/other/refund?how=409")
    assert refused.status_code == 409
    assert (post(client, "other").status_code == 201) == opened.transactional


def test_async_views_put_up_fences(client: httpx.Client) -> None:
    pytest.importorskip("asgiref")
    assert client.post("/async-refund/k").status_code == 200
    assert kind(post(client, "k")) == "fenced"


def test_a_fence_put_up_while_the_original_runs(
    client: httpx.Client, opened: Opened, gates: Gates
) -> None:
    if opened.transactional:
        pytest.skip("in a transaction they come one after the other")
    with ThreadPoolExecutor() as pool:
        original = pool.submit(post, client, "k", {"how": "hold"})
        assert gates.entered.wait(5)
        assert client.post("/charges/k/refund").json() == {"before": "in_progress"}
        gates.go.set()
        assert kind(original.result()) == "fenced"


def test_a_long_run_keeps_its_lease(opened: Opened, gates: Gates) -> None:
    if opened.transactional:
        pytest.skip("a transaction has no lease")
    app = application(opened, gates, lease=0.15)
    with calling(app) as client, ThreadPoolExecutor() as pool:
        first = pool.submit(post, client, "k", {"how": "hold"})
        assert gates.entered.wait(5)
        time.sleep(0.5)
        assert kind(post(client, "k", {"how": "hold"})) == "in-progress"
        gates.go.set()
        assert first.result().status_code == 201


def test_sizes_are_bounded(opened: Opened, gates: Gates) -> None:
    with calling(application(opened, gates, max_body=500, max_answer=1_000)) as client:
        assert kind(post(client, "b", {"text": "x" * 500})) == "body-too-large"
        long = post(client, "a", {"how": "long"})
        assert (long.status_code, kind(long)) == (500, "answer-too-large")
        assert len(client.post("/stream").content) == 100_000
    assert opened.effects() == ([] if opened.transactional else ["charge a"])


def test_a_chunked_body_is_read_whole(client: httpx.Client) -> None:
    def sent(text: str) -> httpx.Response:
        headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
        parts = iter([text[:4].encode(), text[4:].encode()])
        return client.post("/charges", content=parts, headers=headers)

    assert sent(json.dumps({"amount": 1})).status_code == 201
    assert kind(sent(json.dumps({"amount": 2}))) == "key-reused"


def test_an_async_store_is_not_for_wsgi(opened: Opened) -> None:
    class AsyncOnly:
        async def read(self, *_: Any) -> None: ...

        async def swap(self, *_: Any) -> bool:
            return True

    with pytest.raises(TypeError, match="AsyncOnly is for ASGI"):
        WsgiIdempotencyMiddleware(flask.Flask("a"), store=AsyncOnly(), caller=one_caller)  # type: ignore[arg-type]
