"""The runs of an application: started, signalled, looked at, stopped; in simulated time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import pytest

from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected, Unknown
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.saga import (
    RELENTLESS,
    Call,
    Escalate,
    Policy,
    Retry,
    Saga,
    SagaDefinition,
    Service,
    command,
)
from sagalang.runtime.saga_app import (
    EarlierRunError,
    EngineError,
    InMemory,
    NoSuchRunError,
    OtherInputError,
    Owed,
    RunOverError,
    Runs,
    RunView,
    State,
    serving,
)


class BankService(Protocol):
    @command("Bank.take", keyed=True)
    async def take(self, *, key: str) -> None: ...

    @command("Bank.give", idempotent=True, absent_ok=True, fences_late=True)
    async def give(self) -> None: ...

    @command("Bank.ship", keyed=True)
    async def ship(self, *, key: str) -> None: ...


TAKE = Call.to(BankService.take, ())
GIVE = Call.to(BankService.give, ())
SHIP = Call.to(BankService.ship, ())


@dataclass(frozen=True)
class Word:
    said: str


async def buy(saga: Saga, name: str, wait: bool) -> str:
    await saga.step("take", TAKE, undo=GIVE)
    if wait:
        word = await saga.wait("word", Word, within=timedelta(hours=4))
        assert word is not None
        name = word.said
    await saga.step("ship", SHIP, policy=RELENTLESS, escalate=Escalate("crew"))
    return name


ONCE_MORE = Policy(timeout=2_000, retry=Retry(retries=1, backoff=100, cap=100))


async def buy_patiently(saga: Saga, name: str, wait: bool) -> None:
    await saga.step("take", TAKE, undo=GIVE, policy=ONCE_MORE)
    await saga.sleep("sleep", timedelta(hours=1))


BUY = SagaDefinition("Buy", buy, id=lambda name, wait: name)
PATIENT_BUY = SagaDefinition("PatientBuy", buy_patiently, id=lambda name, wait: name)
HAPPENED = Ok(None)


class Bank:
    """Answers each operation by what `outcomes` holds for it, the last one again and again."""

    def __init__(self, **outcomes: list[Outcome]) -> None:
        self.outcomes = outcomes
        self.calls: list[str] = []

    async def call(self, request: Request) -> Outcome:
        name = request.contract.operation
        self.calls.append(name)
        await asyncio.sleep(0.1)
        left = self.outcomes.get(name, [HAPPENED])
        return left.pop(0) if len(left) > 1 else left[0]

    async def aclose(self) -> None:
        pass


def in_memory(clock: SimulatedClock, bank: Bank) -> Runs:
    return Runs(lambda told, _: InMemory(MemoryEngine(clock, bank, lambda: 0.5, told)))


def within(bank: Bank, main: Callable[[Runs], Awaitable[None]]) -> None:
    async def body(clock: SimulatedClock) -> None:
        runs = in_memory(clock, bank)
        await main(runs)
        await runs.stop()

    simulated(body)


def test_nothing_is_undone_that_an_earlier_process_may_have_completed() -> None:
    bank = Bank(take=[Ok(None, replayed=True)])

    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", True))
        await asyncio.sleep(1)
        await runs.cancel("a")
        await asyncio.sleep(1)
        with pytest.raises(EarlierRunError, match=r"a was run before \(Bank.take had seen its key"):
            runs.inspect("a")
        with pytest.raises(EarlierRunError):
            await runs.cancel("a")

    within(bank, main)
    assert "give" not in bank.calls


def test_an_answer_from_memory_to_a_repeated_attempt_is_of_this_run() -> None:
    lost = Unknown(Failure("Timeout"))
    bank = Bank(take=[lost, Ok(None, replayed=True)])

    async def main(runs: Runs) -> None:
        await runs.start(PATIENT_BUY("a", True))
        await asyncio.sleep(1)
        await runs.cancel("a")
        await asyncio.sleep(1)
        assert runs.inspect("a").state is State.COMPENSATED

    within(bank, main)
    assert bank.calls == ["take", "take", "give"]


def test_an_application_that_has_stopped_starts_nothing() -> None:
    async def main(runs: Runs) -> None:
        await runs.stop()
        with pytest.raises(EngineError, match="has stopped"):
            await runs.start(BUY("a", False))

    within(Bank(), main)


def test_an_empty_id_is_refused() -> None:
    async def main(runs: Runs) -> None:
        with pytest.raises(EngineError, match="an id cannot be empty"):
            await runs.start(BUY("", False))

    within(Bank(), main)


def test_a_run_is_seen_running_and_completed() -> None:
    async def main(runs: Runs) -> None:
        assert await runs.start(BUY("a", False)) == "a"
        assert runs.inspect("a") == RunView("a", State.RUNNING)
        await asyncio.sleep(1)
        assert runs.inspect("a") == RunView("a", State.COMPLETED, value="a")

    within(Bank(), main)


def test_starting_again_is_the_same_run_and_other_input_is_refused() -> None:
    bank = Bank()

    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", False))
        assert await runs.start(BUY("a", False)) == "a"
        await asyncio.sleep(1)
        await runs.start(BUY("a", False))
        with pytest.raises(OtherInputError):
            await runs.start(BUY("a", True))
        await asyncio.sleep(1)

    within(bank, main)
    assert bank.calls == ["take", "ship"]


def test_an_event_may_come_early_and_comes_once() -> None:
    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", True))
        await runs.signal("a", Word("early"), id="w")
        await runs.signal("a", Word("early"), id="w")
        with pytest.raises(OtherInputError):
            await runs.signal("a", Word("other"), id="w")
        await asyncio.sleep(1)
        assert runs.inspect("a").value == "early"
        await runs.signal("a", Word("early"), id="w")
        with pytest.raises(RunOverError):
            await runs.signal("a", Word("late"))

    within(Bank(), main)


@dataclass(frozen=True)
class Words:
    text: str


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (Words("x"), "an instance of Words"),
        ({"text": "x"}, "an instance of dict"),
        (Word, "the class Word"),
    ],
    ids=["another class", "a dict", "the class itself"],
)
def test_what_the_saga_does_not_wait_for_is_refused(event: object, told: str) -> None:
    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", True))
        with pytest.raises(TypeError, match=f"^Buy waits for Word: {told} is none$"):
            await runs.signal("a", event)
        await runs.signal("a", Word("right"))
        await asyncio.sleep(1)
        assert runs.inspect("a").value == "right"

    within(Bank(), main)


def test_nobody_knows_a_run_that_was_never_started() -> None:
    async def main(runs: Runs) -> None:
        with pytest.raises(NoSuchRunError):
            runs.inspect("a")
        for asked in (runs.cancel("a"), runs.signal("a", Word("x"))):
            with pytest.raises(NoSuchRunError):
                await asked

    within(Bank(), main)


def test_a_cancelled_run_is_undone() -> None:
    bank = Bank()

    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", True))
        await asyncio.sleep(1)
        await runs.cancel("a")
        await asyncio.sleep(1)
        assert runs.inspect("a") == RunView("a", State.COMPENSATED, error="Cancelled")
        with pytest.raises(RunOverError):
            await runs.cancel("a")

    within(bank, main)
    assert bank.calls == ["take", "give"]


async def ship_and_rest(saga: Saga) -> str:
    async def ship(saga: Saga) -> None:
        await saga.step("ship", SHIP, policy=RELENTLESS, escalate=Escalate("crew"))

    async def rest(saga: Saga) -> None:
        await saga.sleep("rest", timedelta(hours=3))

    await saga.step("take", TAKE, undo=GIVE)
    await saga.parallel(ship, rest)
    return "done"


SHIP_AND_REST = SagaDefinition("ShipAndRest", ship_and_rest, id=lambda: "a")


def test_a_step_that_is_retried_for_long_is_owed_until_it_succeeds() -> None:
    down: Outcome = Unknown(Failure("Unavailable"))
    bank = Bank(ship=[*[down] * 200, HAPPENED])
    seen: list[tuple[State, int]] = []

    async def main(runs: Runs) -> None:
        await runs.start(SHIP_AND_REST())
        for _ in range(7):
            await asyncio.sleep(30 * 60)
            found = runs.inspect("a")
            seen.append((found.state, len(found.owed)))

    within(bank, main)
    assert seen[0] == (State.RUNNING, 0)
    assert (State.ESCALATED, 1) in seen
    assert seen[-2:] == [(State.RUNNING, 0), (State.COMPLETED, 0)]


def test_what_people_must_settle_is_named() -> None:
    bank = Bank(ship=[Rejected(Failure("Broken"))])

    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", False))
        await asyncio.sleep(1)
        owed = (Owed("Bank.ship", "Broken", "crew", "ship", "a"),)
        assert runs.inspect("a") == RunView("a", State.ESCALATED, owed=owed)

    within(bank, main)


def test_what_could_not_be_undone_is_named() -> None:
    bank = Bank(give=[Rejected(Failure("Stuck"))])

    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", True))
        await asyncio.sleep(1)
        await runs.cancel("a")
        await asyncio.sleep(1)
        owed = (Owed("Bank.give", "Stuck", "", "take", "a"),)
        assert runs.inspect("a") == RunView("a", State.ESCALATED, owed=owed)

    within(bank, main)


def test_nothing_is_owed_for_a_step_that_is_being_undone_after_all() -> None:
    async def main(runs: Runs) -> None:
        await runs.start(SHIP_AND_REST())
        await asyncio.sleep(1)
        assert runs.inspect("a").state is State.ESCALATED
        await runs.cancel("a")
        await asyncio.sleep(0.05)
        assert runs.inspect("a") == RunView("a", State.RUNNING)
        await asyncio.sleep(1)
        assert runs.inspect("a").state is State.COMPENSATED

    within(Bank(ship=[Rejected(Failure("Broken"))]), main)


def test_stopping_lets_runs_end_and_gives_up_those_that_cannot() -> None:
    async def main(clock: SimulatedClock) -> None:
        runs = in_memory(clock, Bank())
        await runs.start(BUY("quick", False))
        await runs.start(BUY("waits", True))
        assert await runs.stop(grace=5) == ("waits",)
        assert clock.now() == 5_000
        assert runs.inspect("quick").state is State.COMPLETED
        with pytest.raises(EngineError, match="given up"):
            runs.inspect("waits")
        assert asyncio.all_tasks() == {asyncio.current_task()}

    simulated(main)


def test_a_cancelled_stop_leaves_nothing_running() -> None:
    async def main(clock: SimulatedClock) -> None:
        runs = in_memory(clock, Bank())
        await runs.start(BUY("waits", True))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await runs.stop(grace=60)
        await asyncio.sleep(0.1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    simulated(main)


def test_what_is_lost_when_the_application_stops_is_named(caplog: pytest.LogCaptureFixture) -> None:
    service = Service("Bank", None, BankService)

    async def main() -> None:
        environ = {"SAGA_DB": ":memory:"}
        own = {"Bank": Bank()}
        async with serving([BUY], (service,), environ, own=own, grace=0) as runs:
            await runs.start(BUY("gone\n", True))
            await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR, logger="sagalang.app"):
        asyncio.run(main())
    (record,) = caplog.records
    assert record.name == "sagalang.app"
    assert "lost" in record.getMessage()
    assert "gone" in record.getMessage()
    assert "\n" not in record.getMessage()
