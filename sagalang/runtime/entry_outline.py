"""Journal entries without the values of their saga: what everyone may know of a run.

    Outline().decode("Order", "order-7", data)

Neither the definition of the saga nor a key is needed: names, places, times, kinds, errors and
keys stand in an entry in the open, and values are left out (None, or no arguments).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from msgspec.structs import replace

from sagalang.machine.events import Compensated, Completed, Escalated, OpenItem, Place
from sagalang.machine.outcomes import Failure, NotSent, Ok, Rejected, Unknown
from sagalang.runtime import journal as j
from sagalang.runtime.codec import DecodeError
from sagalang.runtime.entry_codec import UNREADABLE, explained
from sagalang.runtime.entry_wire import decoder, read_by


class Outline:
    """A `sqlite_history.Decoder` for all sagas."""

    def decode(self, saga: str, saga_id: str, data: bytes) -> j.Entry:
        """Raises `EntryError`."""
        try:
            found = decoder().decode(data)
            wire = read_by()[type(found)]
            fields = dict(zip(wire.names, wire.given(found), strict=True))
            if "loops" in fields:
                fields["place"] = Place(fields.pop("path"), fields.pop("loops"))
            if wire.held is not None:
                fields[wire.held] = _WITHOUT[wire.cls](found)
            return cast(j.Entry, wire.cls(saga_id=saga_id, **fields))
        except (*UNREADABLE, DecodeError):
            problem = explained(data)
        raise problem


def _failure(found: Any) -> Failure:
    if found.error is None:
        raise DecodeError("this error has no name")
    return Failure(found.error, None, found.detail)


def _item(item: OpenItem | None) -> OpenItem:
    if item is None:
        raise DecodeError("what is open is missing")
    return replace(item, failure=replace(item.failure, value=None))


def _outcome(found: Any) -> Any:
    match found.kind:
        case "ok":
            return Ok(None, found.replayed)
        case "rejected":
            return Rejected(_failure(found), found.replayed)
        case "not sent":
            return NotSent(_failure(found), found.retry_after, found.repeat)
        case "unknown":
            return Unknown(_failure(found), found.retry_after, found.repeat, found.replayed)
    raise DecodeError("there is no such outcome")


def _end(found: Any) -> Any:
    match found.kind:
        case "completed":
            return Completed(None)
        case "compensated":
            return Compensated(_failure(found))
        case "escalated":
            return Escalated(tuple(map(_item, found.steps)))
    raise DecodeError("there is no such end")


_WITHOUT: Final[Mapping[type[j.Entry], Callable[[Any], Any]]] = {
    j.SagaStarted: lambda _: None,
    j.Intent: lambda _: (),
    j.OutcomeRecorded: _outcome,
    j.EventAccepted: lambda _: None,
    j.EscalationRaised: lambda found: _item(found.item),
    j.Settlement: lambda _: None,
    j.SagaFinished: _end,
}
