"""An application with a journal file: what one process began, the next goes on with."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from compile.twin import checked, compile_to_module

from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected
from sagalang.runtime.contract import Request
from sagalang.runtime.problems import EnvironmentProblem
from sagalang.runtime.saga_app import (
    EngineError,
    How,
    NoSuchRunError,
    OtherDefinitionError,
    OtherInputError,
    RunOverError,
    Runs,
    RunView,
    State,
    StoreError,
    serving,
)
from sagalang.runtime.sqlite import reading, send

TEXT = """
error No
event Word { said: string }
service Bank {
  command take(order: string) keyed, records rejections  compensate give(key)
  command give(of: key) idempotent, absent ok, fences late
  command ship(order: string) keyed, records rejections
    rejects No
    compensate unship(key)
  command unship(of: key) idempotent, absent ok, fences late
}
saga Buy(id: string, asks: bool) -> string {
  id id
  step Bank.take(id)
  if asks {
    wait word: Word within 4h else abort No
    step Bank.ship(id) else escalate "crew"
    return word.said
  }
  step Bank.ship(id) else escalate "crew"
  return id
}
saga Pay(id: string, card: secret string) {
  id id
  step Bank.take(id)
}
saga Trip(id: string) -> string {
  id id
  step goods = saga Buy(id, false)
  return goods
}
"""
MODULE: Any = compile_to_module(checked(TEXT))
OTHER: Any = compile_to_module(checked(TEXT.replace("4h", "5h")))
BUY, TRIP, Word = MODULE.BUY, MODULE.TRIP, MODULE.Word
PATIENCE = 30.0


class Bank:
    """Rejects the operations of `refused`; those of `held` do not answer."""

    def __init__(self, *refused: str, held: str = "") -> None:
        self.refused, self.held = {*refused}, held
        self.calls: list[str] = []

    async def call(self, request: Request) -> Outcome:
        name = request.contract.operation
        self.calls.append(name)
        if name == self.held:
            await asyncio.sleep(PATIENCE * 2)
        await asyncio.sleep(0)
        return Rejected(Failure("No")) if name in self.refused else Ok(None)

    async def aclose(self) -> None: ...


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def served(
    path: Path, bank: Bank, module: Any = MODULE, environ: Any = None, **more: Any
) -> AbstractAsyncContextManager[Runs]:
    own: Any = {"Bank": bank}
    sagas = [module.BUY, module.PAY, module.TRIP]
    return serving(sagas, module.SERVICES, environ or {}, db=path, own=own, grace=0.2, **more)


def lives(path: Path, bank: Bank, *mains: Callable[[Runs], Awaitable[None]], **more: Any) -> None:
    """One application after the other."""

    async def life(main: Callable[[Runs], Awaitable[None]]) -> None:
        async with served(path, bank, **more) as runs:
            await main(runs)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    for main in mains:
        asyncio.run(life(main))


async def comes_to(runs: Runs, saga_id: str, state: State) -> RunView:
    return await eventually(runs, saga_id, lambda view: view.state is state)


async def eventually(runs: Runs, saga_id: str, holds: Callable[[RunView], bool]) -> RunView:
    until = time.monotonic() + PATIENCE
    while not holds(view := runs.inspect(saga_id)):
        assert time.monotonic() < until, view
        await asyncio.sleep(0.005)
    return view


async def waits(runs: Runs) -> None:
    """A run that waits for a word."""
    await runs.start(BUY("a", True))
    await asyncio.sleep(0.1)


def test_a_run_that_waits_goes_on_in_the_next_process(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bank = Bank()

    async def word(runs: Runs) -> None:
        assert runs.inspect("a") == RunView("a", State.RUNNING)
        await runs.signal("a", Word(said="yes"))
        assert await comes_to(runs, "a", State.COMPLETED) == RunView("a", State.COMPLETED, "yes")

    with caplog.at_level(logging.INFO, logger="sagalang.app"):
        lives(path, bank, waits, word)
    assert bank.calls == ["take", "ship"]
    told = [record.getMessage() for record in caplog.records if record.name == "sagalang.app"]
    assert told == ["left as they are, to go on at the next start: a"]


def test_what_was_started_or_sent_is_on_record_when_that_returns(path: Path) -> None:
    async def main(runs: Runs) -> None:
        await runs.start(BUY("a", True))
        with reading(path) as reader:
            run = reader.run("a")
            assert run is not None
            before = len(reader.entries(run.number))
            await runs.signal("a", Word(said="yes"))
            assert any(b'"yes"' in body for _, body in reader.entries(run.number)[before:])

    lives(path, Bank(held="take"), main)


def test_a_call_that_was_cut_off_is_made_again_under_its_key(path: Path) -> None:
    bank = Bank(held="ship")

    async def ships(runs: Runs) -> None:
        await runs.start(BUY("a", False))
        until = time.monotonic() + PATIENCE
        while "ship" not in bank.calls:
            assert time.monotonic() < until
            await asyncio.sleep(0.005)

    async def ends(runs: Runs) -> None:
        await comes_to(runs, "a", State.COMPLETED)

    lives(path, bank, ships)
    bank.held = ""
    lives(path, bank, ends)
    assert bank.calls == ["take", "ship", "ship"]


async def ended(runs: Runs) -> None:
    await runs.start(BUY("a", True))
    await runs.signal("a", Word(said="yes"), id="w")
    await comes_to(runs, "a", State.COMPLETED)


def test_a_run_that_ended_is_still_known(path: Path) -> None:
    bank = Bank()

    async def later(runs: Runs) -> None:
        assert runs.inspect("a") == RunView("a", State.COMPLETED, "yes")
        assert await runs.start(BUY("a", True)) == "a"
        with pytest.raises(OtherInputError):
            await runs.start(BUY("a", False))
        await runs.signal("a", Word(said="yes"), id="w")
        with pytest.raises(OtherInputError):
            await runs.signal("a", Word(said="no"), id="w")
        with pytest.raises(RunOverError):
            await runs.signal("a", Word(said="no"))
        with pytest.raises(RunOverError):
            await runs.cancel("a")
        with pytest.raises(NoSuchRunError):
            runs.inspect("b")

    async def at_once_and_later(runs: Runs) -> None:
        await ended(runs)
        await later(runs)

    lives(path, bank, at_once_and_later, later)
    assert bank.calls == ["take", "ship"]


async def escalates(runs: Runs) -> None:
    await runs.start(BUY("a", False))
    await comes_to(runs, "a", State.ESCALATED)


@pytest.mark.parametrize("how", [How.RETRY, How.DONE, How.NOT_DONE])
def test_what_was_owed_is_settled_in_the_next_process(path: Path, how: How) -> None:
    bank = Bank("ship")

    async def settles(runs: Runs) -> None:
        bank.refused.clear()
        view = runs.inspect("a")
        (owed,) = view.owed
        assert (view.state, owed.step, owed.at, owed.team) == (
            State.ESCALATED,
            "Bank.ship",
            "Bank.ship#2",
            "crew",
        )
        await runs.settle("a", owed, how, by="ada", why="a test")
        state = State.COMPENSATED if how is How.NOT_DONE else State.COMPLETED
        assert (await comes_to(runs, "a", state)).owed == ()
        with pytest.raises(RunOverError):
            await runs.settle("a", owed, how, by="ada")

    lives(path, bank, escalates, settles)
    more = {How.RETRY: ["ship"], How.DONE: [], How.NOT_DONE: ["give"]}
    assert bank.calls == ["take", "ship", *more[how]]


def test_what_is_owed_below_is_settled_in_the_next_process(path: Path) -> None:
    bank = Bank("ship")

    async def trip(runs: Runs) -> None:
        await runs.start(TRIP("t"))
        await comes_to(runs, "t", State.ESCALATED)

    async def settles(runs: Runs) -> None:
        bank.refused.clear()
        owed = next(each for each in runs.inspect("t").owed if each.run != "t")
        with pytest.raises(NoSuchRunError):
            runs.inspect(owed.run)
        with pytest.raises(OtherInputError):
            await runs.start(BUY("t", False), saga_id=owed.run)
        await runs.settle("t", owed, How.RETRY, by="ada")
        with reading(path) as reader:
            run = reader.run(owed.run)
            assert run is not None
            assert any(b'"ada"' in body for _, body in reader.entries(run.number))
        assert (await comes_to(runs, "t", State.COMPLETED)).value == "t"

    async def is_over(runs: Runs) -> None:
        assert runs.inspect("t").value == "t"

    lives(path, bank, trip, settles, is_over)


@pytest.mark.parametrize("begins", [waits, escalates])
def test_cancel_of_the_command_line_reaches_it(
    path: Path, begins: Callable[[Runs], Awaitable[None]]
) -> None:
    bank = Bank("ship")

    async def undone(runs: Runs) -> None:
        send(path, "a", "cancel", "c-1", b"", 0)
        await comes_to(runs, "a", State.COMPENSATED)
        send(path, "a", "cancel", "c-2", b"", 0)
        until = time.monotonic() + PATIENCE
        while (second := messages()[1]).refused is None:
            assert time.monotonic() < until
            await asyncio.sleep(0.005)
        assert second.refused == "a is over"
        assert messages()[0].taken is not None

    def messages() -> Any:
        with reading(path) as reader:
            run = reader.run("a")
            assert run is not None
            return reader.messages(run.number)

    lives(path, bank, begins, undone)
    assert bank.calls[-1] == "give"


def test_a_cancel_that_nobody_took_is_taken_at_the_next_start(path: Path) -> None:
    bank = Bank()

    async def undone(runs: Runs) -> None:
        assert (await comes_to(runs, "a", State.COMPENSATED)).error == "Cancelled"

    lives(path, bank, waits)
    send(path, "a", "cancel", "c-1", b"", 0)
    lives(path, bank, undone)
    assert bank.calls == ["take", "give"]


def test_another_version_neither_goes_on_with_a_run_nor_hides_it(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bank = Bank()
    assert BUY.version != OTHER.BUY.version

    async def another(runs: Runs) -> None:
        for asks in (runs.cancel("a"), runs.start(OTHER.BUY("a", True))):
            with pytest.raises(OtherDefinitionError, match=f"began with version {BUY.version}"):
                await asks
        with pytest.raises(OtherDefinitionError):
            runs.inspect("a")

    async def accepting(runs: Runs) -> None:
        await runs.signal("a", OTHER.Word(said="yes"))
        assert (await comes_to(runs, "a", State.COMPLETED)).value == "yes"

    async def afterwards(runs: Runs) -> None:
        assert runs.inspect("a").value == "yes"
        assert await runs.start(OTHER.BUY("a", True)) == "a"

    lives(path, bank, waits)
    with caplog.at_level(logging.ERROR, logger="sagalang.app"):
        lives(path, bank, another, module=OTHER)
    assert "a is left as it is: a began with version" in caplog.text
    assert bank.calls == ["take"]
    lives(path, bank, accepting, module=OTHER, accepts=[BUY.version])
    lives(path, bank, afterwards, module=OTHER)
    assert bank.calls == ["take", "ship"]


def test_a_saga_that_is_not_served_is_not_started(path: Path) -> None:
    async def main(runs: Runs) -> None:
        with pytest.raises(EngineError, match="Buy is none of the sagas that are run here"):
            await runs.start(OTHER.BUY("a", True))

    lives(path, Bank(), main)


def test_what_cannot_be_written_is_not_started(path: Path) -> None:
    bank = Bank()

    async def main(runs: Runs) -> None:
        for _ in range(2):
            with pytest.raises(StoreError, match="SAGA_SECRET_KEY does not hold a key"):
                await runs.start(MODULE.PAY("a", "card-of-4711"))

    lives(path, bank, main, environ={"SAGA_SECRET_KEY": "nonsense"})
    assert bank.calls == []


def test_the_file_must_be_named() -> None:
    async def main() -> None:
        with pytest.raises(EnvironmentProblem, match="set SAGA_DB, or give db="):
            async with serving([BUY], MODULE.SERVICES, {}):
                pass

    asyncio.run(main())
