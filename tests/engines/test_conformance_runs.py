"""Conformance: which run an id names, what may go on with it, and what an engine's failure is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engines.definitions import Definition, defined, main
from engines.lives import Cancel, Life, Story, live
from engines.outside import TOKEN, Services
from engines.under_test import Bench, EngineUnderTest
from sagalang.machine.events import How
from sagalang.runtime import journal
from sagalang.runtime.clock import Clock
from sagalang.runtime.engine import EngineError, OtherInputError
from sagalang.runtime.replay import ReplayError

OTHER = '\nsaga Other(name: string) { id name step S.do("o") }'
NAMED = main('step S.do("a") sleep 1h step S.do(name)', OTHER, "name: string")


def asked(name: str) -> str:
    return f'{{"name": "{name}"}}'


def opened(under: EngineUnderTest, story: Story, start: int = 0) -> None:
    """A process that begins the run, and does nothing about it."""

    async def body(clock: Clock) -> None:
        engine = under.open(story.definition, clock, Life(under, story, clock, None))
        story.definition.begin(engine, story.saga_id, story.args, story.saga)

    try:
        under.live(body, start)
    finally:
        under.close()


# --- One id, one run -----------------------------------------------------------------------------


def test_two_who_begin_one_run_await_the_same(bench: Bench, how: str) -> None:
    story, under = Story(defined(NAMED, how), args=asked("b")), bench.fresh()

    async def body(clock: Clock) -> bool:
        engine = under.open(story.definition, clock, Life(under, story, clock, None))
        runs = [story.definition.begin(engine, "o-1", asked("b")) for _ in range(2)]
        await runs[0].result()
        return runs[0] is runs[1]

    try:
        assert under.live(body, 0)
    finally:
        under.close()
    assert story.services.effects == {"a": 1, "b": 1}
    assert list(under.list()) == ["o-1"]


@pytest.mark.parametrize("dies_after", [None, 5, 60_000])
def test_the_same_input_goes_on_and_other_input_is_refused(
    bench: Bench, how: str, dies_after: int | None
) -> None:
    story, under = Story(defined(NAMED, how), args=asked("b")), bench.fresh()
    live(under, story, dies_after=dies_after)
    before = list(story.services.log)
    for saga, args in (("Main", asked("c")), ("Other", asked("b"))):
        other = Story(story.definition, story.services, args, saga=saga)
        with pytest.raises(OtherInputError, match="o-1"):
            opened(under, other, 100_000)
        with pytest.raises(OtherInputError, match="o-1"):
            live(under, other, start=100_000)
    assert story.services.log == before
    assert live(under, story, start=100_000).outcome == "Completed"
    assert story.services.effects == {"a": 1, "b": 1}


@pytest.mark.parametrize("dies_at", [None, 7, 40, 77, 120, 161, 199])
def test_many_runs_of_one_process_go_on_in_the_next(
    bench: Bench, how: str, dies_at: int | None
) -> None:
    text = main(
        'step S.do("a${name}") parallel { step S.do("b${name}") sleep 5s } step S.do(name)',
        params="name: string",
    )
    definition, services, under = defined(text, how), Services({"r2", "r5"}), bench.fresh()
    names = [f"r{number}" for number in range(6)]

    async def body(clock: Clock, dies_at: int | None) -> list[Any]:
        life = Life(under, Story(definition, services), clock, dies_at)
        engine = life.watch(under.open(definition, clock, life))
        runs = [definition.begin(engine, name, asked(name)) for name in names]
        living = asyncio.gather(*(run.result() for run in runs), return_exceptions=True)
        dead = asyncio.ensure_future(life.died.wait())
        await asyncio.wait({living, dead}, return_when=asyncio.FIRST_COMPLETED)
        dead.cancel()
        return [] if life.died.is_set() else await living

    results: list[Any] = []
    for start, death in ((0, dies_at), (60_000, None)):
        try:
            results = under.live(lambda clock, death=death: body(clock, death), start)
        finally:
            under.close()
    assert [type(result.outcome).__name__ for result in results] == [
        "Compensated" if name in services.refused else "Completed" for name in names
    ]
    done = [name for name in names if name not in services.refused]
    assert services.effects == {f"{step}{name}": 1 for name in done for step in ("a", "b", "")}
    assert sorted(under.list()) == names


def test_other_input_is_refused_beside_a_run_that_lives(bench: Bench, how: str) -> None:
    story, under = Story(defined(NAMED, how), args=asked("b")), bench.fresh()

    async def then(run: Any, result: Any) -> Any:
        with pytest.raises(OtherInputError):
            story.definition.begin(run.engine, "o-1", asked("c"))
        return result

    assert live(under, story, then=then).outcome == "Completed"


ODD = ("a b", "ä ☂ \U0001f600", "../../etc", "'; DROP TABLE runs; --", "a\nb\tc", "o-1/kid", "%s{}",
       "\x00", "x" * 10_000, "e\u0301", "\u00e9", " ", "\ud800")  # fmt: skip


@pytest.mark.parametrize("saga_id", ODD[:-2], ids=range(len(ODD) - 2))
def test_any_text_is_an_id(bench: Bench, how: str, saga_id: str) -> None:
    text = main('step S.do("a") step kid = saga Kid() sleep 1h', 'saga Kid() { step S.do("k") }')
    story, under = Story(defined(text, how), saga_id=saga_id), bench.fresh()
    first = live(under, story, dies_after=60_000)
    assert live(under, story, start=first.until).outcome == "Completed"
    assert story.services.effects == {"a": 1, "k": 1}
    assert saga_id in under.list()
    assert under.inspect(saga_id)[-1].saga_id == saga_id


@pytest.mark.parametrize("saga_id", ODD[-2:], ids=["blank", "half a surrogate pair"])
def test_what_is_no_text_is_refused_as_an_id(bench: Bench, how: str, saga_id: str) -> None:
    under = bench.fresh()
    with pytest.raises(EngineError, match="id"):
        live(under, Story(defined(NAMED, how), args=asked("b"), saga_id=saga_id))
    assert not under.list()


# --- The definition ------------------------------------------------------------------------------

BEFORE = main('step S.do("a") sleep 1h step S.do("b")')
AFTER = main('step S.do("x") step S.do("a") sleep 1h step S.do("b")')


def test_a_run_goes_on_with_the_definition_it_began_with(bench: Bench, how: str) -> None:
    story, under = Story(defined(BEFORE, how)), bench.fresh()
    first = live(under, story, dies_after=60_000)
    changed = Story(defined(AFTER, how), story.services)
    before = len(under.inspect("o-1"))
    with pytest.raises(EngineError, match="definition"):
        live(under, changed, start=first.until)
    assert len(under.inspect("o-1")) == before
    assert story.services.log == ["do(a)"]
    assert live(under, story, start=first.until).outcome == "Completed"
    assert live(under, Story(changed.definition, saga_id="o-2")).outcome == "Completed"


def test_a_change_that_fits_the_journal_so_far_is_still_another_definition(
    bench: Bench, how: str
) -> None:
    if not bench.durable:
        pytest.skip("it keeps no definitions")
    story, under = Story(defined(BEFORE, how)), bench.fresh()
    first = live(under, story, dies_after=60_000)
    other = BEFORE.replace('S.do("b")', 'S.do("c")')
    with pytest.raises(EngineError, match="began with another definition") as caught:
        live(under, Story(defined(other, how), story.services), start=first.until)
    assert not isinstance(caught.value, ReplayError)


# --- Failures of the engine ----------------------------------------------------------------------


class _BrokenError(EngineError):
    pass


def test_an_engine_that_fails_stops_the_run_and_undoes_nothing(bench: Bench, how: str) -> None:
    text = main('step S.do("a") parallel { step S.do("b") step S.do("c") } step S.do("d")')
    for records in range(2, 40, 3):
        story, under = Story(defined(text, how)), bench.fresh()
        if not breaks(under, story, records):
            break
        assert not any(call.startswith("undo") for call in story.services.log)
        kinds = {type(entry) for entry in under.inspect("o-1")}
        assert not kinds & {journal.AbortBegan, journal.SagaFinished}, records
        assert live(under, story, start=1_000).outcome == "Completed"
        assert story.services.effects == dict.fromkeys("abcd", 1)
    assert records > 15


def breaks(under: EngineUnderTest, story: Story, records: int) -> bool:
    """A life whose engine records so many entries, and fails then, once; whether it did break."""

    async def body(clock: Clock) -> None:
        engine = under.open(story.definition, clock, Life(under, story, clock, None))
        run = story.definition.begin(engine, "o-1")
        record, left = run.session.record, records

        def failing(entry: journal.Entry) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                raise _BrokenError("ownership was lost")
            record(entry)

        run.session.record = failing
        await run.result()

    try:
        under.live(body, 0)
    except _BrokenError:
        return True
    finally:
        under.close()
    return False


# --- Secrets -------------------------------------------------------------------------------------

CARD = "4242-1717-0099"
PAYS = main(
    'step p = S.pay("p", card) sleep 1h pivot step S.send("m", p.token)',
    params="card: secret string",
)


def test_secrets_are_read_again_and_stand_nowhere(bench: Bench, how: str) -> None:
    story, under = Story(defined(PAYS, how), args=f'{{"card": "{CARD}"}}'), bench.fresh()
    first = live(under, story, dies_after=60_000)
    seen = under.octets()
    assert live(under, story, start=first.until).outcome == "Completed"
    assert story.services.secrets == [CARD, TOKEN]
    for written in (seen, under.octets()):
        assert not bench.durable or len(written) > 1_000
        assert CARD.encode() not in written
        assert TOKEN.encode() not in written


def test_a_secret_that_differs_is_other_input(bench: Bench, how: str) -> None:
    story, under = Story(defined(PAYS, how), args=f'{{"card": "{CARD}"}}'), bench.fresh()
    first = live(under, story, dies_after=60_000)
    with pytest.raises(OtherInputError) as caught:
        live(under, Story(story.definition, args='{"card": "9999"}'), start=first.until)
    assert CARD not in str(caught.value)


# --- One process at a time -----------------------------------------------------------------------


def test_a_second_process_is_kept_out(bench: Bench, how: str) -> None:
    if not bench.durable:
        pytest.skip("nobody else can reach what stands in memory")
    story, under = Story(defined(NAMED, how), args=asked("b")), bench.fresh()

    async def then(run: Any, result: Any) -> Any:
        with pytest.raises(EngineError, match="in use"):
            under.again()
        return result

    assert live(under, story, then=then).outcome == "Completed"


# --- Left to people ------------------------------------------------------------------------------

LEFT = main('step S.do("a") step z = S.do("z") else escalate "team" step S.do("after")')
SETTLED = {
    How.RETRY: ("Completed", {"a": 1, "z": 1, "after": 1}),
    How.DONE: ("Completed", {"a": 1, "after": 1}),
    How.NOT_DONE: ("Compensated", {}),
}


def settling(how: How, definition: Definition, services: Services) -> Any:
    async def then(run: Any, result: Any) -> Any:
        if type(result.outcome).__name__ != "Escalated":
            return result
        services.refused.clear()
        value = None
        if how is How.DONE:
            value = definition.answer("S.do", '{"at": "by hand"}')
        run.settle(result.owed[0], how, value, by="ann", why="asked the bank")
        return await run.result()

    return then


@pytest.mark.parametrize("answer", SETTLED)
def test_what_is_left_to_people_is_settled_in_a_later_process(
    bench: Bench, how: str, answer: How
) -> None:
    for moment in (None, *range(1, 60, 5 if bench.durable else 1)):
        story, under = Story(defined(LEFT, how), Services({"z"})), bench.fresh()
        first = live(under, story)
        assert (first.outcome, [str(o.place) for o in first.result.owed]) == ("Escalated", ["z"])
        then = settling(answer, story.definition, story.services)
        # Where it dies before the answer is on record, people are asked once more.
        lived = live(under, story, start=first.until, dies_at=moment, then=then)
        if lived.died:
            lived = live(under, story, start=lived.until, then=then)
        elif moment is not None:
            break
        assert (lived.outcome, story.services.effects) == SETTLED[answer], moment
        assert answered(under) == ("ann", "asked the bank")


INNER = 'saga Kid() { step S.do("k") step z = S.do("z") else escalate "team" }'


@pytest.mark.parametrize("answer", SETTLED)
def test_what_a_child_saga_left_to_people_is_settled_in_a_later_process(
    bench: Bench, how: str, answer: How
) -> None:
    text = main('step S.do("a") step saga Kid() step S.do("after")', INNER)
    story, under = Story(defined(text, how), Services({"z"})), bench.fresh()
    first = live(under, story)
    assert first.outcome == "Escalated"
    (kid,) = (e.child_id for e in under.inspect("o-1") if isinstance(e, journal.ChildStarted))
    (raised,) = (e for e in under.inspect(kid) if isinstance(e, journal.EscalationRaised))
    story.services.refused.clear()
    value = story.definition.answer("S.do", '{"at": "x"}') if answer is How.DONE else None

    async def then(run: Any, result: Any) -> Any:
        run.settle(raised.item, answer, value, by="ann", why="asked", child=kid)
        return await run.result()

    lived = live(under, story, start=first.until, then=then)
    outcome, effects = SETTLED[answer]
    assert (lived.outcome, story.services.effects) == (outcome, effects and {**effects, "k": 1})
    again = live(under, story, start=lived.until)
    assert again.outcome == outcome


def answered(under: EngineUnderTest) -> tuple[str, str] | None:
    found = [entry for entry in under.inspect("o-1") if isinstance(entry, journal.Settlement)]
    return (found[-1].by, found[-1].why) if found else None


def test_a_run_that_was_left_to_people_can_be_cancelled_later(bench: Bench, how: str) -> None:
    story, under = Story(defined(LEFT, how), Services({"z"})), bench.fresh()
    first = live(under, story)
    assert first.outcome == "Escalated"
    story.sends = [Cancel(first.until)]

    async def then(run: Any, result: Any) -> Any:
        await asyncio.sleep(1)
        assert not story.sends
        return await run.result()

    lived = live(under, story, start=first.until, then=then)
    assert (lived.outcome, story.services.effects) == ("Compensated", {})
