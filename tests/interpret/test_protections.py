"""Breaker, bulkhead, rate limit and retry budget around a saga's calls, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sagalang.interpret.run import RunResult, run
from sagalang.machine.events import Compensated, Completed, Purpose
from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected, Unknown
from sagalang.model.program import Program
from sagalang.runtime import journal as j
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.values import Values
from sagalang.workspace import load_text

LOST = Unknown(Failure("Unavailable"))

BREAKER = "breaker opens at 100% of at least 2 calls in 1m, probes after 10s"


def program(policy: str, head: str = "", body: str = "step S.do(n)", go: str = "") -> Program:
    text = f"""
    policy edge {{ timeout 1s {policy} }}
    policy undoing {{ timeout 1s retry 3 times backoff 1s jitter full }}
    service S {{
      with edge
      command do(n: int) keyed compensate undo(n)
      command undo(n: int) idempotent, absent ok, fences late
    }}
    policy other {{ timeout 1s {go} }}
    service T {{
      with other
      command go(n: int) keyed rejects No compensate undo(n)
      command undo(n: int) idempotent, absent ok, fences late
    }}
    error No
    saga Run(n: int) {{
      id n
      {head}
      compensate with undoing
      {body}
    }}
    """
    loaded = load_text(text, "test.saga")
    assert not loaded.has_errors, [d.message for d in loaded.diagnostics if d.is_error]
    return loaded.program


Answer = Callable[[Request, int], Outcome]


class Services:
    """Answers by a function of the request and the time; each call takes `takes` ms."""

    def __init__(self, clock: SimulatedClock, answer: Answer, takes: int) -> None:
        self.clock = clock
        self.answer = answer
        self.takes = takes
        self.arrived: list[tuple[str, int]] = []
        self.running = self.most = 0

    async def call(self, request: Request) -> Outcome:
        self.arrived.append((request.contract.label, self.clock.now()))
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(self.takes / 1_000)
        self.running -= 1
        return self.answer(request, self.clock.now())

    async def aclose(self) -> None:
        pass

    def times(self, label: str) -> list[int]:
        return [at for found, at in self.arrived if found == label]


def play(
    found: Program, answer: Answer, *, sagas: int = 1, takes: int = 10, seed: float = 0.5
) -> tuple[list[RunResult], Services, MemoryEngine]:
    """Run as many sagas at once, on one engine."""

    async def body(clock: SimulatedClock) -> Any:
        services = Services(clock, answer, takes)
        engine = MemoryEngine(clock, services, lambda: seed)
        values = Values(found)
        runs = [run(found, "Run", {"n": n}, engine=engine, values=values) for n in range(sagas)]
        return await asyncio.gather(*runs), services, engine

    return simulated(body)  # type: ignore[no-any-return]


def entries(engine: MemoryEngine, kind: type[j.Entry]) -> list[Any]:
    return [entry for entry in engine.journal if isinstance(entry, kind)]


def down_until(moment: int, label: str = "S.") -> Answer:
    def answer(request: Request, now: int) -> Outcome:
        return LOST if request.contract.label.startswith(label) and now < moment else Ok()

    return answer


def test_sagas_share_a_services_breaker_and_its_change_is_on_record() -> None:
    found = program(f"retry 1 times backoff 1s jitter full {BREAKER}", head="deadline 5s")
    results, services, engine = play(found, down_until(10**9, "S.do"), sagas=20)
    assert all(isinstance(result.outcome, Compensated) for result in results)
    first = [at for at in services.times("S.do") if at < 500]
    assert len(first) == 20  # all were under way before any failed
    assert [at for at in services.times("S.do") if at >= 500] == []
    changed = entries(engine, j.BreakerChanged)
    assert [(c.scope, c.before, c.after) for c in changed[:1]] == [("S", "closed", "open")]
    assert changed[0].until == changed[0].at + 10_000


def test_an_open_breaker_is_waited_out_once_if_it_probes_before_the_deadline() -> None:
    found = program(f"retry 9 times backoff 100ms jitter full {BREAKER}", head="deadline 1m")
    results, services, engine = play(found, down_until(5_000))
    assert isinstance(results[0].outcome, Completed)
    waits = [w for w in entries(engine, j.Waiting) if w.reason == "breaker"]
    assert len(waits) == 1
    assert waits[0].delay > 9_500
    assert len(services.times("S.do")) == 3


def test_a_breaker_that_will_not_probe_before_the_deadline_fails_the_call_at_once() -> None:
    found = program(f"retry 9 times backoff 100ms jitter full {BREAKER}", head="deadline 8s")
    results, _, engine = play(found, down_until(10**9, "S.do"))
    assert isinstance(results[0].outcome, Compensated)
    assert results[0].outcome.error.name == "CircuitOpen"
    (done,) = [e for e in entries(engine, j.OutcomeRecorded) if e.purpose is Purpose.STEP]
    assert done.kind == "unknown"  # the first attempts went unanswered: doubt is sticky
    assert done.at < 1_000


def test_a_compensation_waits_for_the_breaker_and_uses_up_no_retries() -> None:
    breaker = "breaker opens at 50% of at least 3 calls in 1m, probes after 10s"
    found = program(breaker, body="step S.do(n) step T.go(n)")

    def answer(request: Request, now: int) -> Outcome:
        if request.contract.label == "T.go":
            return Rejected(Failure("No"))
        return LOST if request.contract.label == "S.undo" and now < 15_000 else Ok()

    results, services, engine = play(found, answer)
    assert isinstance(results[0].outcome, Compensated)
    assert results[0].owed == ()
    # Three retries allow four attempts, and four were sent: the refusals between did not count.
    assert len(services.times("S.undo")) == 4
    refused = [e for e in entries(engine, j.AttemptEnded) if e.error == "CircuitOpen"]
    assert len(refused) >= 2


def test_a_business_rejection_does_not_open_the_breaker() -> None:
    found = program("", body="step T.go(n)", go=BREAKER)

    def answer(request: Request, now: int) -> Outcome:
        return Rejected(Failure("No")) if request.contract.label == "T.go" else Ok()

    _, _, engine = play(found, answer, sagas=10)
    assert entries(engine, j.BreakerChanged) == []


def test_a_bulkhead_bounds_what_all_sagas_have_under_way_and_holds_no_slot_in_a_back_off() -> None:
    found = program("retry 2 times backoff 5s jitter equal bulkhead 3 queue 50")
    first = set[int]()

    def answer(request: Request, now: int) -> Outcome:
        (n,) = request.args
        if n < 3 and n not in first:
            first.add(n)
            return LOST
        return Ok()

    results, services, engine = play(found, answer, sagas=30, takes=100)
    assert all(isinstance(result.outcome, Completed) for result in results)
    assert services.most == 3
    # Had the first three kept their slots through the back-off, nothing would have run till 2.5 s.
    assert len([at for at in services.times("S.do") if at < 2_000]) == 30
    assert len(entries(engine, j.Queued)) >= 27


def test_a_full_bulkhead_refuses_and_the_call_comes_again_after_a_back_off() -> None:
    found = program("retry 9 times backoff 1s jitter full bulkhead 1")
    results, _, engine = play(found, lambda request, now: Ok(), sagas=3, takes=100)
    assert all(isinstance(result.outcome, Completed) for result in results)
    refused = [e for e in entries(engine, j.AttemptEnded) if e.error == "BulkheadFull"]
    assert refused
    assert {e.kind for e in refused} == {"not sent"}


def test_without_a_retry_a_refused_call_was_not_sent_and_is_not_compensated() -> None:
    found = program("bulkhead 1")
    results, services, _ = play(found, lambda request, now: Ok(), sagas=2, takes=100)
    assert isinstance(results[0].outcome, Completed)
    assert isinstance(results[1].outcome, Compensated)
    assert results[1].outcome.error.name == "BulkheadFull"
    assert services.times("S.undo") == []


def test_the_rate_limit_says_when_to_come_again() -> None:
    found = program("retry 9 times backoff 1ms jitter full rate 5 per 10s")
    results, services, _ = play(found, lambda request, now: Ok(), sagas=12)
    assert all(isinstance(result.outcome, Completed) for result in results)
    times = services.times("S.do")
    for start in times:
        assert len([at for at in times if start <= at < start + 10_000]) <= 5
    assert times[-1] < 21_000


def test_the_retry_budget_ends_a_call_that_may_fail_and_delays_one_that_must_get_through() -> None:
    found = program("retry 3 times backoff 100ms jitter full retry budget 20% of the last 10s")
    results, services, engine = play(found, down_until(20_000, "S.do"), sagas=100)
    assert all(isinstance(result.outcome, Compensated) for result in results)
    # 200 requests (the compensations count), a fifth of them, and a reserve of one a second.
    assert 100 < len(services.times("S.do")) <= 100 + 40 + 10
    assert len(services.times("S.undo")) == 100
    assert all(w.reason != "retry-budget" for w in entries(engine, j.Waiting))
    assert entries(engine, j.RetryRefused)

    found = program("retry budget 1% of the last 10s", body="step T.go(n) step S.do(n)")
    results, services, engine = play(found, down_until(5_000), sagas=40)
    assert all(not result.owed for result in results)
    delayed = [w for w in entries(engine, j.Waiting) if w.reason == "retry-budget"]
    assert delayed
    assert {w.purpose for w in delayed} == {Purpose.COMPENSATE}


def test_operations_with_per_operation_have_breakers_of_their_own() -> None:
    found = program(f"{BREAKER} per operation", body="step S.do(n) step T.go(n)")

    def answer(request: Request, now: int) -> Outcome:
        return LOST if request.contract.label == "S.do" else Ok()

    _, services, engine = play(found, answer, sagas=5)
    assert {c.scope for c in entries(engine, j.BreakerChanged)} == {"S.do"}
    assert len(services.times("S.undo")) == 5
