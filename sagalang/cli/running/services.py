"""The services that a saga runs against: the real ones, or fakes of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagalang.cli.running.plan import Plan
    from sagalang.runtime.clock import Clock
    from sagalang.runtime.crashing import Crashing
    from sagalang.runtime.fakes import FakeWorld
    from sagalang.runtime.fault_script import Scripted
    from sagalang.runtime.transport import Transport


@dataclass(frozen=True)
class Fakes:
    """The services of a mock run, and what lets them and the orchestrator fail."""

    world: FakeWorld
    crashing: Crashing
    scripted: Scripted | None

    def dies_by(self, crash: Callable[[], None]) -> None:
        self.crashing.crash = crash
        if self.scripted is not None:
            self.scripted.crash = crash

    def settle(self) -> None:
        if self.scripted is not None:
            self.scripted.settle()
        self.world.settle()


@contextlib.asynccontextmanager
async def services(plan: Plan, clock: Clock) -> AsyncIterator[tuple[Transport, Fakes | None]]:
    """The services to run against, closed at the end; with what they are where they are fakes."""
    program = plan.loaded.program
    if not plan.mock:
        from sagalang.runtime.transport import connect

        transport = connect(program, os.environ, values=plan.values)
        try:
            yield transport, None
        finally:
            await transport.aclose()
        return
    from sagalang.runtime.crashing import Crashing
    from sagalang.runtime.fakes import FakeWorld

    world = FakeWorld(program, values=plan.values, faults=plan.planned)
    if plan.script is not None:
        from sagalang.runtime.fake_transport import FakeTransport
        from sagalang.runtime.fault_script import Scripted

        inside = Crashing(FakeTransport(world, clock, plan.script.latency), plan.faults)
        scripted = Scripted(inside, world, clock, plan.script)
        yield scripted, Fakes(world, inside, scripted)
        return
    from sagalang.runtime.mock_server import router_for_mock, serve

    async with serve(world, 0, plan.latency) as mock:
        router: Transport = router_for_mock(mock, plan.latency)
        try:
            crashing = Crashing(router, plan.faults)
            yield crashing, Fakes(world, crashing, None)
        finally:
            await router.aclose()
