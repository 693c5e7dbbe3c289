"""FastAPI and Starlette's own structures: routes, dependencies, background tasks, sync handlers."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from idempotency.service import calling, kind, post
from idempotency.stores import Opened
from sagalang.idempotency import (
    IdempotencyMiddleware,
    Request,
    SQLiteStore,
    begin,
    connection,
    fence,
    fence_sync,
    key,
    one_caller,
)

fastapi = pytest.importorskip("fastapi")
pydantic = pytest.importorskip("pydantic")


class Charge(pydantic.BaseModel):  # type: ignore[misc,name-defined]
    amount: int


def fast(opened: Opened, seen: list[str]) -> Any:
    def charge_sync(charge: Charge) -> dict[str, object]:
        opened.write_sync(f"charge {key()}")
        if charge.amount > 1000:
            raise fastapi.HTTPException(402, "declined")
        return {"payment": f"{key()} {charge.amount}"}

    async def charge_async(charge: Charge) -> dict[str, object]:
        await opened.write(f"charge {key()}")
        if charge.amount > 1000:
            raise fastapi.HTTPException(402, "declined")
        return {"payment": f"{key()} {charge.amount}"}

    def refund(of: str) -> None:
        fence_sync(of, of="POST /v1/charges/{wallet}")
        opened.write_sync(f"refund {of}")

    router = fastapi.APIRouter(prefix="/v1")
    router.post("/charges/{wallet}", status_code=201)(charge_async)
    router.post("/sync-charges/{wallet}", status_code=201)(charge_sync)
    router.post("/charges/{of}/refund", status_code=204)(refund)
    app = fastapi.FastAPI()
    app.include_router(router)

    def caller(request: Request) -> str:
        seen.append(request.operation)
        return ""

    app.add_middleware(IdempotencyMiddleware, store=opened.asgi, caller=caller)
    return app


@pytest.mark.parametrize("path", ["/v1/charges/7", "/v1/sync-charges/7"])
def test_fastapi(opened: Opened, path: str) -> None:
    seen: list[str] = []
    with calling(fast(opened, seen)) as client:
        first = post(client, "k", {"amount": 5}, path)
        assert (first.status_code, first.json()) == (201, {"payment": "k 5"})
        assert post(client, "k", {"amount": 5}, path).headers["idempotent-replayed"] == "true"
        assert kind(post(client, "k", {"amount": 6}, path)) == "key-reused"
        for _ in range(2):
            assert post(client, "big", {"amount": 5_000}, path).status_code == 402
            assert post(client, "bad", {"amount": "x"}, path).status_code == 422
        assert post(client, None, {"amount": 1}, path).status_code == 201
    assert set(seen) == {f"POST {path.replace('7', '{wallet}')}"}
    undone = [] if opened.transactional else ["charge big"]
    assert opened.effects() == ["charge k", *undone, "charge None"]


def test_a_fence_names_the_route_not_the_path(opened: Opened) -> None:
    with calling(fast(opened, [])) as client:
        assert client.post("/v1/charges/k/refund").status_code == 204
        assert kind(post(client, "k", {"amount": 5}, "/v1/charges/7")) == "fenced"


def starlette(opened: Opened, *routes: Any, **options: Any) -> Starlette:
    middleware = Middleware(IdempotencyMiddleware, store=opened.asgi, caller=one_caller, **options)
    return Starlette(routes=routes, middleware=[middleware])


def test_the_route_of_a_mounted_application(opened: Opened) -> None:
    async def pay(_: StarletteRequest) -> Response:
        return Response()

    app = starlette(
        opened,
        Mount("/shop", routes=[Route("/{id}/pay", pay, methods=["POST"])]),
        required={"POST /shop/{id}/pay", "POST /nowhere"},
    )
    with calling(app) as client:
        assert kind(client.post("/shop/1/pay")) == "key-missing"
        assert client.post("/shop/1/other").status_code == 404
        assert kind(client.post("/nowhere")) == "key-missing"


def test_work_after_the_answer_holds_no_transaction(opened: Opened) -> None:
    told: list[str] = []
    answered, over = threading.Event(), threading.Event()

    def later() -> None:
        assert answered.wait(20)
        try:
            opened.write_sync("too late")
        except RuntimeError as error:
            told.append(str(error))
        over.set()

    async def charge(_: StarletteRequest) -> Response:
        await opened.write("charge")
        return JSONResponse({}, background=BackgroundTask(later))

    with calling(starlette(opened, Route("/", charge, methods=["POST"]))) as client:
        for _ in range(2):
            assert client.post("/", headers={"Idempotency-Key": "k"}).status_code == 200
        assert opened.effects() == ["charge"]
        answered.set()
        assert over.wait(20)
    if opened.transactional:
        assert told
        assert "has ended" in told[0]


def test_reading_requests_pass_through(opened: Opened) -> None:
    async def look(_: StarletteRequest) -> Response:
        with pytest.raises(RuntimeError, match="no request here that may write"):
            connection()
        return PlainTextResponse("seen")

    with calling(starlette(opened, Route("/", look), required=lambda _: True)) as client:
        for _ in range(2):
            answer = client.get("/", headers={"Idempotency-Key": "k"})
            assert answer.text == "seen"
            assert "idempotent-replayed" not in answer.headers
        assert client.head("/").status_code == 200
        assert client.options("/").status_code == 405


def test_what_would_block_the_event_loop_is_told_apart(opened: Opened) -> None:
    async def unkeyed(_: StarletteRequest) -> Response:
        with pytest.raises(RuntimeError, match="would block the event loop"):
            fence_sync("k", of="POST /charges")
        if not opened.transactional:
            with pytest.raises(RuntimeError, match="has no transactions"):
                connection()
            return Response()
        with pytest.raises(RuntimeError, match="await begin"):
            connection()
        assert await begin() is connection()
        return Response()

    with calling(starlette(opened, Route("/", unkeyed, methods=["POST"]))) as client:
        assert client.post("/").status_code == 200


def test_fences_put_up_side_by_side(opened: Opened) -> None:
    async def both(_: StarletteRequest) -> Response:
        await asyncio.gather(*(fence(k, of="POST /") for k in ("a", "b")))
        return Response()

    with calling(starlette(opened, Route("/", both, methods=["POST"]))) as client:
        assert client.post("/").status_code == 200
        assert kind(client.post("/", headers={"Idempotency-Key": "b"})) == "fenced"


def test_an_answer_without_key_or_transaction_streams(opened: Opened) -> None:
    async def parts() -> Any:
        for _ in range(50):
            yield b"x" * 1_000

    async def stream(_: StarletteRequest) -> Response:
        return StreamingResponse(parts())

    app = starlette(opened, Route("/", stream, methods=["POST"]), max_answer=1_000)
    with calling(app) as client:
        assert len(client.post("/").content) == 50_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"required": {"/charges"}}, 'required: "/charges" names no operation'),
        ({"required": "POST /charges"}, "required takes a set"),
        ({"rerun": {"GET /charges"}}, "rerun"),
        ({"fenced_by": {"charges": len}}, "fenced_by"),
        ({"ttl": 0}, "ttl must be greater than 0"),
    ],
)
def test_options_that_could_never_work_are_refused(
    opened: Opened, options: dict[str, Any], message: str
) -> None:
    async def app(*_: Any) -> None: ...

    with pytest.raises(ValueError, match=message):
        IdempotencyMiddleware(app, store=opened.asgi, caller=one_caller, **options)


def test_a_fence_needs_the_name_of_an_operation(opened: Opened) -> None:
    async def undo(_: StarletteRequest) -> Response:
        with pytest.raises(ValueError, match="names no operation"):
            await fence("k", of="/charges")
        return Response()

    with calling(starlette(opened, Route("/", undo, methods=["POST"]))) as client:
        assert client.post("/").status_code == 200


def test_a_busy_store_says_that_nothing_was_done(opened: Opened, tmp_path: Any) -> None:
    if not opened.transactional:
        pytest.skip("a lease does not wait")
    if not isinstance(opened.wsgi, SQLiteStore):
        pytest.skip("SQLite's lock is the whole file's")
    holder = opened.wsgi.begin()
    impatient = SQLiteStore(tmp_path / "service.db", patience=0.1)

    async def undo(_: StarletteRequest) -> Response:
        await fence("k", of="POST /")
        return Response()

    def undo_sync(_: StarletteRequest) -> Response:
        fence_sync("k", of="POST /")
        return Response()

    store = Opened(impatient, impatient, True, opened.write, opened.write_sync, opened.effects)
    routes = [Route("/", undo, methods=["POST"]), Route("/sync", undo_sync, methods=["POST"])]
    with calling(starlette(store, *routes)) as client:
        for path in ("/", "/sync"):
            busy = client.post(path)
            assert (busy.status_code, kind(busy)) == (503, "busy")
            assert busy.headers["retry-after"] == "1"
        holder.rollback()
        assert client.post("/").status_code == 200
    impatient.close()
