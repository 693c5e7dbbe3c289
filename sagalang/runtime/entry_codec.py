"""Journal entries as bytes and back, exactly: what a durable engine rebuilds runs from.

    codec = EntryCodec(ProgramTypes(program, values), sealing.seal, sealing.open)
    codec.decode("Order", "order-7", codec.encode("Order", entry)) == entry

An entry is one JSON object. `is` names its kind, the other names are short, and what has its
default is left out. The run's id and the name of its saga are the store's to keep, not repeated in
each entry. Values are written by their declared types (`exact_values`); secrets among them, and
nothing else, go through `seal`, so an entry without a secret needs no key. Fields that are not
known are ignored: a later version may add some. `journal_file` writes entries for people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

import msgspec
from msgspec.structs import replace

from sagalang.machine.events import Compensated, Completed, Escalated, OpenItem, Place, Purpose
from sagalang.machine.outcomes import Failure, NotSent, Ok, Rejected, Unknown
from sagalang.runtime import journal as j
from sagalang.runtime.codec import DecodeError, EncodeError, parse
from sagalang.runtime.entry_kinds import ENTRIES
from sagalang.runtime.entry_types import Types
from sagalang.runtime.entry_wire import decoder, read_by, wires
from sagalang.runtime.exact_values import EXACT, MISFITS, Form, Forms, dump, sealing
from sagalang.runtime.shown import COVER

Seal = Callable[[bytes], str]
Unseal = Callable[[str], bytes]


class EntryError(ValueError):
    """Bytes that are no entry of this definition. The message is a plain sentence without any
    value, `advice` what to do."""

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(message)
        self.advice = advice


_DAMAGED: Final = "restore the file from a copy: runs are rebuilt from all of their entries"


class EntryCodec:
    """For all runs of one definition. `seal` and `unseal` are called for secrets only; what they
    raise goes through."""

    def __init__(self, types: Types, seal: Seal, unseal: Unseal) -> None:
        self._types = types
        self._writing = _writing()
        self._forms = Forms(EXACT, sealing(seal, unseal))
        self._calls: dict[str, tuple[tuple[Form, ...], Form]] = {}
        self._params: dict[str, Mapping[str, Form]] = {}
        self._results: dict[str, Form] = {}

    def encode(self, saga: str, entry: j.Entry) -> bytes:
        """`saga`: the name of the entry's saga.

        Raises `EncodeError` for a value that is not of its declared type.
        """
        try:
            made, taken, write = self._writing[type(entry)]
            if write is None:
                return dump(made(*taken(entry)))
            return dump(made(*taken(entry), *write(self, saga, entry)))
        except MISFITS:
            pass
        raise EncodeError(
            f"a value in this entry ({type(entry).__name__}) is not of its declared type"
        )

    def decode(self, saga: str, saga_id: str, data: bytes) -> j.Entry:
        """Raises `EntryError`."""
        try:
            found = decoder().decode(data)
            wire = read_by()[type(found)]
            fields = dict(zip(wire.names, wire.given(found), strict=True))
            if "loops" in fields:
                fields["place"] = Place(fields.pop("path"), fields.pop("loops"))
            if wire.held is not None:
                fields[wire.held] = _READERS[wire.cls](self, saga, found)
            return cast(j.Entry, wire.cls(saga_id=saga_id, **fields))
        except KeyError:
            problem = EntryError(
                "an entry of the journal names what the definition of its saga does not have",
                "go on with the definition that the run began with",
            )
        except (*UNREADABLE, DecodeError):
            problem = explained(data)
        raise problem

    # --- The input of a run --------------------------------------------------------------------

    def encode_args(self, saga: str, args: Mapping[str, Any]) -> bytes:
        """The arguments that a run is started with, as they stand in its first entry."""
        try:
            return dump(self._write_args(saga, args))
        except MISFITS:
            pass
        raise EncodeError(f"an argument of {saga} is not of its declared type")

    def decode_args(self, saga: str, data: bytes) -> dict[str, Any]:
        """Raises `EntryError`."""
        try:
            return self._read_args(saga, parse(data))
        except (KeyError, *UNREADABLE, DecodeError):
            pass
        raise EntryError("the input of a run is damaged", _DAMAGED)

    # --- Values --------------------------------------------------------------------------------

    def _call(self, label: str) -> tuple[tuple[Form, ...], Form]:
        """The forms of the arguments and of the answer of an operation."""
        found = self._calls.get(label)
        if found is None:
            contract = self._types.contract(label)
            args = tuple(self._forms.of(param.type) for param in contract.params)
            found = self._calls[label] = (args, self._forms.of(contract.result))
        return found

    def _event(self, name: str) -> Form:
        return self._forms.of(self._types.event(name))

    def _result(self, saga: str) -> Form:
        found = self._results.get(saga)
        if found is None:
            found = self._results[saga] = self._forms.of(self._types.result(saga))
        return found

    def _params_of(self, saga: str) -> Mapping[str, Form]:
        found = self._params.get(saga)
        if found is None:
            types = self._types.params(saga)
            found = self._params[saga] = {n: self._forms.of(type_) for n, type_ in types.items()}
        return found

    def _write_args(self, saga: str, args: Mapping[str, Any]) -> dict[str, Any]:
        forms = self._params_of(saga)
        if not args.keys() <= forms.keys():
            raise KeyError(saga)
        return {
            name: None if args[name] is None else form.write(args[name])
            for name, form in forms.items()
            if name in args
        }

    def _read_args(self, saga: str, plain: Any) -> dict[str, Any]:
        forms = self._params_of(saga)
        if type(plain) is not dict:
            raise DecodeError("expected an object")
        return {
            name: None if item is None else forms[name].read(item) for name, item in plain.items()
        }

    def _write_failure(self, failure: Failure) -> Any:
        """Its value. Errors without fields have none, whichever way they came about."""
        value, type_ = failure.value, self._types.error(failure.name)
        if type_ is None:
            if value is not None and getattr(value, "__dataclass_fields__", True):
                raise TypeError(failure.name)
            return None
        return None if value is None else self._forms.of(type_).write(value)

    def _read_failure(self, name: str | None, plain: Any, detail: str) -> Failure:
        if name is None:
            raise DecodeError("this error has no name")
        if plain is None:
            return Failure(name, None, detail)
        return Failure(name, self._forms.of(self._types.error(name)).read(plain), detail)

    def _write_item(self, item: OpenItem) -> OpenItem:
        failure = replace(item.failure, value=self._write_failure(item.failure))
        return replace(item, failure=failure)

    def _read_item(self, item: OpenItem | None) -> OpenItem:
        if item is None:
            raise DecodeError("what is open is missing")
        plain = item.failure
        return replace(item, failure=self._read_failure(plain.name, plain.value, plain.detail))


class CoveredEntries(EntryCodec):
    """Reads entries without a key: where a secret is, there is its cover."""

    def __init__(self, types: Types) -> None:
        super().__init__(types, _keyless, _keyless)
        self._forms = Forms(EXACT, lambda _: _COVERED)


def _keyless(_: Any) -> Any:
    raise EncodeError("entries that were read with their secrets covered cannot be written")


_COVERED: Final = Form(_keyless, lambda plain: None if plain is None else COVER)
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError, ArithmeticError)


def explained(data: bytes) -> EntryError:
    try:
        plain = parse(data)
    except DecodeError:
        plain = None
    kind = plain.get("is") if isinstance(plain, dict) else None
    if isinstance(kind, str) and kind not in ENTRIES:
        return EntryError(
            f"the journal holds an entry of a kind that this sagalang does not know: {kind[:40]!r}",
            "go on with the version of sagalang that wrote it, or a later one",
        )
    return EntryError("an entry of the journal is damaged: it is not what was written", _DAMAGED)


# --- The parts of entries that hold values -----------------------------------------------------


def _write_call_args(codec: EntryCodec, saga: str, entry: j.Intent) -> tuple[Any, ...]:
    forms, args = codec._call(entry.label)[0], entry.args
    if len(forms) != len(args):
        raise TypeError(entry.label)
    return ([None if a is None else f.write(a) for f, a in zip(forms, args, strict=True)],)


def _read_call_args(codec: EntryCodec, saga: str, found: Any) -> tuple[Any, ...]:
    forms, args = codec._call(found.label)[0], found.args
    if len(forms) != len(args):
        raise DecodeError("these are not the arguments of the call")
    return tuple(None if a is None else f.read(a) for f, a in zip(forms, args, strict=True))


def _write_outcome(codec: EntryCodec, saga: str, entry: j.OutcomeRecorded) -> tuple[Any, ...]:
    """`kind` and `error` of the entry say the rest."""
    outcome = entry.value
    if type(outcome) is Ok:  # most are; `match` asks each class in turn
        value = outcome.value
        plain = None if value is None else codec._call(entry.label)[1].write(value)
        return plain, "", outcome.replayed, None, True
    match outcome:
        case Rejected(error, replayed):
            return codec._write_failure(error), error.detail, replayed, None, True
        case NotSent(error, after, repeat):
            return codec._write_failure(error), error.detail, False, after, repeat
        case Unknown(error, after, repeat, replayed):
            return codec._write_failure(error), error.detail, replayed, after, repeat


def _read_outcome(codec: EntryCodec, saga: str, found: Any) -> Any:
    if found.kind == "ok":
        plain = found.value
        value = None if plain is None else codec._call(found.label)[1].read(plain)
        return Ok(value, found.replayed)
    failure = codec._read_failure(found.error, found.value, found.detail)
    match found.kind:
        case "rejected":
            return Rejected(failure, found.replayed)
        case "not sent":
            return NotSent(failure, found.retry_after, found.repeat)
        case "unknown":
            return Unknown(failure, found.retry_after, found.repeat, found.replayed)
    raise DecodeError("there is no such outcome")


def _write_end(codec: EntryCodec, saga: str, entry: j.SagaFinished) -> tuple[Any, ...]:
    """`kind` and `error` of the entry say the rest."""
    match entry.value:
        case Completed(value):
            return None if value is None else codec._result(saga).write(value), "", ()
        case Compensated(error):
            return codec._write_failure(error), error.detail, ()
        case Escalated(steps):
            return None, "", tuple(map(codec._write_item, steps))


def _read_end(codec: EntryCodec, saga: str, found: Any) -> Any:
    match found.kind:
        case "completed":
            plain = found.value
            return Completed(None if plain is None else codec._result(saga).read(plain))
        case "compensated":
            return Compensated(codec._read_failure(found.error, found.value, found.detail))
        case "escalated":
            return Escalated(tuple(map(codec._read_item, found.steps)))
    raise DecodeError("there is no such end")


def _settled(codec: EntryCodec, saga: str, path: str, purpose: Purpose) -> Form:
    return codec._forms.of(codec._types.settled(saga, path, purpose))


def _write_settled(codec: EntryCodec, saga: str, entry: j.Settlement) -> tuple[Any, ...]:
    if entry.value is None:
        return (None,)
    return (_settled(codec, saga, entry.place.path, entry.purpose).write(entry.value),)


def _read_settled(codec: EntryCodec, saga: str, found: Any) -> Any:
    if found.value is None:
        return None
    return _settled(codec, saga, found.path, found.purpose).read(found.value)


_Write = Callable[[EntryCodec, str, Any], tuple[Any, ...]]
_WRITERS: Final[Mapping[type[j.Entry], _Write]] = {
    j.SagaStarted: lambda codec, saga, entry: (codec._write_args(entry.saga, entry.args),),
    j.Intent: _write_call_args,
    j.OutcomeRecorded: _write_outcome,
    j.EventAccepted: lambda codec, saga, entry: (codec._event(entry.event).write(entry.value),),
    j.EscalationRaised: lambda codec, saga, entry: (codec._write_item(entry.item),),
    j.Settlement: _write_settled,
    j.SagaFinished: _write_end,
}
"""From an entry with values: what `entry_wire.HELD` lists for it."""


@lru_cache(maxsize=1)
def _writing() -> Mapping[type[j.Entry], tuple[type[Any], Callable[[Any], Any], _Write | None]]:
    """Of each entry the class of what is written, and where its fields come from: at one place,
    for every step asks several times."""
    return {cls: (wire.made, wire.taken, _WRITERS.get(cls)) for cls, wire in wires().items()}


_READERS: Final[Mapping[type[j.Entry], Callable[[EntryCodec, str, Any], Any]]] = {
    j.SagaStarted: lambda codec, saga, found: codec._read_args(found.saga, found.args),
    j.Intent: _read_call_args,
    j.OutcomeRecorded: _read_outcome,
    j.EventAccepted: lambda codec, saga, found: codec._event(found.event).read(found.value),
    j.EscalationRaised: lambda codec, saga, found: codec._read_item(found.item),
    j.Settlement: _read_settled,
    j.SagaFinished: _read_end,
}
"""And back."""
