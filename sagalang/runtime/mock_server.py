"""The services of a program over HTTP, as fakes on the loopback interface.

Every service with an `http` binding gets a port of its own and answers exactly as the language's
contract says: declared rejections and idempotency answers are RFC 9457 problems. All share one
`FakeWorld`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

from sagalang.machine.outcomes import NOT_SENT, Failure, NotSent, Outcome
from sagalang.model.program import HttpBinding, Operation, Service
from sagalang.runtime.clock import Clock, SystemClock
from sagalang.runtime.codec import DecodeError, dump, parse, plain, read
from sagalang.runtime.contract import Contract, ParamSpec, Request
from sagalang.runtime.fake_transport import FakeTransport, Latency, draw_latency, world_args
from sagalang.runtime.fakes import FakeWorld, Kind, Reply
from sagalang.runtime.http_request import PLACEHOLDER
from sagalang.runtime.transport import Router, Transport

if TYPE_CHECKING:
    import uvicorn

PROBLEMS: Final = "urn:saga:problem:"
_STATUS: Final = {
    Kind.KEY_REUSED: (422, "idempotency/key-reused"),
    Kind.KEY_MISSING: (400, "idempotency/key-missing"),
    Kind.FENCED: (409, "idempotency/fenced"),
    Kind.ABSENT: (404, "absent"),
    Kind.UNAVAILABLE: (503, "unavailable"),
    Kind.NOT_SENT: (429, "not-sent"),
    # No success, and no status that a contract could declare as a rejection.
    Kind.NONSENSE: (300, "nonsense"),
}
_DEFAULT_REJECTION: Final = 422

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Mock:
    """The running servers: `urls` by service name."""

    urls: dict[str, str]
    world: FakeWorld
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Route:
    operation: Operation
    contract: Contract
    segments: tuple[re.Pattern[str], ...]
    query: tuple[tuple[str, re.Pattern[str]], ...]
    """The templates of the route's own query string, by name."""


@contextlib.asynccontextmanager
async def serve(world: FakeWorld, port: int = 0, latency: Latency = 0) -> AsyncIterator[Mock]:
    """Serves the program of the world while the body runs.

    `port`: of the first service, the next ones follow; 0: any that are free. `latency` in
    milliseconds. Raises `OSError` if a port is taken.
    """
    services = [s for s in world.program.services.values() if isinstance(s.binding, HttpBinding)]
    clock = SystemClock()
    with contextlib.ExitStack() as sockets:
        bound = []
        for index, _ in enumerate(services):
            listener = sockets.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # asyncio sets it only on sockets of its own; without it an answer may wait 40 ms.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.bind(("127.0.0.1", port + index if port else 0))
            listener.listen(128)
            bound.append(listener)
        urls = {
            service.name: f"http://127.0.0.1:{listener.getsockname()[1]}"
            for service, listener in zip(services, bound, strict=True)
        }
        ended = asyncio.Event()
        servers = [_server(_app(world, service, clock, latency), ended) for service in services]
        tasks = [
            asyncio.create_task(server.serve(sockets=[listener]))
            for server, listener in zip(servers, bound, strict=True)
        ]
        try:
            while not all(server.started for server in servers):
                for task in tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.005)
            yield Mock(urls, world, clock)
        finally:
            ended.set()
            await asyncio.gather(*tasks, return_exceptions=True)


def router_for_mock(mock: Mock, latency: Latency = 0) -> Router:
    """Real HTTP to the mock for its services; the others of the program in the process."""
    from sagalang.runtime.http import HttpService, HttpTransport

    services = {name: HttpService(url) for name, url in mock.urls.items()}
    web = _Leaving(HttpTransport(services), mock)
    inside = FakeTransport(mock.world, mock.clock, latency)
    transports: dict[str, Transport] = {
        name: web if name in mock.urls else inside for name in mock.world.program.services
    }
    return Router(transports)


class _Leaving:
    """Real HTTP for all calls but those that never leave."""

    def __init__(self, inner: Transport, mock: Mock) -> None:
        self._inner, self._mock = inner, mock

    async def call(self, request: Request) -> Outcome:
        world, label = self._mock.world, request.contract.label
        key = request.key if request.contract.promises.keyed else None
        args = world_args(world, request)
        if world.keeps_back(label, args, key, self._mock.clock.now()):
            return NotSent(Failure(NOT_SENT, None, f"{label} did not reach the service"))
        return await self._inner.call(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _server(app: Any, ended: asyncio.Event) -> uvicorn.Server:
    import uvicorn

    class Prompt(uvicorn.Server):
        """Ends once it is told to; uvicorn's own takes up to 0.2 s, and so would every run."""

        @contextlib.contextmanager
        def capture_signals(self) -> Any:
            # Signals belong to the program that runs the mock.
            yield

        async def main_loop(self) -> None:
            await ended.wait()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for server in self.servers:
                server.close()
            for connection in list(self.server_state.connections):
                connection.shutdown()
            held = list(self.server_state.tasks)
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)

    return Prompt(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off"))


def _app(world: FakeWorld, service: Service, clock: Clock, latency: Latency) -> Any:
    routes = [
        _route(operation, world.values.contract(operation))
        for operation in service.operations.values()
        if operation.route is not None
    ]
    random = Random(f"{world.seed}:{service.name}")
    busy: set[tuple[str, str]] = set()

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        body = await _body(receive)
        target = scope["raw_path"].decode("ascii", "replace")
        query = parse_qsl(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True)
        found = _find(routes, scope["method"], target, query)
        if found is None:
            await _answer(send, 404, _problem("no-such-route", 404))
            return
        route, inputs = found
        try:
            args = _arguments(route, inputs, query, body)
        except DecodeError as error:
            await _answer(send, 400, _problem("bad-request", 400, str(error)))
            return
        key = _key(route, scope["headers"], query, body)
        mark = (route.operation.label, key or "")
        if key is not None and mark in busy:
            await _answer(
                send, 409, _problem("idempotency/in-progress", 409), [(b"retry-after", b"1")]
            )
            return
        wait = draw_latency(latency, random)
        with contextlib.ExitStack() as held:
            if key is not None:
                busy.add(mark)
                held.callback(busy.discard, mark)
            if wait:
                await asyncio.sleep(wait / 1_000)
        reply = world.deliver(route.operation.label, args, key, clock.now())
        if reply.kind is Kind.SILENT:
            # The answer never comes: the connection is held until the caller lets it go.
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        headers = [(b"idempotent-replayed", b"true")] if reply.replayed else None
        await _answer(send, *_written(route, reply), headers)

    return app


# --- Reading a request -------------------------------------------------------------------------


def _route(operation: Operation, contract: Contract) -> _Route:
    assert operation.route is not None
    path, _, query = operation.route.path.partition("?")
    pairs = [item.partition("=") for item in query.split("&") if item]
    return _Route(
        operation,
        contract,
        tuple(_pattern(segment) for segment in path.strip("/").split("/")),
        tuple((unquote(name), _pattern(value)) for name, _, value in pairs),
    )


def _pattern(template: str) -> re.Pattern[str]:
    """Matches one segment before it is decoded, so that an encoded slash stays inside."""
    shown, at = "", 0
    for match in PLACEHOLDER.finditer(template):
        shown += re.escape(template[at : match.start()]) + f"(?P<{_group(match[1])}>.+)"
        at = match.end()
    return re.compile(shown + re.escape(template[at:]), re.DOTALL)


def _group(name: str) -> str:
    return "p_" + name.encode().hex()


def _find(
    routes: list[_Route], method: str, target: str, query: list[tuple[str, str]]
) -> tuple[_Route, dict[str, str]] | None:
    segments = target.strip("/").split("/")
    # A literal segment is a closer match than a parameter.
    for route in sorted(routes, key=lambda r: [bool(p.groups) for p in r.segments]):
        assert route.operation.route is not None
        if route.operation.route.method != method or len(route.segments) != len(segments):
            continue
        matches = [p.fullmatch(s) for p, s in zip(route.segments, segments, strict=True)]
        if not all(matches):
            continue
        inputs = {name: unquote(text) for m in matches if m for name, text in m.groupdict().items()}
        given = dict(query)
        fixed = [(name, p) for name, p in route.query if not p.groups]
        if any(name not in given or not p.fullmatch(given[name]) for name, p in fixed):
            continue
        for name, pattern in route.query:
            found = pattern.fullmatch(given[name]) if name in given else None
            inputs |= found.groupdict() if found else {}
        return route, inputs
    return None


def _arguments(
    route: _Route, inputs: dict[str, str], query: list[tuple[str, str]], body: Any
) -> tuple[Any, ...]:
    """The arguments in the contract's order, in the values of the program."""
    template = route.operation.route.path if route.operation.route else ""
    in_template = set(PLACEHOLDER.findall(template))
    by_query = route.operation.route is not None and route.operation.route.method in (
        "GET",
        "DELETE",
    )
    args = []
    for spec in route.contract.params:
        if spec.name in in_template:
            text = inputs.get(_group(spec.name))
            args.append(None if text is None else _from_text([text], spec))
        elif by_query:
            texts = [text for name, text in query if name == spec.wire]
            args.append(_from_text(texts, spec) if texts else _from_text([], spec))
        else:
            fields = body if isinstance(body, dict) else {}
            args.append(_read(fields.get(spec.wire), spec))
    return tuple(args)


def _read(value: Any, spec: ParamSpec) -> Any:
    try:
        return read(value, spec.type)
    except DecodeError as error:
        error.within(spec.wire)
        raise


def _from_text(texts: list[str], spec: ParamSpec) -> Any:
    """A value from its texts in path or query: the first reading of them that fits the type."""
    readings: list[Any] = [*texts[:1]] if len(texts) < 2 else []
    for reading in ([*texts], [_loose(text) for text in texts]):
        readings += [*reading[:1], reading] if len(reading) < 2 else [reading]
    if not texts:
        readings = [None, []]
    failed: DecodeError | None = None
    for reading in readings:
        try:
            return _read(reading, spec)
        except DecodeError as error:
            failed = failed or error
    assert failed is not None
    raise failed


def _loose(text: str) -> Any:
    try:
        return parse(text)
    except DecodeError:
        return text


def _key(
    route: _Route,
    headers: list[tuple[bytes, bytes]],
    query: list[tuple[str, str]],
    body: Any,
) -> str | None:
    promises = route.operation.promises
    if not promises.keyed:
        return None
    if promises.key_field is None:
        name = promises.key_header.lower().encode()
        return next((value.decode("latin-1") for n, value in headers if n.lower() == name), None)
    if isinstance(body, dict) and isinstance(body.get(promises.key_field), str):
        return str(body[promises.key_field])
    return dict(query).get(promises.key_field)


async def _body(receive: Receive) -> Any:
    data = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        data += message.get("body", b"")
        if not message.get("more_body"):
            return _loose_bytes(data)


def _loose_bytes(data: bytes) -> Any:
    try:
        return parse(data) if data else None
    except DecodeError:
        return None


# --- Writing an answer -------------------------------------------------------------------------


def _written(route: _Route, reply: Reply) -> tuple[int, bytes]:
    contract = route.contract
    if reply.kind is Kind.ANSWER:
        if contract.result is None:
            return 204, b""
        if reply.value is None and contract.is_query:
            return 404, _problem("absent", 404)
        return 200, dump(plain(reply.value, contract.result))
    if reply.kind is Kind.REJECTED:
        spec = next((r for r in contract.rejects if r.error == reply.error), None)
        status = (spec.status if spec else None) or _DEFAULT_REJECTION
        fields = plain(reply.value, spec.type) if spec and spec.type else {}
        problem = {"type": f"{PROBLEMS}{reply.error}", "title": reply.error, "status": status}
        return status, dump({**problem, **fields})
    status, kind = _STATUS[reply.kind]
    return status, _problem(kind, status)


def _problem(kind: str, status: int, detail: str = "") -> bytes:
    title = kind.rpartition("/")[2].replace("-", " ")
    found = {"type": PROBLEMS + kind, "title": title, "status": status}
    return dump({**found, "detail": detail} if detail else found)


async def _answer(
    send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    kind = b"application/json" if status < 400 else b"application/problem+json"
    basic = [(b"content-length", str(len(body)).encode())]
    if body:
        basic.append((b"content-type", kind))
    start = {"type": "http.response.start", "status": status, "headers": basic + (headers or [])}
    await send(start)
    await send({"type": "http.response.body", "body": body})
