"""Pictures of what really happened, from the journals of runs in simulated time."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pictured import notes as notes_of

from sagalang.interpret.run import Run, Send, begin
from sagalang.machine.evaluate import Build, Scope, evaluate
from sagalang.machine.events import Completed, Place, Purpose, Timer
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model.program import Program, Scenario
from sagalang.model.types import RecordRef
from sagalang.render import mermaid, text
from sagalang.render.diagram import (
    Fate,
    Message,
    MessageKind,
    Note,
    NoteKind,
    ParticipantKind,
    messages,
)
from sagalang.render.journal import LateArrival, Shown, model
from sagalang.runtime import journal as j
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.journal_file import (
    Definition,
    FaultStruck,
    Header,
    entry_line,
    header_line,
    read,
)
from sagalang.runtime.journal_values import Kept, covering
from sagalang.runtime.values import Values
from sagalang.scenario import run as run_scenario
from sagalang.scenario.stage import Stage
from sagalang.workspace import load, load_text

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "text"
ORDER = load(str(ROOT / "examples" / "order" / "order.saga")).program
SHOP = load(str(ROOT / "examples" / "shop" / "shop.saga")).program
CARD = "4111-1111"
TRIP = load_text("""
error Full, Rain
event Weather { fine: bool }
record Trip { id: string, nights: list<string> }
policy brisk { timeout 1s retry 2 times backoff 100ms * 2 up to 1s jitter full }
service Hotel {
  with brisk
  command book(trip: string, night: string, card: secret string)
    keyed, records rejections
    rejects Full
    compensate cancel(key)
  command cancel(of: key)      idempotent, absent ok, fences late
  query ready(trip: string) -> bool
}
service Mail { with brisk command tell(trip: string) keyed }
saga Luggage(trip: string, card: secret string) {
  step Hotel.book(trip, "locker", card)
}
saga Go(trip: Trip, card: secret string) {
  id trip.id
  for night in trip.nights by night { step bags = saga Luggage(trip.id, card) }
  wait news: Weather within 1h else null
  poll free = Hotel.ready(trip.id) until free every 10s within 2m else abort Rain
  step Hotel.book(trip.id, "first", card)
  pivot step Mail.tell(trip.id)
}
let sample = Trip(id: "t-1", nights: ["Mon", "Tue"])
""").program


class Crashing:
    """Lets the orchestrator die as soon as the named call was served."""

    def __init__(self, inner: FakeTransport, label: str, crash: Callable[[], None]) -> None:
        self.inner, self.label, self.crash = inner, label, crash

    async def call(self, request: Request) -> Outcome:
        outcome = await self.inner.call(request)
        if request.contract.label == self.label:
            self.label = ""
            self.crash()
            await asyncio.get_running_loop().create_future()
        return outcome

    async def aclose(self) -> None:
        pass


def play(
    program: Program,
    saga: str,
    *faults: PlannedFault,
    sends: Sequence[Send] = (),
    crash: str = "",
    change: dict[str, Any] | None = None,
) -> tuple[j.Entry, ...]:
    """The journal of a run with the file's `sample`; `change`: other values of its fields."""
    values = Values(program)
    scope = Scope({}, Build(values.make, values.get, values.convert, values.update))
    sample = evaluate(program.constants["sample"].value, scope)
    for name, value in (change or {}).items():
        sample = values.update(sample, {name: value})
    params = program.sagas[saga].params
    args: dict[str, Any] = {p.name: sample if i == 0 else CARD for i, p in enumerate(params)}
    world = FakeWorld(program, values=values, faults=faults)

    async def main(clock: SimulatedClock) -> tuple[j.Entry, ...]:
        transport = FakeTransport(world, clock, 40)
        engine = MemoryEngine(clock, transport, lambda: 0.5)
        run: Run = begin(program, saga, args, engine=engine, values=values)
        engine.transport = Crashing(transport, crash, run.crash)
        return (await run.result(sends)).journal

    return simulated(main)


def picture(
    program: Program, saga: str, journal: Sequence[j.Entry | LateArrival], **options: Any
) -> str:
    return text.emit(model(program, saga, journal, **options))


def fault(
    kind: str, operation: str, times: int | None = 1, error: str | None = None
) -> PlannedFault:
    return PlannedFault(kind, operation, error=error, remaining=times)


def weather(program: Program, fine: bool) -> Any:
    return Values(program).make(RecordRef("Weather"), {"fine": fine})


# --- Goldens, read by eye ------------------------------------------------------------------------


REFUSED = (
    fault("times out after effect", "Payment.charge"),
    fault("rejects", "Inventory.reserve", error="OutOfStock"),
)
OUTAGE = (
    fault("times out after effect", "Payment.charge", None),
    fault("unavailable", "Payment.refund", 40),
)


@pytest.mark.parametrize(
    ("name", "program", "saga", "options", "faults"),
    [
        ("completed", ORDER, "PlaceOrder", {}, ()),
        ("refused", ORDER, "PlaceOrder", {}, REFUSED),
        ("outage", ORDER, "PlaceOrder", {}, OUTAGE),
        ("crash", SHOP, "PlaceOrder", {"crash": "Payment.capture"}, ()),
        (
            "parallel",
            SHOP,
            "PlaceOrder",
            {},
            (fault("rejects", "Inventory.reserve", error="OutOfStock"),),
        ),
        (
            "probe",
            SHOP,
            "PlaceOrder",
            {},
            (
                fault("times out before effect", "Shipping.book", 5),
                fault("unavailable", "Notification.receipt", None),
            ),
        ),
        (
            "escalated",
            SHOP,
            "PlaceOrder",
            {},
            (fault("rejects", "Shipping.book", error="BadAddress"),),
        ),
        (
            "trip",
            TRIP,
            "Go",
            {"sends": (Send("Weather", weather(TRIP, True), 60_000),)},
            (
                PlannedFault("returns", "Hotel.ready", value=False, remaining=7),
                PlannedFault("rejects", "Hotel.book", ("t-1", "first", CARD), "Full"),
            ),
        ),
        (
            "child",
            TRIP,
            "Go",
            {},
            (PlannedFault("returns", "Hotel.ready", value=False, remaining=None),),
        ),
    ],
)
def test_goldens(
    golden: Callable[[Path, str], None],
    name: str,
    program: Program,
    saga: str,
    options: dict[str, Any],
    faults: tuple[PlannedFault, ...],
) -> None:
    fresh = [dataclasses.replace(planned) for planned in faults]
    drawn = picture(program, saga, play(program, saga, *fresh, **options))
    golden(GOLDEN / f"run-{name}.txt", drawn)
    assert CARD not in drawn


# --- What a reader must be able to tell ----------------------------------------------------------


def drawn(journal: Sequence[j.Entry | LateArrival], **options: Any) -> list[Message]:
    return list(messages(model(ORDER, "PlaceOrder", journal, **options).items))


def index_of(journal: Sequence[j.Entry], kind: type[j.CallEntry], label: str, nth: int = 0) -> int:
    found = [i for i, e in enumerate(journal) if isinstance(e, kind) and e.label == label]
    return found[nth]


@pytest.fixture(scope="module")
def refused() -> tuple[j.Entry, ...]:
    return play(ORDER, "PlaceOrder", *(dataclasses.replace(planned) for planned in REFUSED))


@pytest.fixture(scope="module")
def outage() -> tuple[j.Entry, ...]:
    return play(ORDER, "PlaceOrder", *(dataclasses.replace(planned) for planned in OUTAGE))


def test_a_lost_request_and_a_lost_answer_look_different(refused: tuple[j.Entry, ...]) -> None:
    sent = index_of(refused, j.AttemptStarted, "Payment.charge")
    usual, marked = drawn(refused), drawn(refused, undelivered={sent})
    assert [(m.kind, m.text) for m in usual if m.fate is Fate.LOST] == [
        (MessageKind.REPLY, "+2s unknown: no answer (Timeout)")
    ]
    assert [(m.kind, m.text) for m in marked if m.fate is Fate.LOST] == [
        (MessageKind.CALL, "charge")
    ]
    shown = picture(ORDER, "PlaceOrder", refused, undelivered={sent})
    assert "[+2s ✗ unknown: no answer (Timeout)]" in shown


def test_marks_stand_behind_what_they_mark(
    golden: Callable[[Path, str], None], refused: tuple[j.Entry, ...]
) -> None:
    ended = index_of(refused, j.AttemptEnded, "Payment.charge")
    refund = index_of(refused, j.AttemptEnded, "Payment.refund")
    late = LateArrival(refused[refund].at, "Payment.charge", "arrives late: taken again")
    journal: list[j.Entry | LateArrival] = [*refused[: refund + 1], late, *refused[refund + 1 :]]
    marks = {
        ended: "⚡ fault: the request is lost",
        refund + 1: "⚡ nothing undoes this charge",
    }
    undelivered = {index_of(refused, j.AttemptStarted, "Payment.charge")}
    shown = picture(ORDER, "PlaceOrder", journal, marks=marks, undelivered=undelivered)
    golden(GOLDEN / "run-marked.txt", shown)
    lines = shown.split("\n")
    at = next(i for i, line in enumerate(lines) if "⚡ fault" in line)
    assert "✗" in lines[at - 1]


def test_what_is_marked_is_never_counted_instead_of_drawn(outage: tuple[j.Entry, ...]) -> None:
    twentieth = index_of(outage, j.AttemptEnded, "Payment.refund", 19)
    shown = picture(ORDER, "PlaceOrder", outage, marks={twentieth: "⚡ here"})
    assert "refund, attempt 20" in shown
    assert "⚡ here" in shown
    assert shown.count("more attempts") == 2
    waits = [i for i, entry in enumerate(outage) if isinstance(entry, j.Waiting)]
    usual = picture(ORDER, "PlaceOrder", outage)
    waiting = picture(ORDER, "PlaceOrder", outage, marks={waits[20]: "⚡ here"})
    assert waiting.count("again in") == usual.count("again in") + 1


def test_no_attempt_is_forgotten_by_the_counting(outage: tuple[j.Entry, ...]) -> None:
    shown = model(ORDER, "PlaceOrder", outage)
    calls = [m for m in messages(shown.items) if m.text.split(",")[0].endswith("refund")]
    happened = sum(isinstance(e, j.AttemptStarted) and "refund" in e.label for e in outage)
    assert happened == 41
    assert len(calls) == 4
    assert "… 37 more attempts until" in text.emit(shown)


def test_every_prefix_of_a_journal_can_be_drawn() -> None:
    journal = play(SHOP, "PlaceOrder", fault("times out after effect", "Shipping.book"))
    for end in range(1, len(journal)):
        shown = picture(SHOP, "PlaceOrder", journal[:end])
        assert shown.endswith("\n")
        assert ("the journal ends here" in shown) == (end < len(journal))


def test_only_the_run_that_was_asked_for_is_drawn(refused: tuple[j.Entry, ...]) -> None:
    other = [replace(entry, saga_id="other") for entry in refused]
    mixed = [entry for pair in zip(refused, other, strict=True) for entry in pair]
    assert picture(ORDER, "PlaceOrder", mixed) == picture(ORDER, "PlaceOrder", refused)
    with pytest.raises(ValueError, match="no run of PlaceOrder"):
        model(ORDER, "PlaceOrder", ())


def test_mermaid_draws_it_too(refused: tuple[j.Entry, ...]) -> None:
    late = LateArrival(refused[-1].at, "Payment.charge")
    shown = mermaid.emit(model(ORDER, "PlaceOrder", [*refused, late]))
    assert "s2--xs0: +2s unknown#58; no answer (Timeout)" in shown
    assert "s0--)s2: charge arrives late" in shown


@pytest.mark.parametrize("scenario", SHOP.scenarios, ids=lambda scenario: scenario.title)
def test_a_run_is_drawn_the_same_from_its_file(scenario: Scenario) -> None:
    stage = Stage(SHOP)
    course = run_scenario(SHOP, scenario, stage=stage).course
    cover = covering(SHOP, stage.values)
    entries = [cover(entry) for entry in course.journal]
    header = Header(
        sagalang="0",
        saga=scenario.saga,
        saga_id=course.saga_id,
        began=course.started,
        fakes=True,
        definition=Definition(main="a", files={"a": ""}),
    )
    found = read(header_line(header) + "".join(map(entry_line, entries)))
    assert list(found.lines) == entries
    whole = Shown(values=True)
    assert model(SHOP, scenario.saga, found.lines) == model(SHOP, scenario.saga, course.journal)
    drawn = model(SHOP, scenario.saga, found.lines, shown=whole)
    assert drawn == model(SHOP, scenario.saga, entries, shown=whole)
    assert "Main St 1" in repr(drawn) or "book" not in repr(drawn)
    assert "'tok'" not in repr(entries)


# --- Single entries ------------------------------------------------------------------------------

START = 1_000
ALL = Shown(values=True)
COMMON: dict[str, Any] = {
    "at": START,
    "saga_id": "o-1",
    "place": Place("Payment.charge"),
    "purpose": Purpose.STEP,
    "label": "Payment.charge",
    "key": "k",
}
STARTED = j.SagaStarted(at=START, saga_id="o-1", saga="PlaceOrder", args={"order": CARD})


def notes(*entries: j.Entry) -> list[str]:
    """The notes of a journal of these entries, the last one left out: it never ends."""
    shown = model(ORDER, "PlaceOrder", [STARTED, *entries])
    return [line for item in shown.items if isinstance(item, Note) for line in item.lines][:-1]


def believed(outcome: Outcome, kind: str, error: str | None) -> j.OutcomeRecorded:
    return j.OutcomeRecorded(**COMMON, kind=kind, error=error, value=outcome, unanswered=None)


def test_a_call_that_was_not_sent_has_no_arrow() -> None:
    entries = [
        j.AttemptStarted(**COMMON, attempt=1),
        j.AttemptEnded(**COMMON, attempt=1, kind="not sent", error="NotSent"),
        believed(NotSent(Failure("NotSent")), "not sent", "NotSent"),
    ]
    assert notes(*entries) == ["charge: not sent (NotSent)"]
    assert not drawn([STARTED, *entries])


def test_doubt_that_stays_is_said() -> None:
    started = j.AttemptStarted(**COMMON, attempt=2)
    rejected = j.AttemptEnded(**COMMON, attempt=2, kind="rejected", error="Declined")
    failure = Failure("Declined")
    unknown = believed(Unknown(failure), "unknown", "Declined")
    refused = believed(Rejected(failure), "rejected", "Declined")
    assert notes(started, rejected, unknown) == ["charge counts as unknown (Declined)"]
    assert notes(started, rejected, refused) == []


def test_a_call_that_was_given_up_before_its_first_attempt_is_said() -> None:
    late = Failure("DeadlineExceeded")
    assert notes(believed(NotSent(late), "not sent", late.name)) == [
        "charge: not sent (DeadlineExceeded)"
    ]


def test_no_value_of_a_journal_is_shown() -> None:
    entries = [
        STARTED,
        j.Intent(**COMMON, args=(CARD,)),
        j.AttemptStarted(**COMMON, attempt=1),
        j.AttemptEnded(**COMMON, attempt=1, kind="ok"),
        believed(Ok(CARD), "ok", None),
        j.EventAccepted(at=START, saga_id="o-1", event="Paid", id=CARD, value=CARD),
        j.SagaFinished(
            at=START, saga_id="o-1", kind="completed", error=None, value=Completed(CARD)
        ),
    ]
    assert CARD not in repr(model(ORDER, "PlaceOrder", entries))


def test_a_value_is_shown_only_where_it_was_covered_and_asked_for() -> None:
    def shown(value: Any, values: bool) -> str:
        entries = [
            STARTED,
            j.Intent(**COMMON, args=(value, None)),
            j.AttemptStarted(**COMMON, attempt=1),
            j.AttemptEnded(**COMMON, attempt=1, kind="ok"),
            believed(Ok(value), "ok", None),
            j.EventAccepted(at=START, saga_id="o-1", event="Paid", id="1", value=value),
            j.SagaFinished(
                at=START, saga_id="o-1", kind="completed", error=None, value=Completed(value)
            ),
        ]
        return repr(model(ORDER, "PlaceOrder", entries, shown=Shown(values=values)))

    raw, covered = shown(CARD, True), shown(Kept("ch-7"), True)
    assert CARD not in raw
    assert "charge(…, null)" in raw
    assert "'charge(ch-7, null)'" in covered
    assert "'ok ch-7'" in covered
    assert "'Paid ch-7 " in covered
    assert "'completed ch-7'" in covered
    assert "ch-7" not in shown(Kept("ch-7"), False)


def test_an_answer_that_is_not_believed_shows_no_value() -> None:
    entries = [
        j.AttemptStarted(**COMMON, attempt=1),
        j.AttemptEnded(**COMMON, attempt=1, kind="rejected", error="Declined"),
        believed(Unknown(Failure("Declined", Kept("why"))), "unknown", "Declined"),
    ]
    assert "why" not in repr(model(ORDER, "PlaceOrder", [STARTED, *entries], shown=ALL))


def test_long_values_are_shortened_beside_the_arrow_and_whole_on_demand() -> None:
    name = "x" * 200
    entries: list[Any] = [
        j.Intent(**COMMON, args=(Kept(name),)),
        j.AttemptStarted(**COMMON, attempt=1),
    ]
    (call,) = drawn([STARTED, *entries], shown=ALL)
    assert len(call.text) < 80
    assert f"arguments ({name})" in call.details
    key = "d134158b-217c-5940-91b2-3cb367bff238"
    (call,) = drawn([STARTED, replace(entries[0], args=(Kept(key),)), entries[1]], shown=ALL)
    assert call.text == "charge(d134158b…)"
    assert f"arguments ({key})" in call.details


def test_a_message_tells_on_demand_when_it_was_its_key_and_its_error() -> None:
    later = {**COMMON, "at": START + 2_000}
    call, answer = drawn(
        [
            STARTED,
            j.AttemptStarted(**COMMON, attempt=2),
            j.AttemptEnded(
                **later, attempt=2, kind="unknown", error="Unavailable", detail="answered 503"
            ),
        ],
        shown=Shown(clock=True),
    )
    assert call.details == ("1970-01-01 00:00:01 UTC, +0ms since the start", "key k", "attempt 2")
    assert answer.details[1:] == ("after 2 s", "answered 503")
    assert call.span is not None
    assert ORDER.sources[call.span.file].text[call.span.start :].startswith("step Payment.charge")


def test_a_breaker_stands_in_front_of_its_service() -> None:
    changed = j.BreakerChanged(
        **COMMON, scope="Payment", before="closed", after="open", until=START + 30_000
    )
    shown = model(ORDER, "PlaceOrder", [STARTED, changed])
    note = shown.items[0]
    assert isinstance(note, Note)
    assert note.lines == ("breaker open: calls are refused; a probe after 30 s",)
    assert note.over == (1, 1)
    assert shown.participants[1].name == "Payment"
    one = replace(changed, scope="Payment.charge")
    assert notes(one) == ["breaker of charge open: calls are refused; a probe after 30 s"]


def test_what_holds_a_call_back_is_said() -> None:
    wait = {**COMMON, "delay": 500, "until": START + 500}
    assert notes(
        j.Queued(**COMMON, until=START + 1_000),
        j.RetryRefused(**COMMON),
        j.Waiting(**wait, reason="retry-after"),
        j.Waiting(**wait, reason="retry-budget"),
    ) == [
        "too many calls under way; waits at most 1 s",
        "charge: no retry, the budget is used up",
        "again in 500 ms, as the service asks",
        "the retry budget is used up; looks again in 500 ms",
    ]


def test_a_person_who_settles_something_is_an_actor() -> None:
    settled = j.Settlement(
        at=START,
        saga_id="o-1",
        place=Place("Payment.charge"),
        purpose=Purpose.COMPENSATE,
        how="done",
        by="ann",
        why="by phone",
    )
    shown = model(ORDER, "PlaceOrder", [STARTED, settled])
    (message,) = messages(shown.items)
    assert message.text == "settles undoing of Payment.charge: done (by phone)"
    assert shown.participants[message.source].name == "ann"


WAIT: dict[str, Any] = {"saga_id": "t-1", "place": Place("news"), "timer": Timer.WAIT}


def test_an_event_that_nobody_waits_for_is_told_from_one_that_comes_too_late() -> None:
    def weather_at(at: int, id_: str) -> j.EventAccepted:
        return j.EventAccepted(at=at, saga_id="t-1", event="Weather", id=id_, value=None)

    journal: list[j.Entry] = [
        j.SagaStarted(at=0, saga_id="t-1", saga="Go", args={}),
        weather_at(1, "a"),
        j.TimerStarted(at=2, **WAIT, until=99),
        weather_at(3, "a"),
        weather_at(4, "b"),
        j.TimerEnded(at=5, **WAIT, stopped=True),
        weather_at(6, "c"),
    ]
    told = [m.text for m in messages(model(TRIP, "Go", journal).items)]
    assert told == [
        "+1ms Weather (kept, nobody waits for it now)",
        "+3ms Weather (the same once more, it changes nothing)",
        "+4ms Weather",
        "+6ms Weather (too late, nobody waits for it)",
    ]


def test_an_event_that_was_kept_is_shown_where_it_is_taken() -> None:
    def begun(at: int, path: str, label: str) -> j.Intent:
        return j.Intent(
            at=at,
            saga_id="t-1",
            place=Place(path),
            purpose=Purpose.STEP,
            label=label,
            key=None,
            args=(),
        )

    came = j.EventAccepted(at=1, saga_id="t-1", event="Weather", id="a", value=None)
    journal: list[j.Entry] = [
        j.SagaStarted(at=0, saga_id="t-1", saga="Go", args={}),
        came,
        begun(5, "Hotel.book", "Hotel.book"),
        begun(9, "Mail.tell", "Mail.tell"),
    ]
    lines = [line for n in notes_of(model(TRIP, "Go", journal).items) for line in n.lines]
    assert lines.count("+5ms takes the Weather that was kept") == 1
    # A wait that began did not find it at once.
    journal.insert(2, j.TimerStarted(at=2, **WAIT, until=99))
    lines = [line for n in notes_of(model(TRIP, "Go", journal).items) for line in n.lines]
    assert not any("takes" in line for line in lines)


@pytest.mark.parametrize(("nights", "lifelines"), [(1, 1), (2, 2), (8, 8), (9, 1)])
def test_each_of_a_few_child_sagas_has_its_own_lifeline(nights: int, lifelines: int) -> None:
    names = tuple(f"n{n}" for n in range(nights))
    journal = play(TRIP, "Go", change={"nights": names})
    shown = model(TRIP, "Go", journal)
    children = [p.name for p in shown.participants if p.kind is ParticipantKind.SAGA]
    assert len(children) == lifelines
    calls = [m.text for m in messages(shown.items) if "run" in m.text]
    assert len(calls) == nights
    for name in names:  # wherever it stands, it is told which one is meant
        assert f"saga Luggage [{name}]" in children or any(f"[{name}]" in text for text in calls)


def test_a_journal_whose_last_line_is_missing_says_so() -> None:
    shown = model(ORDER, "PlaceOrder", [STARTED], shown=Shown(cut=True, doc="A run."))
    assert shown.doc == "A run."
    (note,) = shown.items
    assert isinstance(note, Note)
    assert note.lines == ("the journal ends here: its last line was not written to the end",)


def test_a_fault_stands_at_the_service_that_it_strikes() -> None:
    struck = FaultStruck(START, "Payment.charge", "is not sent")
    shown = model(ORDER, "PlaceOrder", [STARTED, struck])
    assert shown.items[0] == Note(("fault: charge is not sent",), NoteKind.MARK, (1, 1))


def test_a_crash_loses_every_answer_under_way() -> None:
    shown = model(
        ORDER,
        "PlaceOrder",
        [STARTED, j.AttemptStarted(**COMMON, attempt=1), j.Restarted(at=START, saga_id="o-1")],
    )
    call, reply, line, _ = shown.items
    assert isinstance(call, Message)
    assert call.fate is Fate.ARRIVES
    assert isinstance(reply, Message)
    assert reply.fate is Fate.LOST
    assert isinstance(line, Note)
    assert line.kind is NoteKind.CRASH


def test_an_answer_is_lost_by_one_crash_only() -> None:
    crash = j.Restarted(at=START, saga_id="o-1")
    journal = [STARTED, j.AttemptStarted(**COMMON, attempt=1), crash, crash]
    assert [m.fate for m in drawn(journal)] == [Fate.ARRIVES, Fate.LOST]
