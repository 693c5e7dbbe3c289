"""The format of journals: what is written is read back, and what is no journal is told plainly."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagalang.machine.events import (
    Compensated,
    Completed,
    Escalated,
    OpenItem,
    Place,
    Purpose,
    Timer,
)
from sagalang.machine.frozen import FrozenMap
from sagalang.machine.outcomes import Failure, NotSent, Ok, Rejected, Unknown
from sagalang.runtime import journal as j
from sagalang.runtime.codec import freeze
from sagalang.runtime.journal_file import (
    Definition,
    FaultStruck,
    Header,
    JournalError,
    LateArrival,
    Line,
    entry_line,
    header_line,
    read,
)
from sagalang.runtime.journal_values import Kept
from sagalang.runtime.shapes import record_fields

GOLDEN = Path(__file__).parents[1] / "golden" / "journal"
HEADER = Header(
    sagalang="0.1.0",
    saga="Go",
    saga_id="t-1",
    began=1_000,
    fakes=True,
    definition=Definition(main="go.saga", files={"go.saga": "saga Go() {}\n", "x/y.saga": "é\n"}),
)


EVERY = [c for c in vars(j).values() if isinstance(c, type) and issubclass(c, j.Entry)]
CONCRETE = [c for c in EVERY if not any(issubclass(other, c) for other in EVERY if other is not c)]
ENTRIES: list[type[Any]] = [*CONCRETE, LateArrival, FaultStruck]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**53), 2**53) | st.decimals(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    TEXT | NUMBERS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
).map(freeze)
KEPT = st.none() | JSON.filter(lambda plain: plain is not None).map(Kept)
PLACES = st.builds(Place, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple))
FAILURES = st.builds(Failure, TEXT, KEPT, TEXT)
ITEMS = st.builds(OpenItem, PLACES, st.sampled_from(Purpose), TEXT, FAILURES, TEXT, st.booleans())
WAITS = st.none() | st.integers(0, 2**40)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    str | None: st.none() | TEXT,
    int: st.integers(0, 2**50),
    int | None: WAITS,
    bool: st.booleans(),
    Any: KEPT,
    tuple[Any, ...]: st.lists(KEPT, max_size=3).map(tuple),
    Place: PLACES,
    Purpose: st.sampled_from(Purpose),
    Timer: st.sampled_from(Timer),
    OpenItem: ITEMS,
    Ok | Rejected | NotSent | Unknown: st.builds(Ok, KEPT, st.booleans())
    | st.builds(Rejected, FAILURES, st.booleans())
    | st.builds(NotSent, FAILURES, WAITS, st.booleans())
    | st.builds(Unknown, FAILURES, WAITS, st.booleans()),
    Completed | Compensated | Escalated: st.builds(Completed, KEPT)
    | st.builds(Compensated, FAILURES)
    | st.builds(Escalated, st.lists(ITEMS, max_size=2).map(tuple)),
}


def entries(cls: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(cls, **{field.attr: BY_TYPE[field.type] for field in record_fields(cls)})


def exact(value: Any) -> Any:
    """The value with the classes of all its parts: `repr`, in which equal numbers differ, and
    with what the equality of outcomes overlooks."""
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return repr(int(value))  # JSON knows no difference between 2 and 2.0
    if isinstance(value, FrozenMap):
        return {name: exact(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [exact(item) for item in value]
    if isinstance(value, Kept):
        return ["kept", exact(value.plain)]
    if hasattr(value, "__struct_fields__") or hasattr(value, "__dataclass_fields__"):
        fields = {f.attr: exact(getattr(value, f.attr)) for f in record_fields(type(value))}
        return [type(value).__name__, fields]
    return repr(value)


def text_of(*lines: Line) -> str:
    return header_line(HEADER) + "".join(map(entry_line, lines))


# --- Round trip ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ENTRIES, ids=lambda cls: cls.__name__)
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_back(cls: type[Any], data: st.DataObject) -> None:
    entry = data.draw(entries(cls))
    found = read(text_of(entry))
    assert found.header == HEADER
    assert not found.cut
    assert exact(found.lines) == exact((entry,))


def test_each_kind_of_entry_has_a_name_of_its_own() -> None:
    assert len(ENTRIES) > 20
    names = set()
    for cls in ENTRIES:
        fields = {"at": 0, "text": "", "label": ""}
        written = entry_line(_any(cls, fields))
        names.add(json.loads(written)["entry"])
    assert len(names) == len(ENTRIES)


def _any(cls: type[Any], known: dict[str, Any]) -> Any:
    defaults: dict[Any, Any] = {
        str: "",
        int: 0,
        bool: False,
        Place: Place("p"),
        Purpose: Purpose.STEP,
        Timer: Timer.WAIT,
        tuple[Any, ...]: (),
        OpenItem: OpenItem(Place("p"), Purpose.STEP, "S.do", Failure("F")),
        Ok | Rejected | NotSent | Unknown: Ok(),
        Completed | Compensated | Escalated: Completed(),
    }
    return cls(**{f.attr: known.get(f.attr, defaults.get(f.type)) for f in record_fields(cls)})


def test_the_format_does_not_change_unnoticed(golden: Callable[[Path, str], None]) -> None:
    """Journals that were kept must stay readable: a change of this file needs a new version, or
    fields that a reader can do without."""
    text = text_of(*(_any(cls, {"at": 7, "saga_id": "t-1", "label": "S.do"}) for cls in ENTRIES))
    golden(GOLDEN / "every-entry.jsonl", text)
    assert len(read(text).lines) == len(ENTRIES)


def test_a_value_that_was_not_covered_is_refused() -> None:
    raw = j.SagaStarted(at=1, saga_id="t-1", saga="Go", args={"card": "4111"})
    with pytest.raises(TypeError, match="not covered") as told:
        entry_line(raw)
    assert "4111" not in str(told.value)


def test_a_number_keeps_its_digits() -> None:
    entry = j.SagaStarted(at=1, saga_id="t", saga="Go", args=Kept(Decimal("18.50")))
    line = entry_line(entry)
    assert '"args":18.50' in line
    assert repr(read(text_of(entry)).lines[0].args.plain) == "Decimal('18.50')"  # type: ignore[union-attr]


# --- Damage --------------------------------------------------------------------------------------

STARTED = j.SagaStarted(at=1, saga_id="t-1", saga="Go", args=None)
CANCEL = j.CancelAsked(at=2, saga_id="t-1")


def test_a_half_written_last_line_is_left_out_and_said() -> None:
    whole = text_of(STARTED, CANCEL)
    begin = len(text_of(STARTED))
    for end in range(begin + 1, len(whole) - 1):
        found = read(whole[:end])
        assert (found.lines, found.cut) == ((STARTED,), True)
    assert read(whole[:begin]).cut is False
    assert read(whole[:-1]).lines == (STARTED, CANCEL)  # only its newline is missing


def test_a_character_cut_in_half_is_no_more_than_a_half_line() -> None:
    written = (text_of(STARTED) + entry_line(FaultStruck(2, "S.do", "é"))).encode()
    found = read(written[: written.rindex("é".encode()) + 1])
    assert (found.lines, found.cut) == ((STARTED,), True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this file is empty"),
        ("\n", "this file is empty"),
        ("saga Go() {\n", "this is not the journal of a run"),
        ('{"format": "other"}\n', "this is not the journal of a run"),
        ("[1]\n", "this is not the journal of a run"),
        ("[" * 100_000, "this is not the journal of a run"),
        ('{"format": "sagalang-journal", "version": 2}\n', "version 2 of the format"),
        ('{"format": "sagalang-journal", "version": 1}\n', "sagalang: this field is missing"),
    ],
)
def test_what_is_no_journal_is_told_plainly(text: str, said: str) -> None:
    with pytest.raises(JournalError, match=said):
        read(text)


def test_bytes_that_are_no_text_are_no_journal() -> None:
    with pytest.raises(JournalError, match="not the journal of a run"):
        read(b"\x89PNG\r\n\x1a\n\xff")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "the JSON text ends too early"),
        ("{", "the JSON text ends too early"),
        ("7", "expected an object"),
        ('{"entry": "dance"}', "entry: there is no such entry"),
        ('{"entry": ["event"]}', "entry: there is no such entry"),
        ('{"entry": "cancel asked", "at": 1}', "saga_id: this field is missing"),
        ('{"entry": "cancel asked", "at": "1", "saga_id": "t"}', "at: expected an int"),
        (
            '{"entry": "saga finished", "at": 1, "saga_id": "t", "kind": "", "error": null,'
            ' "value": {"is": "ok"}}',
            "value.is: there is no such outcome",
        ),
        (
            '{"entry": "interrupted", "at": 1, "saga_id": "t", "purpose": "step",'
            ' "place": {"path": "p", "loops": [["a", 4111]]}}',
            "place.loops: ",
        ),
    ],
)
def test_a_damaged_line_is_told_with_its_number_and_no_value(line: str, said: str) -> None:
    with pytest.raises(JournalError, match=f"this line is damaged: {said}") as told:
        read(text_of(STARTED) + line + "\n" + entry_line(CANCEL))
    assert told.value.line == 3
    assert "4111" not in str(told.value)


def test_fields_of_a_later_version_are_ignored() -> None:
    line = entry_line(CANCEL).replace("{", '{"mood": "calm", ', 1)
    assert read(text_of(STARTED) + line).lines == (STARTED, CANCEL)
