"""The services of a definition that comes from a journal."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagalang.host.definitions import Definition
    from sagalang.runtime.clock import Clock
    from sagalang.runtime.transport import Transport


@asynccontextmanager
async def reach(definition: Definition, clock: Clock) -> AsyncIterator[Transport]:
    """Its services, or new fakes where it began on fakes, which remember nothing.
    Raises `ConnectProblem`."""
    if definition.fakes:
        from sagalang.runtime.fake_transport import FakeTransport
        from sagalang.runtime.fakes import FakeWorld

        world = FakeWorld(definition.program, values=definition.values)
        yield FakeTransport(world, clock)
        return
    from sagalang.runtime.transport import connect

    transport = connect(definition.program, os.environ, values=definition.values)
    try:
        yield transport
    finally:
        await transport.aclose()
