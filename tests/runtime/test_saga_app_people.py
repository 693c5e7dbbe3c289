"""What people do with the runs of an application: settle what is owed, cancel what is stuck."""

from __future__ import annotations

import asyncio

import pytest
from test_saga_app import BUY, Bank, within

from sagalang.machine.outcomes import Failure, Ok, Rejected
from sagalang.runtime.saga import Saga as Context
from sagalang.runtime.saga import SagaDefinition
from sagalang.runtime.saga_app import (
    How,
    Owed,
    RunOverError,
    Runs,
    SettlementRefusedError,
    State,
)

BROKEN = Rejected(Failure("Broken"))
FINE = Ok(None)


async def trip(saga: Context, name: str) -> str:
    return await saga.child("goods", BUY(name, False))


TRIP = SagaDefinition("Trip", trip, id=lambda name: name)


async def owed_by(runs: Runs, saga_id: str) -> Owed:
    """What is open in the run, or in the saga that it runs."""
    await asyncio.sleep(1)
    view = runs.inspect(saga_id)
    assert view.state is State.ESCALATED
    return next(found for found in view.owed if found.step.startswith("Bank."))


@pytest.mark.parametrize("how", [How.RETRY, How.DONE])
def test_a_run_goes_on_once_what_it_owes_is_settled(how: How) -> None:
    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", False))
        owed = await owed_by(runs, "a")
        await runs.settle("a", owed, how, by="ann", why="asked the crew")
        assert runs.inspect("a").state in (State.RUNNING, State.ESCALATED)
        await asyncio.sleep(1)
        view = runs.inspect("a")
        assert (view.state, view.value, view.owed) == (State.COMPLETED, "a", ())

    within(Bank(ship=[BROKEN, FINE]), main)


def test_what_is_not_done_is_undone() -> None:
    bank = Bank(ship=[BROKEN])

    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", False))
        await runs.settle("a", await owed_by(runs, "a"), How.NOT_DONE, by="ann")
        await asyncio.sleep(1)
        view = runs.inspect("a")
        assert (view.state, view.error) == (State.COMPENSATED, "NotDone")

    within(bank, main)
    assert bank.calls == ["take", "ship", "give"]


def test_what_was_settled_is_not_settled_again() -> None:
    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", False))
        owed = await owed_by(runs, "a")
        await runs.settle("a", owed, How.DONE, by="ann")
        await asyncio.sleep(1)
        with pytest.raises(RunOverError, match="a is over"):
            await runs.settle("a", owed, How.DONE, by="bob")

    within(Bank(ship=[BROKEN]), main)


def test_what_is_owed_below_is_settled_there() -> None:
    async def main(runs: Runs) -> None:
        await runs.start(TRIP("t"))
        owed = await owed_by(runs, "t")
        assert owed.run != "t"
        (mine,) = (found for found in runs.inspect("t").owed if found.run == "t")
        with pytest.raises(SettlementRefusedError, match="settled in its child saga"):
            await runs.settle("t", mine, How.DONE, "t", by="ann")
        await runs.settle("t", owed, How.RETRY, by="ann")
        await asyncio.sleep(1)
        assert runs.inspect("t").state is State.COMPLETED

    within(Bank(ship=[BROKEN, FINE]), main)


def test_a_run_that_waits_for_people_can_be_cancelled() -> None:
    bank = Bank(ship=[BROKEN])

    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", False))
        await owed_by(runs, "a")
        await runs.cancel("a")
        await asyncio.sleep(1)
        assert runs.inspect("a").state is State.COMPENSATED

    within(bank, main)
    assert bank.calls[-1] == "give"
