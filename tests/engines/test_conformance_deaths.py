"""Conformance: wherever its process dies, a run comes to what it would have come to.

Processes are cut off before and after each record, and before and after each effect. SAGA_SLOW
takes every moment, otherwise one in nine, of the engine in memory one in two.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count, permutations
from types import MappingProxyType
from typing import Any

import pytest

from engines.definitions import defined, main
from engines.lives import Cancel, Lived, Signal, Story, from_outside, live
from engines.outside import Services
from engines.under_test import Bench, EngineUnderTest
from sagalang.runtime import journal

KID = """
saga Kid(what: string) -> Line {
  step k1 = S.do("${what}1")
  parallel { sleep 30ms  step S.do("${what}2") }
  return Line(sku: k1.at)
}
"""


def course(
    body: str,
    *,
    head: str = "",
    params: str = "",
    clauses: str = "",
    refused: Collection[str] = (),
    lost: Mapping[str, int] = MappingProxyType({}),
    **options: Any,
) -> Callable[[str], Story]:
    """A story from its beginning, interpreted or compiled."""
    text = main(body, head, params, clauses)

    def begun(how: str) -> Story:
        fresh = {**options, "sends": list(options.get("sends", ()))}
        return Story(defined(text, how), Services(set(refused), dict(lost)), **fresh)

    return begun


COURSES = {
    "completes": course('step S.do("a") sleep 2s parallel { step S.do("b") step S.do("c") }'),
    "answers come at once": course(
        'step S.do("a") parallel { step S.do("b") step S.do("c") } step S.do("d") step S.do("z")',
        refused="z",
        latency=lambda _: 0,
    ),
    "is undone after a refusal": course(
        'step S.do("a") parallel { step S.do("b") step S.do("c") } step S.do("z")', refused="z"
    ),
    "a branch fails beside others": course(
        'parallel { step S.do("a") step S.do("z") step S.do("c") }',
        refused="z",
        latency=lambda name: {"a": 5, "z": 10}.get(name, 15),
    ),
    "a child saga is undone": course(
        'step S.do("a") step kid = saga Kid("k") step S.do("z")', head=KID, refused="z"
    ),
    "a child saga is cancelled": course(
        'step S.do("a") parallel { step kid = saga Kid("k") step S.do("z") }',
        head=KID,
        refused="z",
        latency=lambda name: 25 if name == "z" else 10,
    ),
    "answers get lost": course(
        'step S.do("a") step S.do("b") parallel { step S.do("c") sleep 90s } step S.do("d")',
        lost={"b": 1, "c": 9},
    ),
    "loops by identity": course(
        'for l in lines by l.sku, 2 at once { step S.do(l.sku) step S.do("${l.sku}2") }'
        ' for l in lines { step kid = saga Kid("${l.sku}k") }',
        head=KID,
        params="lines: list<Line>",
        args='{"lines": [{"sku": "x"}, {"sku": "y"}, {"sku": "w"}]}',
    ),
    "an attempt takes another way": course(
        'step S.do("a") attempt { step S.do("b") step S.do("z") }'
        ' on No { step S.do("other") } step S.do("c")',
        refused="z",
    ),
    "waits for events": course(
        'step S.do("a") wait one: Go within 1m else abort No'
        " wait two: Go where two.n > 1 within 1m else abort No"
        ' wait three: Go within 200ms else null step S.do("n${one.n + two.n}")',
        sends=[Signal(5, "e-1", 1), Signal(40, "e-2", 1), Signal(60, "e-3", 4)],
    ),
    "is cancelled": course(
        'step S.do("a") parallel { step S.do("b") sleep 1h } step S.do("c")', sends=[Cancel(65)]
    ),
    "runs past its deadline": course(
        'step S.do("a") step S.do("b") sleep 1h', clauses="deadline 1s"
    ),
    "is cancelled after its pivot": course(
        'step S.do("a") pivot step S.send("p", "t") step S.send("b", "t") sleep 50ms'
        ' step S.send("c", "t")',
        sends=[Cancel(35)],
    ),
    "is left to people": course(
        'parallel { step S.do("a") step S.do("z") else escalate "team" } step S.do("c")',
        refused="z",
    ),
}


def moments(under: Bench) -> Sequence[int]:
    step = 1 if "SAGA_SLOW" in os.environ else 9 if under.durable else 2
    return range(1, 10_000, step)


def on_record(under: EngineUnderTest) -> dict[str, tuple[journal.Entry, ...]]:
    return {saga_id: tuple(under.inspect(saga_id)) for saga_id in under.list()}


def told(story: Story, lived: Lived) -> tuple[Any, ...]:
    """What a course must come to, however often its process dies."""
    owed = tuple(str(item.place) for item in lived.result.owed)
    return lived.outcome, story.services.effects, owed


def answered_once(entries: Sequence[journal.Entry]) -> bool:
    """Whether nothing was done about a call any more after its outcome was on record."""
    ended: set[Any] = set()
    for entry in entries:
        match entry:
            case journal.Intent():
                ended.discard((entry.place, entry.purpose))
            case journal.CallEntry() | journal.Interrupted():
                if (entry.place, entry.purpose) in ended:
                    return False
                if isinstance(entry, journal.OutcomeRecorded):
                    ended.add((entry.place, entry.purpose))
    return True


def happened(under: EngineUnderTest) -> dict[str, list[str]]:
    """What must happen just as often, by run. (What comes from outside is sent again where it was
    not known to be kept; whether a child saga is cancelled or undone is a matter of the moment.)"""
    kinds = (journal.SagaStarted, journal.AbortBegan, journal.EscalationRaised)
    found = on_record(under).items()
    return {id_: sorted(type(e).__name__ for e in es if isinstance(e, kinds)) for id_, es in found}


def is_over(under: EngineUnderTest, story: Story, outcome: str, start: int) -> None:
    """Another process that begins it finds its end; nothing is called, nothing recorded."""
    before, calls = on_record(under), list(story.services.log)
    again = live(under, story, start=start)
    assert (again.outcome, story.services.log) == (outcome, calls)
    assert on_record(under) == before


@pytest.mark.parametrize("course", COURSES)
def test_cut_off_at_each_moment_it_comes_to_the_same(bench: Bench, how: str, course: str) -> None:
    alive, whole = COURSES[course](how), bench.fresh()
    wanted = told(alive, live(whole, alive))
    assert all(number == 1 for number in alive.services.effects.values())
    deaths = 0
    for moment in moments(bench):
        story, under = COURSES[course](how), bench.fresh()
        first = live(under, story, dies_at=moment)
        last = live(under, story, start=first.until) if first.died else first
        assert told(story, last) == wanted, moment
        assert happened(under) == happened(whole), moment
        assert all(map(answered_once, on_record(under).values())), moment
        if not first.died:
            break
        deaths += 1
        if deaths % 3 == 0:
            is_over(under, story, wanted[0], last.until)
    assert deaths > 2


def test_cut_off_again_and_again_it_comes_to_its_end(bench: Bench, how: str) -> None:
    story, under = COURSES["a child saga is undone"](how), bench.fresh()
    time, deaths = 0, 0
    for moment in [9, 14, 6, 11, 20, 12, 17, 8] * 6:
        lived = live(under, story, start=time, dies_at=moment)
        time, deaths = lived.until, deaths + lived.died
        if not lived.died:
            break
    assert (lived.outcome, story.services.effects) == ("Compensated", {})
    assert deaths > 3


def test_branches_that_end_in_another_order_than_before_are_the_same_branches(
    bench: Bench, how: str
) -> None:
    """Their keys are their places, whichever comes first in whichever life."""
    text = main(
        'parallel { step S.do("a") branch { step S.do("b") step S.do("b2") } step S.do("c") }'
        ' step S.do("z")'
    )
    orders = list(permutations(["a", "b", "c"]))
    for number, (order, then) in enumerate(zip(orders, reversed(orders), strict=True)):
        for moment in count(12 + number, 18 if bench.durable else 4):
            story, under = Story(defined(text, how), Services({"z"})), bench.fresh()
            story.latency = lambda name, order=order: 10 + 10 * "".join(order).find(name[0])
            first = live(under, story, dies_at=moment)
            if not first.died:
                break
            story.latency = lambda name, then=then: 10 + 10 * "".join(then).find(name[0])
            last = live(under, story, start=first.until)
            assert (last.outcome, story.services.effects) == ("Compensated", {}), (order, moment)
            assert len(story.services.names) == 5, "a step had two keys"


def test_no_call_leaves_before_its_intent_is_on_record(bench: Bench, how: str) -> None:
    for begun in COURSES.values():
        story, under = begun(how), bench.fresh()

        def leaves(request: Any, under: EngineUnderTest = under) -> None:
            there = [entry for entries in on_record(under).values() for entry in entries]
            announced = {entry.key for entry in there if isinstance(entry, journal.Intent)}
            assert request.key in announced, f"{request.contract.label} left unannounced"

        story.leaves = leaves
        live(under, story)


def test_an_end_that_was_told_is_on_record(bench: Bench, how: str) -> None:
    for begun in COURSES.values():
        story, under = begun(how), bench.fresh()

        async def then(run: Any, result: Any, under: EngineUnderTest = under) -> Any:
            under.kill()
            return result

        first = live(under, story, then=then)
        ends = [e for e in under.inspect("o-1") if isinstance(e, journal.SagaFinished)]
        assert [end.kind for end in ends] == [first.outcome.lower()]
        is_over(under, story, first.outcome, first.until)


def test_what_was_done_is_undone_where_the_run_is_cancelled_before_it_goes_on(
    bench: Bench, how: str
) -> None:
    """It is not done again, so nothing but the intent tells of it."""
    text = main('step S.do("a") step S.do("b") sleep 1h')
    for moment in range(1, 30, 1 if "SAGA_SLOW" in os.environ else 2):
        story, under = Story(defined(text, how), latency=lambda _: 0), bench.fresh()
        first = live(under, story, dies_at=moment)
        if first.until > 1_000:
            break  # it went on after its sleep
        if not under.list():
            assert not story.services.effects, moment
            continue
        from_outside(under, story, "cancel", first.until)
        last = live(under, story, start=first.until)
        assert (last.outcome, story.services.effects) == ("Compensated", {}), moment
