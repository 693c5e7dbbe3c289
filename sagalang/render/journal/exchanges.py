"""Attempts and probes in a journal: which answer belongs to which, and what repeats itself."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagalang.machine.events import Place, Purpose
from sagalang.render.journal import told
from sagalang.runtime import journal as j
from sagalang.runtime.journal_file import FaultStruck, Line

Call = tuple[str, Place, Purpose]
"""A call of a run. The questions of one poll count as one call."""
Recorded = Sequence[tuple[int, j.Entry]]
"""Entries with their indexes in the journal that was given."""

_PERIODS = (1, 2, 3)
"""An attempt with up to two probes behind it is the longest round there is."""
_WORTH = 3
"""Fewer repetitions than these are drawn rather than counted."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One attempt or probe: the indexes of its entries, and the `kind` of the one that ends it.
    `end` is None where none does, after a crash. Those alike have the same `signature`."""

    start: int
    end: int | None
    kind: str
    signature: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Repetition:
    """Exchanges that went like those before them; `probes`: some of them are probes."""

    count: int
    probes: bool
    last: int
    """The index of the entry that ends the last of them."""


def call_of(entry: j.CallEntry) -> Call:
    return entry.saga_id, entry.place, entry.purpose


def goes_back(entry: j.CallEntry) -> bool:
    """Whether the call belongs to going back."""
    return entry.purpose in (Purpose.RESOLVE, Purpose.COMPENSATE)


def exchanges(entries: Recorded) -> Mapping[Call, list[Exchange]]:
    """The attempts and probes of each call, in order."""
    found: dict[Call, list[Exchange]] = {}
    for index, entry in entries:
        match entry:
            case j.AttemptStarted() | j.ProbeStarted():
                # Until its end is found it is like no other.
                found.setdefault(call_of(entry), []).append(Exchange(index, None, "", (index,)))
            case j.AttemptEnded() | j.ProbeEnded():
                mine = found.get(call_of(entry))
                if mine and mine[-1].end is None:
                    signature = (type(entry), entry.kind, entry.error)
                    mine[-1] = Exchange(mine[-1].start, index, entry.kind, signature)
            case _:
                pass
    return found


Numbered = tuple[Call, int]
"""A call, where the questions of a poll count as calls of their own."""


def values_of(
    entries: Recorded,
) -> tuple[Mapping[Numbered, tuple[Any, ...]], Mapping[int, Any]]:
    """The arguments of each call, and what answers brought, by the index of the attempt's end."""
    args: dict[Numbered, tuple[Any, ...]] = {}
    answers: dict[int, Any] = {}
    last: dict[Numbered, tuple[int, str]] = {}
    for index, entry in entries:
        match entry:
            case j.Intent():
                args[call_of(entry), entry.number] = entry.args
            case j.AttemptEnded(kind=kind):
                last[call_of(entry), entry.number] = (index, kind)
            case j.OutcomeRecorded(kind=kind):
                at, ended = last.get((call_of(entry), entry.number), (index, ""))
                if ended == kind:
                    answers[at] = told.held(entry.value)
            case _:
                pass
    return args, answers


def repetitions(
    entries: Recorded, found: Mapping[Call, list[Exchange]], kept: Container[int]
) -> tuple[dict[int, Repetition], frozenset[int]]:
    """The repetitions by the index at which they begin, and the indexes of all their entries.

    An entry in `kept` is in none of them.
    """
    begins: dict[int, Repetition] = {}
    hidden: set[int] = set()
    indexes: dict[Call, list[int]] = {call: [] for call in found}
    for index, entry in entries:
        if isinstance(entry, j.CallEntry) and call_of(entry) in indexes and index not in kept:
            indexes[call_of(entry)].append(index)
    for call, each in found.items():
        marked = [e.start in kept or e.end in kept for e in each]
        signatures = [
            (e.start,) if mark else e.signature for e, mark in zip(each, marked, strict=True)
        ]
        for first, stop in _stretches(signatures):
            last = each[stop - 1].end
            assert last is not None
            begin, end = each[first].start, each[stop].start
            probes = any(e.signature[0] is j.ProbeEnded for e in each[first:stop])
            begins[begin] = Repetition(stop - first, probes, last)
            hidden.update(index for index in indexes[call] if begin <= index < end)
    return begins, frozenset(hidden)


def struck_in(story: Sequence[tuple[int, Line]], hidden: Container[int]) -> frozenset[int]:
    """The faults that struck attempts which are not drawn one by one: each stands before the end of
    its attempt."""
    found: set[int] = set()
    after = False
    for index, line in reversed(story):
        if isinstance(line, FaultStruck):
            if after:
                found.add(index)
        elif isinstance(line, j.Entry):
            after = index in hidden
    return frozenset(found)


def _stretches(signatures: Sequence[tuple[object, ...]]) -> Iterator[tuple[int, int]]:
    """Where the same come again and again, each or a few in turn; what is drawn, the first two
    rounds and the last one, is not part of it."""
    start = 0
    while start < len(signatures):
        for period in _PERIODS:
            stop = start + period
            while stop < len(signatures) and signatures[stop] == signatures[stop - period]:
                stop += 1
            first, last = start + 2 * period, stop - period
            if last - first >= _WORTH:
                yield first, last
                start = last
                break
        else:
            start += 1
