"""A small checked program, made by hand: what the tests of the transports run on."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from sagalang.model.program import (
    Block,
    Call,
    EnumDecl,
    Field,
    HttpBinding,
    HttpRoute,
    KeyOf,
    Operation,
    Param,
    Policy,
    Program,
    Promises,
    PythonBinding,
    Record,
    Ref,
    Rejection,
    Saga,
    Service,
)
from sagalang.model.types import (
    BOOL,
    DATETIME,
    DECIMAL,
    DURATION,
    INT,
    JSON,
    KEY,
    NULL,
    STRING,
    UUID,
    EnumRef,
    InlineRecord,
    ListOf,
    MapOf,
    RecordRef,
    Type,
    optional,
    secret,
)
from sagalang.text import Span

AT = Span("", 0, 0)


def replace(value: Any, /, **changes: Any) -> Any:
    """A changed copy, whichever kind of frozen value it is."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changes)
    return dataclasses.replace(value, **changes)


def record(name: str, *fields: tuple[str, Type] | tuple[str, Type, str]) -> Record:
    made = (Field(f[0], f[1], f[2] if len(f) > 2 else f[0], "", AT) for f in fields)
    return Record(name, tuple(made), "", AT)


def param(name: str, type_: Type, wire: str = "") -> Param:
    return Param(name, type_, wire or name, AT)


def operation(
    label: str,
    *params: Param,
    result: Type = NULL,
    route: tuple[str, str] | None = ("POST", "/x"),
    promises: Promises | None = None,
    rejects: tuple[tuple[str, int | None], ...] = (),
    compensation: Call | None = None,
    probe: Call | None = None,
    is_query: bool = False,
) -> Operation:
    service, _, name = label.partition(".")
    return Operation(
        service=service,
        name=name,
        is_query=is_query,
        params=params,
        result=result,
        route=HttpRoute(*route, AT) if route else None,
        promises=promises or Promises(),
        rejects=tuple(Rejection(e, s, AT) for e, s in rejects),
        compensation=compensation,
        probe=probe,
        policy=Policy(),
        doc="",
        span=AT,
    )


def service(name: str, *operations: Operation, **changes: Any) -> Service:
    fields: dict[str, Any] = {
        "binding": HttpBinding("http://127.0.0.1:1", f"{name.upper()}_URL"),
        "headers": (),
        "policy": Policy(),
        "folder": "",
        "doc": "",
        "span": AT,
    }
    return Service(name=name, operations={o.name: o for o in operations}, **{**fields, **changes})


def saga(name: str, *params: Param) -> Saga:
    return Saga(
        name=name,
        params=params,
        result=NULL,
        id=None,
        deadline=None,
        compensate_with=Policy(),
        compensate_escalate=None,
        body=Block(()),
        when_compensated=None,
        errors=(),
        doc="",
        span=AT,
    )


AUTH = InlineRecord((("auth", STRING, "auth"),))
TRACKING = InlineRecord((("tracking", STRING, "tracking"),))
RECORDS = (
    record("Money", ("amount", DECIMAL), ("currency", STRING)),
    record("Line", ("sku", STRING), ("qty", INT)),
    record(
        "Order",
        ("id", STRING),
        ("lines", ListOf(RecordRef("Line"))),
        ("total", RecordRef("Money")),
        ("card", secret(STRING)),
        ("note", optional(STRING)),
    ),
    record(
        "Everything",
        ("class", optional(STRING)),
        ("__init__", optional(INT)),
        ("_x", optional(INT), "wire name"),
        ("kids", ListOf(RecordRef("Everything"))),
        ("prices", MapOf(DECIMAL)),
        ("state", EnumRef("Verdict")),
        ("span", DURATION),
        ("at", DATETIME),
        ("ref", UUID),
        ("flag", BOOL),
        ("free", JSON),
        ("hidden", secret(STRING)),
    ),
)

PAYMENT = service(
    "Payment",
    operation(
        "Payment.authorize",
        param("order", STRING),
        param("amount", RecordRef("Money")),
        result=AUTH,
        route=("POST", "/auths"),
        promises=Promises(keyed=True, records_rejections=True),
        rejects=(("Declined", 402), ("OutOfStock", 409)),
        compensation=Call("Payment", "release", (KeyOf(None, KEY, AT),), AT),
    ),
    operation(
        "Payment.release",
        param("of", KEY),
        route=("DELETE", "/auths/by-key/{of}"),
        promises=Promises(idempotent=True, absent_ok=True, fences_late=True),
    ),
    operation(
        "Payment.capture",
        param("auth", STRING),
        result=InlineRecord((("id", STRING, "id"),)),
        route=("POST", "/auths/{auth}/capture"),
        promises=Promises(keyed=True),
    ),
)
SHIPPING = service(
    "Shipping",
    operation(
        "Shipping.book",
        param("order", STRING),
        param("address", STRING),
        result=TRACKING,
        route=("POST", "/bookings"),
        rejects=(("Declined", 422),),
        probe=Call("Shipping", "find", (Ref("order", STRING, AT), None), AT),
    ),
    operation(
        "Shipping.find",
        param("order", STRING),
        param("tags", optional(ListOf(STRING))),
        result=optional(TRACKING),
        route=("GET", "/bookings?order={order}"),
        is_query=True,
    ),
)
LEDGER = service(
    "Books",
    operation("Books.note", param("text", STRING), param("sum", DECIMAL), result=INT, route=None),
    binding=PythonBinding("saga_test_books"),
)
PROGRAM = Program(
    main="shop.saga",
    sources={},
    records={r.name: r for r in RECORDS},
    enums={"Verdict": EnumDecl("Verdict", (("Approved", "a-1"), ("Denied", "Denied")), "", AT)},
    errors={e.name: e for e in (record("Declined"), record("OutOfStock", ("sku", STRING)))},
    services={s.name: s for s in (PAYMENT, SHIPPING, LEDGER)},
)
