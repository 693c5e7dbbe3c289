"""HTTP against servers that behave, and against servers that do not. Real sockets, loopback."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shop_program import AUTH, PROGRAM, operation, param, replace

from sagalang.machine.outcomes import NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model.program import Header, Promises, Service
from sagalang.model.types import INT, STRING, optional
from sagalang.runtime.contract import Contract, Request
from sagalang.runtime.http import MAX_BODY, HttpService, HttpTransport
from sagalang.runtime.http_answer import HttpAnswer, classify, retry_after
from sagalang.runtime.http_request import UnsendableError, write
from sagalang.runtime.problems import BindingError, EnvironmentProblem
from sagalang.runtime.transport import connect
from sagalang.runtime.values import Values

VALUES = Values(PROGRAM)
NOW = 1_900_000_000_000


def contract(label: str) -> Contract:
    service, _, name = label.partition(".")
    return VALUES.contract(PROGRAM.services[service].operations[name])


MONEY = VALUES.python_type(PROGRAM.services["Payment"].operations["authorize"].params[1].type)
AUTHORIZE = Request(contract("Payment.authorize"), ("o-1", MONEY(amount=1, currency="EUR")), "k-1")
RELEASE = Request(contract("Payment.release"), ("k-1",), "c-1")
FIND = Request(contract("Shipping.find"), ("o-1", None), None)
BOOK = Request(contract("Shipping.book"), ("o-1", "Main St"), "k-2")


def answered(
    request: Request, status: int, body: bytes = b"", header: str | None = None
) -> Outcome:
    return classify(request, HttpAnswer(status, header, body), NOW)


def name(outcome: Outcome) -> str:
    if isinstance(outcome, Ok):
        return "Ok"
    kind = type(outcome).__name__
    final = " final" if isinstance(outcome, Unknown) and not outcome.repeat else ""
    return f"{kind} {outcome.error.name}{final}"


AGAIN = replace(AUTHORIZE, attempt=2)
BUSY = b'{"type":"https://x.example/problems/idempotency/in-progress"}'
MISMATCH = "Unknown ContractMismatch final"


@pytest.mark.parametrize(
    ("request_", "status", "body", "header", "expected"),
    [
        (AUTHORIZE, 200, b'{"auth":"a","new":1}', None, "Ok"),
        (AUTHORIZE, 202, b'{"auth":"a"}', None, "Ok"),
        (AUTHORIZE, 200, b'{"auth":1}', None, MISMATCH),
        (AUTHORIZE, 200, b"", None, MISMATCH),
        (AUTHORIZE, 204, b"", None, MISMATCH),
        (AUTHORIZE, 302, b"", None, MISMATCH),
        (AUTHORIZE, 400, b"", None, MISMATCH),
        (AUTHORIZE, 404, b"", None, MISMATCH),
        (AUTHORIZE, 402, b"whatever", None, "Rejected Declined"),
        (AUTHORIZE, 418, b'{"type":"urn:e:Declined"}', None, "Rejected Declined"),
        (AUTHORIZE, 418, b'{"title":"Declined"}', None, "Rejected Declined"),
        (AUTHORIZE, 418, b'{"title":"NotDeclined"}', None, MISMATCH),
        (AUTHORIZE, 200, b'{"type":"Declined","auth":"a"}', None, "Ok"),
        (AUTHORIZE, 409, b'{"sku":"B"}', None, "Rejected OutOfStock"),
        (AUTHORIZE, 409, b'{"sku":1}', None, MISMATCH),
        (AUTHORIZE, 409, b"", None, MISMATCH),
        (AUTHORIZE, 409, BUSY, None, "Unknown Unavailable"),
        (AGAIN, 409, b'{"sku":"B"}', None, "Unknown Unavailable"),
        (AGAIN, 409, b'{"sku":"B","title":"OutOfStock"}', None, "Rejected OutOfStock"),
        (replace(BOOK, attempt=2), 409, b"", None, MISMATCH),
        (AUTHORIZE, 422, b'{"type":"/idempotency/key-reused"}', None, MISMATCH),
        (BOOK, 422, b'{"type":"/idempotency/key-reused"}', None, MISMATCH),
        (BOOK, 422, b"", None, "Rejected Declined"),
        (AUTHORIZE, 400, b'{"type":"/idempotency/key-missing"}', None, MISMATCH),
        (AUTHORIZE, 402, b'{"type":"/idempotency/fenced"}', None, MISMATCH),
        (AUTHORIZE, 429, b"", None, "NotSent Throttled"),
        (AUTHORIZE, 503, b"", "3", "NotSent Throttled"),
        (AUTHORIZE, 503, b"", "soon", "Unknown Unavailable"),
        (AUTHORIZE, 503, b"", None, "Unknown Unavailable"),
        (AUTHORIZE, 500, b"", "3", "Unknown Unavailable"),
        (AUTHORIZE, 408, b"", None, "Unknown Unavailable"),
        (AUTHORIZE, 425, b"", None, "Unknown Unavailable"),
        (RELEASE, 204, b"", None, "Ok"),
        (RELEASE, 200, b"{garbage", None, "Ok"),
        (RELEASE, 404, b"", None, "Ok"),
        (RELEASE, 410, b"", None, "Ok"),
        (RELEASE, 409, BUSY, None, "Unknown Unavailable"),
        (FIND, 404, b"", None, "Ok"),
        (FIND, 204, b"", None, "Ok"),
        (FIND, 200, b"null", None, "Ok"),
        (FIND, 410, b"", None, MISMATCH),
    ],
)
def test_what_an_answer_means(
    request_: Request, status: int, body: bytes, header: str | None, expected: str
) -> None:
    assert name(answered(request_, status, body, header)) == expected


def test_rejections_carry_their_fields() -> None:
    outcome = answered(AUTHORIZE, 409, b'{"type":"x/OutOfStock","sku":"B","detail":"d"}')
    assert isinstance(outcome, Rejected)
    assert outcome.error.value.sku == "B"


def test_details_name_the_route_and_no_value() -> None:
    capture = Request(contract("Payment.capture"), ("tok-1",), "k")
    outcome = answered(capture, 418, b'{"detail":"tok-1"}')
    assert isinstance(outcome, Unknown)
    assert outcome.error.detail == (
        "POST /auths/{auth}/capture answered 418, which is not declared"
    )
    misfit = answered(capture, 200, b'{"id":{"tok-1":1}}')
    assert isinstance(misfit, Unknown)
    assert "tok-1" not in misfit.error.detail
    assert "id" in misfit.error.detail


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("0", 0),
        ("120", 120_000),
        (" 7 ", 7_000),
        ("Sun, 17 Mar 2030 17:46:50 GMT", 10_000),
        ("Sun, 17 Mar 2024 17:46:50 GMT", 0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("9" * 5000, None),
        ("²", None),
        (None, None),
    ],
)
def test_retry_after(header: str | None, wait: int | None) -> None:
    assert retry_after(header, NOW) == wait


# --- Requests ----------------------------------------------------------------------------------


def target(request: Request) -> str:
    return write(request).target


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@example(".")
@example("..")
@example("../x%2f?#")
def test_a_path_parameter_stays_in_its_segment(value: str) -> None:
    request = Request(contract("Payment.capture"), (value,), "k")
    if value in (".", ".."):
        with pytest.raises(UnsendableError):
            write(request)
        return
    shown = target(request)
    segments = shown.split("/")
    assert shown.isascii()
    assert (len(segments), segments[1], segments[3]) == (4, "auths", "capture")
    assert not set(segments[2]) & set(":?#[]@!$&'()*+,;= \"<>\\^`{|}")
    assert unquote(segments[2], errors="strict") == value


def test_an_empty_path_parameter_is_not_sent() -> None:
    with pytest.raises(UnsendableError, match="would change the route"):
        write(Request(contract("Payment.capture"), ("",), "k"))


def test_queries_bodies_and_keys() -> None:
    assert target(FIND) == "/bookings?order=o-1"
    assert (
        target(replace(FIND, args=("a&b=/ é", ("x y", "z"))))
        == "/bookings?order=a%26b%3D%2F%20%C3%A9&tags=x%20y&tags=z"
    )
    wire = write(replace(AUTHORIZE, remaining=5_000))
    assert wire.body == b'{"order":"o-1","amount":{"amount":1,"currency":"EUR"}}'
    assert ("Idempotency-Key", "k-1") in wire.headers
    assert ("Saga-Deadline-Ms", "5000") in wire.headers
    assert "Idempotency-Key" not in dict(write(BOOK).headers)
    in_field = operation(
        "A.b",
        param("n", optional(INT)),
        param("s", STRING, "the s"),
        promises=Promises(keyed=True, key_field="request id"),
    )
    posted = Request(VALUES.contract(in_field), (None, "v"), "k")
    assert write(posted).body == b'{"the s":"v","request id":"k"}'
    assert "Idempotency-Key" not in dict(write(posted).headers)


# --- Sockets -----------------------------------------------------------------------------------

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SECRET = "Bearer tok-very-secret"


@contextlib.asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[HttpTransport]:
    running: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()
        running.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    place = HttpService(f"http://127.0.0.1:{port}/v2/", (("Authorization", SECRET, True),))
    transport = HttpTransport({"Payment": place, "Shipping": place}, now=lambda: NOW)
    try:
        yield transport
    finally:
        await transport.aclose()
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def head(reader: asyncio.StreamReader) -> bytes:
    got = await reader.readuntil(b"\r\n\r\n")
    for line in got.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            got += await reader.readexactly(int(line.split(b":")[1]))
    return got


def once(request: Request, *parts: bytes, hold: bool = False) -> Outcome:
    """The outcome where the server reads the request, writes the parts, and closes (or holds)."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
        if hold:
            await reader.read()

    async def main() -> Outcome:
        async with asyncio.timeout(20), served(handler) as transport:
            return await transport.call(request)

    return asyncio.run(main())


def http(status: int, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d X" % status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_a_call_and_what_is_on_the_wire() -> None:
    seen = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await head(reader))
            writer.write(http(200, b'{"auth":"a"}', b"Set-Cookie: c=1"))

    async def main() -> list[Outcome]:
        async with asyncio.timeout(20), served(handler) as transport:
            strange = Request(contract("Payment.capture"), ("../%2e/é",), "k")
            return [await transport.call(r) for r in (AUTHORIZE, AUTHORIZE, strange)]

    first, second, _ = asyncio.run(main())
    assert isinstance(first, Ok)
    assert first == second
    assert first.value == VALUES.python_type(AUTH)(auth="a")
    assert seen[0].startswith(b"POST /v2/auths HTTP/1.1\r\n")
    assert SECRET.encode() in seen[0]
    assert b"cookie" not in seen[1].lower()
    assert seen[2].startswith(b"POST /v2/auths/..%2F%252e%2F%C3%A9/capture HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("request_", "parts", "expected"),
    [
        (AUTHORIZE, (), "Unknown Unavailable"),
        (AUTHORIZE, (b"HTTP/1.1 200 OK\r\nContent-Le",), "Unknown Unavailable"),
        (AUTHORIZE, (http(200, b'{"auth":"a"}')[:-3],), "Unknown Unavailable"),
        (AUTHORIZE, (b"\x00\x01 garbage\r\n\r\n",), "Unknown Unavailable"),
        (AUTHORIZE, (http(302, b"", b"Location: /elsewhere"),), MISMATCH),
        (AUTHORIZE, (http(200, b'{"auth":"a"}' + b" " * MAX_BODY),), MISMATCH),
        (AUTHORIZE, (http(200, b'{"auth":"a"}' + b" " * (MAX_BODY - 12)),), "Ok"),
        (AUTHORIZE, (http(200, b"x" * 99, b"Content-Encoding: gzip"),), MISMATCH),
        (AUTHORIZE, (http(402, b"{}" + b" " * 9)[:-5],), "Unknown Unavailable"),
        (AUTHORIZE, (http(429, b"xx", b"Retry-After: 2")[:-1],), "NotSent Throttled"),
        (RELEASE, (http(200, b" " * 200_000),), "Ok"),
        (RELEASE, (http(200, b"12345")[:-2],), "Ok"),
    ],
)
def test_servers_that_misbehave(request_: Request, parts: tuple[bytes, ...], expected: str) -> None:
    outcome = once(request_, *parts)
    assert name(outcome) == expected
    assert SECRET not in repr(outcome)


def test_throttling_with_a_date() -> None:
    outcome = once(AUTHORIZE, http(429, b"", b"Retry-After: Sun, 17 Mar 2030 17:46:50 GMT"))
    assert isinstance(outcome, NotSent)
    assert outcome.retry_after == 10_000


def test_a_refused_connection_and_an_unknown_host_are_not_sent() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        for url in (f"http://127.0.0.1:{port}", "http://nowhere.invalid"):

            async def main(url: str = url) -> Outcome:
                transport = HttpTransport({"Payment": HttpService(url)})
                async with asyncio.timeout(20):
                    outcome = await transport.call(AUTHORIZE)
                await transport.aclose()
                return outcome

            assert name(asyncio.run(main())) == "NotSent NotSent"


def test_a_failed_handshake_is_not_sent() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"this is no TLS\r\n\r\n")

    async def main() -> Outcome:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport = HttpTransport({"Payment": HttpService(f"https://127.0.0.1:{port}")})
        async with asyncio.timeout(20):
            outcome = await transport.call(AUTHORIZE)
        await transport.aclose()
        server.close()
        return outcome

    assert name(asyncio.run(main())) == "NotSent NotSent"


@pytest.mark.parametrize(("trusted", "outcome"), [(True, "Ok"), (False, "NotSent NotSent")])
def test_who_is_trusted_is_for_the_system_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool, outcome: str
) -> None:
    """Also where another service speaks plain HTTP."""
    program, key, certificate = shutil.which("openssl"), tmp_path / "key", tmp_path / "certificate"
    if program is None:
        pytest.skip("no openssl to make a certificate with")
    made = [program, "req", "-x509", "-nodes", "-subj", "/CN=localhost"]
    made += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(made, check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate if trusted else tmp_path / "none"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(http(200, b'{"auth":"a"}'))

    async def main() -> Outcome:
        server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        places = {"Shipping": "http://127.0.0.1:9", "Payment": f"https://127.0.0.1:{port}"}
        transport = HttpTransport({name: HttpService(url) for name, url in places.items()})
        async with asyncio.timeout(20):
            answered = await transport.call(AUTHORIZE)
        await transport.aclose()
        server.close()
        return answered

    assert name(asyncio.run(main())) == outcome


def test_a_kept_connection_that_was_closed_is_replaced_and_one_that_dies_is_unknown() -> None:
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await head(reader)
        writer.write(http(200, b'{"auth":"a"}'))
        if connections == 2:
            await head(reader)

    async def main() -> list[str]:
        async with asyncio.timeout(20), served(handler) as transport:
            outcomes = [name(await transport.call(AUTHORIZE))]
            await asyncio.sleep(0.1)
            outcomes.append(name(await transport.call(AUTHORIZE)))
            outcomes.append(name(await transport.call(AUTHORIZE)))
            return outcomes

    assert asyncio.run(main()) == ["Ok", "Ok", "Unknown Unavailable"]


def test_cancellation_passes_through() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with asyncio.timeout(20), served(handler) as transport:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await transport.call(AUTHORIZE)

    asyncio.run(main())


# --- Connecting --------------------------------------------------------------------------------


def with_payment(**changes: Any) -> Any:
    payment: Service = replace(PROGRAM.services["Payment"], **changes)
    return replace(PROGRAM, services={"Payment": payment})


def test_missing_variables_are_all_named_before_anything_else() -> None:
    program = with_payment(headers=(Header("A", "ONE", None), Header("B", "TWO", None)))
    with pytest.raises(EnvironmentProblem) as caught:
        connect(program, {"TWO": ""})
    assert "ONE" in str(caught.value)
    assert "TWO" in str(caught.value)
    with pytest.raises(EnvironmentProblem) as caught:
        connect(program, {"ONE": "a\r\nEvil: 1", "TWO": "x"})
    assert "Evil" not in str(caught.value)
    connect(program, {"ONE": "a", "TWO": "b"})


def test_bindings_that_lead_nowhere() -> None:
    with pytest.raises(BindingError, match="only a mock"):
        connect(with_payment(binding=None), {})
    with pytest.raises(BindingError, match="must begin with http"):
        connect(with_payment(), {"PAYMENT_URL": "ftp://x"})


def test_the_environment_overrides_the_url() -> None:
    async def main() -> Outcome:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await head(reader)
            writer.write(http(204))
            writer.close()

        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        router = connect(with_payment(), {"PAYMENT_URL": f"http://127.0.0.1:{port}"})
        async with asyncio.timeout(20):
            outcome = await router.call(RELEASE)
        await router.aclose()
        server.close()
        return outcome

    assert asyncio.run(main()) == Ok(None)
