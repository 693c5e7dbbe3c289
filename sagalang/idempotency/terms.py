"""The options of both middlewares, checked once."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypedDict

from sagalang.idempotency import problems
from sagalang.idempotency.core import SECOND, Claim, Id
from sagalang.idempotency.request import METHODS, Caller, Naming, Request, bare

Operations = Collection[str] | Callable[[Request], bool]
MIB: Final = 1024 * 1024


class Options(TypedDict, total=False):
    """What both middlewares take, besides the application, the store and the caller.

    `required`: the operations that are refused without a key: `{"POST /charges"}`, or a function.
    `rerun`: lease stores only: operations whose handlers are idempotent by themselves, so that a
    run which failed, or which nobody finished, may be repeated.
    `fenced_by`: by operation, a function that finds another name under which it is fenced.
    `route`: a function from a request to its route's template.
    `ttl`, `lease`, `retry_after`: seconds: how long a record or a fence is kept (24 h); how long
    a run owns its key without a sign of life (30 s); what a 409 asks a client to wait (1 s).
    `max_body`, `max_answer`: bytes of what is kept in memory (1 MiB each).
    `problems`: what the `type` of a problem begins with.
    `clock`: milliseconds since the Unix epoch.
    """

    required: Operations
    rerun: Operations
    fenced_by: Mapping[str, Naming]
    route: Callable[[Request], str]
    ttl: float
    lease: float
    retry_after: float
    max_body: int
    max_answer: int
    problems: str
    clock: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Terms:
    """The options as the middlewares use them; times in ms, but `retry_after` in seconds."""

    caller: Caller
    route: Callable[[Request], str]
    required: Callable[[Request], bool]
    rerun: Callable[[Request], bool]
    fenced_by: Mapping[str, Naming]
    ttl: int
    lease: int
    retry_after: float
    max_body: int
    max_answer: int
    problems: str
    clock: Callable[[], int]


def terms(caller: Caller, route: Callable[[Request], str], options: Options) -> Terms:
    """Raises ValueError for an option that could never take effect. `route`: the default."""
    for name in ("ttl", "lease", "retry_after", "max_body", "max_answer"):
        value = options.get(name, 1)
        if not isinstance(value, int | float) or value <= 0:
            raise ValueError(f"{name} must be greater than 0.")
    fenced_by = options.get("fenced_by", {})
    _check("fenced_by", fenced_by)
    return Terms(
        caller=caller,
        route=options.get("route", route),
        required=_predicate("required", options.get("required", ())),
        rerun=_predicate("rerun", options.get("rerun", ())),
        fenced_by=fenced_by,
        ttl=round(options.get("ttl", 24 * 60 * 60) * SECOND),
        lease=round(options.get("lease", 30) * SECOND),
        retry_after=options.get("retry_after", 1),
        max_body=options.get("max_body", MIB),
        max_answer=options.get("max_answer", MIB),
        problems=options.get("problems", problems.BASE),
        clock=options.get("clock", _now),
    )


def _now() -> int:
    return time.time_ns() // 1_000_000


def _predicate(option: str, operations: Operations) -> Callable[[Request], bool]:
    if callable(operations):
        return operations
    _check(option, operations)
    names = frozenset(operations)
    return lambda request: request.operation in names


def _check(option: str, operations: Collection[str]) -> None:
    if isinstance(operations, str):
        raise ValueError(f'{option} takes a set: {{"{operations}"}}.')
    for name in operations:
        check_operation(option, name)


def check_operation(where: str, name: str) -> None:
    """Raises ValueError unless `name` can be the name of an operation."""
    if not re.fullmatch(rf"(?:{'|'.join(sorted(METHODS))}) /\S*", name):
        methods = ", ".join(sorted(METHODS))
        raise ValueError(
            f'{where}: "{name}" names no operation. Write method and route, as in '
            f'"POST /charges"; the methods are {methods}.'
        )


def new_claim(terms: Terms, request: Request) -> Claim:
    return Claim(
        fingerprint=request.fingerprint(),
        token=uuid.uuid4().hex,
        now=terms.clock(),
        lease=terms.lease,
        ttl=terms.ttl,
        rerun=terms.rerun(request),
    )


def other_name(terms: Terms, request: Request, identity: Id) -> Id | None:
    naming = terms.fenced_by.get(identity.operation)
    name = naming(request) if naming else None
    return None if name is None else Id(identity.caller, identity.operation, bare(name))
