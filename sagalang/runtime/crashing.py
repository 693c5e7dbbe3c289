"""Simulation: a transport on whose calls the orchestrator dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from sagalang.machine.outcomes import Outcome
from sagalang.model.program import Fault
from sagalang.runtime.contract import Request
from sagalang.runtime.faults import CRASHES
from sagalang.runtime.transport import Transport


def _nobody() -> None:
    raise AssertionError("`crash` is set before the first call")


class Crashing:
    """Lets the orchestrator die before or after certain calls: the crashes among `faults`.

    `crash` ends it; whoever begins the run sets it. `struck`: the crashes that happened.
    """

    def __init__(self, inner: Transport, faults: Iterable[Fault]) -> None:
        self._inner = inner
        self._faults = [fault for fault in faults if fault.kind in CRASHES]
        self._left = [fault.times for fault in self._faults]
        self.crash: Callable[[], None] = _nobody
        self.struck: list[Fault] = []

    async def call(self, request: Request) -> Outcome:
        fault = self._due(request.contract.label)
        if fault is None:
            return await self._inner.call(request)
        if fault.kind == "crash after":
            await self._inner.call(request)
        self.crash()
        # The answer is lost with whoever waited for it.
        never: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        return await never

    def _due(self, label: str) -> Fault | None:
        for index, fault in enumerate(self._faults):
            left = self._left[index]
            if fault.operation == label and left != 0:
                self._left[index] = None if left is None else left - 1
                self.struck.append(fault)
                return fault
        return None

    async def aclose(self) -> None:
        await self._inner.aclose()
