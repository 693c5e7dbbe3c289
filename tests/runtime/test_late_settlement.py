"""A person settles what a child saga owes in the very moment in which its parent stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from compile.twin import checked, compile_to_module

from sagalang.interpret import run as interpreted
from sagalang.machine.events import Completed, Escalated, How
from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected
from sagalang.runtime import saga as compiled
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine

PROGRAM = checked("""
error No
service S {
  command do(name: string) keyed, records rejections
    rejects No
    compensate undo(key)
  command undo(of: key) idempotent, absent ok, fences late
}
saga Parent() { id "p"  step S.do("a")  step saga Child() }
saga Child() { step S.do("b") else escalate "ops"  step S.do("c") }
""")
MODULE: Any = compile_to_module(PROGRAM)
BEGIN: dict[str, Callable[[Any], Any]] = {
    "interpreted": lambda engine: interpreted.begin(PROGRAM, "Parent", {}, engine=engine),
    "compiled": lambda engine: compiled.begin(MODULE.PARENT(), engine=engine),
}


class Services:
    """Reject `b` the first time."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def call(self, request: Request) -> Outcome:
        name = request.args[0]
        self.calls.append(name)
        await asyncio.sleep(0.01)
        return Rejected(Failure("No")) if self.calls == ["a", "b"] else Ok(None)

    async def aclose(self) -> None: ...


@pytest.mark.parametrize("moment", ["committed", "close"])
@pytest.mark.parametrize("how", list(BEGIN))
def test_it_goes_on(how: str, moment: str) -> None:
    services = Services()

    async def main(clock: SimulatedClock) -> None:
        run = BEGIN[how](MemoryEngine(clock, services, lambda: 0.5))
        wait = getattr(run.session, moment)
        late = True

        async def waits() -> None:
            nonlocal late
            if late:
                late = False
                (child,) = run._driver.children.values()
                (item,) = child._run.open_items() if how == "compiled" else items(child)
                run.settle(item, How.RETRY, by="ada", child=child.saga_id)
                await asyncio.sleep(0)  # it is on its way
            await wait()

        setattr(run.session, moment, waits)
        first = await run.result()
        if moment == "close":  # it had come to its end already
            assert isinstance(first.outcome, Escalated)
            assert not run.idle
        async with asyncio.timeout(60):
            assert isinstance((await run.result()).outcome, Completed)

    simulated(main)
    assert services.calls == ["a", "b", "b", "c"]


def items(child: Any) -> Any:
    from sagalang.machine.saga import open_items

    return open_items(child.definition, child.state)
