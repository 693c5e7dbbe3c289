"""The process that owns a journal file: its runs, and what others send to them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from host.living import Living, World, living, until
from sagalang.host.host import Handle, Host
from sagalang.host.sending import Desk, RefusedError, Sent
from sagalang.interpret.run import Send
from sagalang.machine.events import Compensated, Completed, Escalated, How
from sagalang.model.types import RecordRef
from sagalang.runtime import journal as j
from sagalang.runtime.codec import decode
from sagalang.runtime.engine import EngineError, OtherInputError
from sagalang.runtime.sqlite import LostError, State, reading, send, writer
from sagalang.runtime.sqlite import Run as Row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def settle(path: Path, saga_id: str, how: How = How.RETRY, wait: float = 20.0) -> Sent:
    """As another process does; the first open item."""
    desk = Desk(path, wait)
    to = desk.look(saga_id)
    stands, item = next((s, item) for s in to.below for item in s.open_items())
    return desk.settle(desk.look(stands.saga_id), item, how, by="ada", why="a test")


def cancel(path: Path, saga_id: str) -> Sent:
    desk = Desk(path, 20.0)
    return desk.cancel(desk.look(saga_id))


def go(here: Living, n: int) -> Any:
    type_ = here.definition.values.python_type(RecordRef("Go"))
    return decode(f'{{"n": {n}}}', type_)


def of_host(host: Host) -> Callable[[Row], Coroutine[Any, Any, Handle | None]]:
    """For `Host.listen`: whatever gets a message goes on."""

    async def unknown(row: Row) -> Handle | None:
        return await host.resume(row.id)

    return unknown


async def escalated(here: Living, world: World, saga: str = "Main") -> None:
    world.refused.add("b")
    handle = await here.start(saga)
    assert isinstance((await handle.result()).outcome, Escalated)
    world.refused.clear()
    world.calls.clear()


# --- Runs --------------------------------------------------------------------------------------


def test_two_who_start_the_same_run_at_once_share_it(path: Path) -> None:
    world = World()

    async def main() -> None:
        async with living(path, world) as here:
            one, two = await asyncio.gather(here.start("Main"), here.start("Main"))
            assert one is two
            assert (await one.result()).outcome == Completed()

    asyncio.run(main())
    assert world.calls == ["a", "b", "c"]
    assert world.opened == 1


def test_runs_of_one_definition_that_start_at_once_reach_its_services_once(path: Path) -> None:
    world = World()

    async def main() -> None:
        async with living(path, world) as here:
            handles = await asyncio.gather(*(here.start("Main", f"o-{n}") for n in range(5)))
            await asyncio.gather(*(handle.result() for handle in handles))

    asyncio.run(main())
    assert world.opened == 1
    assert len(world.calls) == 15


def test_the_second_of_two_starts_at_once_is_refused_if_it_is_of_another_saga(path: Path) -> None:
    world = World()

    async def main() -> None:
        async with living(path, world) as here:
            found = await asyncio.gather(
                here.start("Main"), here.start("Waiting"), return_exceptions=True
            )
            assert [type(each) for each in found] == [Handle, OtherInputError]

    asyncio.run(main())


def test_whoever_waits_for_a_run_may_give_up_and_it_goes_on(path: Path) -> None:
    world = World(held={"b"})

    async def main() -> None:
        async with living(path, world) as here:
            handle = await here.start("Main")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(handle.result(), 0.05)
            world.free()
            assert (await handle.result()).outcome == Completed()

    asyncio.run(main())
    assert world.calls == ["a", "b", "c"]


def test_the_end_of_a_host_leaves_its_runs_and_nothing_else(path: Path) -> None:
    world = World(held={"b"})

    async def main() -> None:
        async with living(path, world) as here:
            handle = await here.start("Main", sends=[Send("Go", go(here, 1), 60_000)])
            here.host.listen(of_host(here.host))
            await until(lambda: world.calls == ["a", "b"])
        with pytest.raises(asyncio.CancelledError):
            await handle.result()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(EngineError, match="closed"):
            await here.start("Main", "o-2")

    asyncio.run(main())
    world = World()

    async def later() -> None:
        async with living(path, world) as here:
            (row,) = here.host.unfinished()
            assert (await (await here.host.resume(row.id)).result()).outcome == Completed()
            assert here.host.unfinished() == []

    asyncio.run(later())
    assert world.calls == ["b", "c"]


def test_what_the_world_sends_reaches_a_run_that_goes_on_after_a_death(path: Path) -> None:
    world = World()

    async def main(sends: bool) -> Any:
        async with living(path, world) as here:
            value = [Send("Go", go(here, 1), 20)] if sends else []
            handle = await here.start("Waiting", sends=value)
            if sends:
                return (await handle.result()).outcome
            await until(lambda: world.calls == ["a"])
            return None

    asyncio.run(main(sends=False))
    assert asyncio.run(main(sends=True)) == Completed()
    assert world.calls == ["a", "z"]


def test_a_file_that_is_lost_ends_all_runs_and_put_back_they_go_on(path: Path) -> None:
    world = World(held={"b"})
    away = path.with_suffix(".away")

    async def main() -> None:
        async with living(path, world) as here:
            handles = [await here.start("Main", f"o-{n}") for n in range(3)]
            await until(lambda: world.calls.count("b") == 3)
            os.rename(path, away)
            world.free()
            found = await asyncio.gather(
                *(handle.result() for handle in handles), return_exceptions=True
            )
            assert [type(each) for each in found] == [LostError] * 3
            assert here.host.handles == {}
            with pytest.raises(LostError):
                await (await here.start("Main", "o-4")).result()

    asyncio.run(main())
    assert "c" not in world.calls
    away.rename(path)
    world = World()

    async def later() -> None:
        async with living(path, world) as here:
            handles = [await here.host.resume(row.id) for row in here.host.unfinished()]
            assert len(handles) == 3
            for handle in handles:
                assert (await handle.result()).outcome == Completed()

    asyncio.run(later())
    assert world.calls.count("c") == 3


# --- What others send --------------------------------------------------------------------------


def test_a_run_takes_an_event_a_cancel_and_a_settlement_of_another_process(path: Path) -> None:
    world = World()

    async def main() -> None:
        async with living(path, world) as here:
            here.host.listen(of_host(here.host))
            waiting = await here.start("Waiting", "o-1")
            cancelled = await here.start("Waiting", "o-2")
            await until(lambda: world.calls == ["a", "a"])
            desk = Desk(path, 20.0)
            to = desk.look("o-1")
            sent = await asyncio.to_thread(desk.signal, to, "Go", go(here, 7))
            assert sent.taken
            assert (await waiting.result()).outcome == Completed()
            assert (await asyncio.to_thread(cancel, path, "o-2")).taken
            outcome = (await cancelled.result()).outcome
            assert isinstance(outcome, Compensated)
            assert outcome.error.name == "Cancelled"
            await escalated_o_3(here)

    async def escalated_o_3(here: Living) -> None:
        world.refused.add("b")
        await (await here.start("Main", "o-3")).result()
        world.refused.clear()
        assert (await asyncio.to_thread(settle, path, "o-3")).taken
        await until(lambda: here.store.reader.run("o-3").state is State.COMPLETED)

    asyncio.run(main())


def test_a_step_that_is_settled_twice_takes_the_first_and_tells_the_second_why_not(
    path: Path,
) -> None:
    """Both were sent before the owner looked: the second was right when it was sent."""
    world = World()

    async def main() -> None:
        async with living(path, world) as here:
            await escalated(here, world)
            (opened,) = (
                entry for entry in here.host.journal("o-1") if isinstance(entry, j.EscalationRaised)
            )
            codec = here.definition.stored.codec
            body = [codec.encode("Main", done(opened, how)) for how in ("done", "not done")]
            world.held.add("c")
            numbers = [send(path, "o-1", "settle", str(n), body[n], n).number for n in (0, 1)]
            here.host.listen(of_host(here.host))
            await until(lambda: here.store.reader.message(numbers[1]).refused)
            first, second = (here.store.reader.message(number) for number in numbers)
            assert first.taken
            assert second.taken is None
            assert "not open" in second.refused
            world.free()
            await until(lambda: here.store.reader.run("o-1").ended)
            assert here.store.reader.run("o-1").state is State.COMPLETED

    asyncio.run(main())
    assert world.calls == ["c"]


def test_a_child_saga_is_settled_from_outside_and_its_parent_goes_on(path: Path) -> None:
    world = World()

    async def main() -> None:
        async with living(path, world) as here:
            await escalated(here, world, "Parent")
            here.host.listen(of_host(here.host))
            assert (await asyncio.to_thread(settle, path, "o-1")).taken
            await until(lambda: here.store.reader.run("o-1").state is State.COMPLETED)

    asyncio.run(main())
    assert world.calls == ["b", "d", "c"]


def test_a_settlement_that_comes_while_a_run_is_about_to_stop_is_not_forgotten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the inbox before the end of the run is on the disk, which takes a while."""
    world, real = World(refused={"b"}), writer.write

    def slowly(*args: Any) -> None:
        time.sleep(0.15)
        real(*args)

    async def main() -> None:
        sent: list[asyncio.Future[Any]] = []
        raised: list[j.EscalationRaised] = []

        def observe(entry: j.Entry) -> None:
            match entry:
                case j.EscalationRaised() if entry.saga_id != "o-1":
                    raised.append(entry)
                case j.SagaFinished(saga_id="o-1") if not sent:
                    (opened,) = raised
                    body = here.definition.stored.codec.encode("Child", done(opened))
                    sending = asyncio.to_thread(send, path, opened.saga_id, "settle", "1", body, 0)
                    sent.append(asyncio.ensure_future(sending))
                    monkeypatch.setattr(writer, "write", slowly)

        async with living(path, world, observer=observe) as here:
            here.host.listen(of_host(here.host))
            await here.start("Parent")
            await until(lambda: sent and here.store.reader.run("o-1").state is State.COMPLETED)

    asyncio.run(main())
    assert world.calls == ["a", "b", "d", "c"]


def done(opened: j.EscalationRaised, how: str = "done") -> j.Settlement:
    item = opened.item
    return j.Settlement(
        at=0,
        saga_id=opened.saga_id,
        place=item.place,
        purpose=item.purpose,
        how=how,
        by="ada",
        why="a test",
    )


@pytest.mark.parametrize("act", [settle, cancel])
def test_what_was_taken_is_carried_out_though_the_process_died_at_once(
    path: Path, act: Callable[[Path, str], Sent]
) -> None:
    """The run is escalated, so nothing but the message says that it has to go on."""
    world = World()

    async def before() -> None:
        async with living(path, world) as here:
            await escalated(here, world)

    asyncio.run(before())

    async def dies() -> None:
        def observe(entry: j.Entry) -> None:
            if isinstance(entry, j.Settlement | j.CancelAsked):
                stores[0].close()  # all that was appended is on the disk
                os.kill(os.getpid(), signal.SIGKILL)

        stores: list[Any] = []
        async with living(path, world, observer=observe) as here:
            stores.append(here.store)
            here.host.listen(of_host(here.host))
            await asyncio.sleep(60)

    owner = os.fork()
    if owner == 0:
        try:
            asyncio.run(dies())
        finally:
            os._exit(1)
    act(path, "o-1")
    _, status = os.waitpid(owner, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    with reading(path) as reader:
        assert reader.waiting_messages() == []

    async def later() -> Any:
        async with living(path, world) as here:
            (row,) = here.host.unfinished()
            return (await (await here.host.resume(row.id)).result()).outcome

    outcome = asyncio.run(later())
    assert isinstance(outcome, Completed if act is settle else Compensated)
    assert world.calls == (["b", "c"] if act is settle else ["undo a"])


def test_a_run_that_is_over_refuses_whatever_comes(path: Path) -> None:
    world = World()

    async def main() -> None:
        async with living(path, world) as here:
            await (await here.start("Main")).result()
            number = send(path, "o-1", "cancel", "1", b"", 0).number
            here.host.listen(of_host(here.host))
            await until(lambda: here.store.reader.message(number).refused)
            assert here.store.reader.message(number).refused == "o-1 is completed: it is over"

    asyncio.run(main())


def test_a_run_whose_compensations_were_written_off_is_over_for_good(path: Path) -> None:
    world = World(refused={"b", "undo a"})

    async def main() -> None:
        async with living(path, world) as here:
            handle = await here.start("Undone")
            assert isinstance((await handle.result()).outcome, Escalated)
            assert here.store.reader.run("o-1").ended is None
            here.host.listen(of_host(here.host))
            assert (await asyncio.to_thread(settle, path, "o-1", How.NOT_DONE)).taken
            await until(lambda: here.store.reader.run("o-1").ended)
            assert here.store.reader.run("o-1").state is State.ESCALATED
            assert here.host.unfinished() == []
            with pytest.raises(RefusedError, match="over"):
                await asyncio.to_thread(cancel, path, "o-1")
            number = send(path, "o-1", "cancel", "late", b"", 0).number
            await until(lambda: here.store.reader.message(number).refused)
            assert here.store.reader.run("o-1").state is State.ESCALATED

    asyncio.run(main())


def test_a_message_to_a_run_whose_services_cannot_be_reached_is_kept_and_others_are_heard(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()

    async def main() -> None:
        async with living(path, world) as here:
            await escalated(here, world)
        world.missing.add("BANK_URL")
        async with living(path, world) as here:
            number = send(path, "o-1", "cancel", "1", b"", 0).number
            here.host.listen(of_host(here.host))
            await until(lambda: "BANK_URL" in caplog.text)
            assert here.store.reader.message(number).refused is None
            world.missing.clear()
            waiting = await here.start("Waiting", "o-2")
            await until(lambda: here.store.reader.run("o-2"))
            assert (await asyncio.to_thread(cancel, path, "o-2")).taken
            assert isinstance((await waiting.result()).outcome, Compensated)
        async with living(path, world) as here:
            here.host.listen(of_host(here.host))
            await until(lambda: here.store.reader.run("o-1").ended)
            assert here.store.reader.run("o-1").state is State.COMPENSATED

    asyncio.run(main())


def test_a_run_that_stops_with_an_error_and_nobody_waits_for_is_logged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(held={"b"})

    async def main() -> None:
        async with living(path, world) as here:
            await here.start("Main")
            await until(lambda: "b" in world.calls)
            os.rename(path, path.with_suffix(".away"))
            world.free()
            await until(lambda: not here.host.handles)

    asyncio.run(main())
    assert "o-1 stopped: journal.db was deleted, moved or replaced" in caplog.text


RECORDS = """
record Order { id: string }
service S { command do(id: string) -> { at: string } keyed compensate undo(key)
            command undo(of: key) idempotent, absent ok, fences late }
saga Main(order: Order) {
  id order.id
  step S.do(order.id)
}
"""


def test_a_run_that_is_started_again_is_the_same_though_another_was_taken_up_before(
    path: Path,
) -> None:
    """What was taken up brought the stored definition, whose records are of other classes."""

    async def begin(here: Living, saga_id: str) -> Handle:
        values = here.definition.values
        order = values.make(RecordRef("Order"), {"id": saga_id})
        return await here.host.start(here.definition, "Main", {"order": order})

    async def first() -> None:
        world = World(held={"left"})
        async with living(path, world, RECORDS) as here:
            await begin(here, "left")
            await until(lambda: world.calls == ["left"])

    async def second() -> None:
        world = World(held={"new"})
        async with living(path, world, RECORDS) as here:
            await (await here.host.resume("left")).result()
            handle = await begin(here, "new")
            await until(lambda: world.calls == ["left", "new"])
            assert await begin(here, "new") is handle
            world.free()
            await handle.result()

    asyncio.run(first())
    asyncio.run(second())
