"""What an idempotency key means: the record of a request and its transitions. Pure.

The rules are those of the IETF draft "The Idempotency-Key HTTP Header Field". To them a saga adds
the fence: an undo may overtake the request that it undoes, and the late original must then be
refused. Whoever holds a record decides here and stores what is decided; no store decides anything.

All times are milliseconds; moments count from the Unix epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from sagalang.idempotency.answer import Answer

SECOND: Final = 1_000
DAY: Final = 24 * 60 * 60 * SECOND


class State(Enum):
    """Where a request stands. The values are what stores write."""

    IN_PROGRESS = "in_progress"
    DONE = "done"
    FENCED = "fenced"


@dataclass(frozen=True, slots=True)
class Id:
    """What a record is about: `operation` is method and route, as in `POST /charges`."""

    caller: str
    operation: str
    key: str


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one request.

    `token` names the run that owns the record while it is in progress, until `lease_until` at
    least: the fencing token of a run. `answer` is there once it is done. A fence put up before any
    request came has no fingerprint.
    """

    state: State
    created: int
    expires: int
    fingerprint: str = ""
    token: str = ""
    lease_until: int = 0
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that asks to run. `token`: new for each; `lease`, `ttl`: how long, in ms.

    `rerun`: whether a run that nobody finished may simply be repeated.
    """

    fingerprint: str
    token: str
    now: int
    lease: int = 30 * SECOND
    ttl: int = DAY
    rerun: bool = False


@dataclass(frozen=True, slots=True)
class New:
    """Run it, as the owner of `record`, which is to be stored first."""

    record: Record
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """It has run: give the same answer again."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class InFlight:
    """Another run owns the key now; its lease lasts `lease_left` ms, and may be renewed."""

    lease_left: int


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key came with another request before."""


@dataclass(frozen=True, slots=True)
class Fenced:
    """It was undone before it came, or since."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A run began and never said how it ended: nobody knows what it did."""


Standing = Replay | InFlight | Fenced | Abandoned
Decision = New | Mismatch | Standing


def claim(record: Record | None, asked: Claim) -> Decision:
    """Whether a request may run. The fence comes before all else, also before a replay: to say
    "charged" of a charge that has since been refunded would mislead.
    """
    record = _live(record, asked.now)
    if record is None:
        return New(_begun(asked))
    if record.state is State.FENCED:
        return Fenced()
    if record.fingerprint != asked.fingerprint:
        return Mismatch()
    found = standing(record, asked.now)
    if isinstance(found, Abandoned) and asked.rerun:
        return New(_begun(asked), taken_over=True)
    return found


def standing(record: Record | None, now: int) -> Standing:
    """What to tell one whose own run does not count (any more)."""
    record = _live(record, now)
    if record is None:
        return Abandoned()
    if record.state is State.FENCED:
        return Fenced()
    if record.answer is not None:
        return Replay(record.answer)
    return InFlight(record.lease_until - now) if now < record.lease_until else Abandoned()


def owns(record: Record | None, token: str) -> bool:
    """Whether this run's word counts: nobody took its record over, by a lease or by a fence.

    A lease that ran out without a successor is still its owner's.
    """
    return record is not None and record.state is State.IN_PROGRESS and record.token == token


def complete(record: Record | None, token: str, answer: Answer) -> Record | None:
    """The record with its answer; None where the run does not own it: then nothing is stored."""
    if record is None or not owns(record, token):
        return None
    return replace(record, state=State.DONE, token="", lease_until=0, answer=answer)


def renew(record: Record | None, token: str, now: int, lease: int) -> Record | None:
    """The record with a lease of `lease` ms from now; None where the run does not own it."""
    if record is None or not owns(record, token):
        return None
    until = max(record.lease_until, now + lease)
    return replace(record, lease_until=until, expires=max(record.expires, until))


def fence(record: Record | None, now: int, ttl: int = DAY) -> Record:
    """The tombstone of a request, whether or not it ever ran. Lives for `ttl` ms from now."""
    record = _live(record, now)
    if record is None:
        return Record(State.FENCED, created=now, expires=now + ttl)
    expires = max(record.expires, now + ttl)
    return Record(State.FENCED, record.created, expires, record.fingerprint)


def state_of(record: Record | None, now: int) -> State | None:
    """The state of a record that has not expired."""
    record = _live(record, now)
    return record.state if record else None


def fingerprint(method: str, path: str, query: str, content_type: str, body: bytes) -> str:
    """SHA-256 over what makes a request this request; headers at large are not part of it.

    Of the query, parameters of different names may change places. A `traceparent` is new with
    each attempt, so only the content type counts of the headers.
    """
    parameters = sorted(query.split("&"), key=lambda part: part.partition("=")[0])
    parts = (method, path, "&".join(parameters), content_type.strip())
    return _digest([*(part.encode("utf-8", "surrogateescape") for part in parts), body])


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:  # with lengths, so that no two requests can run together into one text
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _live(record: Record | None, now: int) -> Record | None:
    return record if record is not None and now < record.expires else None


def _begun(asked: Claim) -> Record:
    until = asked.now + asked.lease
    return Record(
        State.IN_PROGRESS,
        created=asked.now,
        expires=max(asked.now + asked.ttl, until),
        fingerprint=asked.fingerprint,
        token=asked.token,
        lease_until=until,
    )
