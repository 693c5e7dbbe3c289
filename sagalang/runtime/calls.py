"""Drives the state machine of one call: the clock, the random draw and the I/O.

`asyncio.CancelledError` always passes through: it is never an outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sagalang.machine import calls
from sagalang.machine.outcomes import Failure, Outcome, Unknown
from sagalang.model.errors import TIMEOUT
from sagalang.runtime.clock import Clock

Draw = Callable[[], float]
"""A random number in [0, 1)."""

Send = Callable[[int], Awaitable[Outcome]]
"""Makes attempt (or probe) number n, from 1. Raises nothing but cancellation."""

Note = Callable[[calls.CallCommand | calls.CallEvent], None]
"""Told of every command and event, as it happens."""


class Interruption:
    """Asks one call to start nothing new. Setting it twice is setting it once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()


def _ignore(_: object) -> None:
    pass


async def drive(
    config: calls.CallConfig,
    state: calls.CallState,
    *,
    clock: Clock,
    draw: Draw,
    attempt: Send,
    probe: Send | None = None,
    interruption: Interruption | None = None,
    note: Note = _ignore,
) -> calls.Done:
    """Make a call until its outcome is settled. `state` is a fresh or a recovered one.

    An interruption ends sleeps at once; an attempt or a probe in flight is awaited.
    """
    interruption = interruption or Interruption()
    event: calls.CallEvent = calls.Begin()
    while True:
        if interruption.is_set() and not state.interrupted:
            note(calls.Interrupted())
            state, commands = calls.advance(config, state, calls.Interrupted(), clock.now(), draw())
            if commands:
                return _ended(commands, note)
        note(event)
        state, commands = calls.advance(config, state, event, clock.now(), draw())
        (command,) = commands
        match command:
            case calls.Done():
                return _ended(commands, note)
            case calls.Attempt(number, until):
                note(command)
                event = calls.AttemptEnded(await _bounded(clock, until, attempt, number))
            case calls.Probe(number, until):
                note(command)
                assert probe is not None
                event = calls.ProbeEnded(await _bounded(clock, until, probe, number))
            case calls.Sleep(until):
                note(command)
                await _sleep(clock, until, interruption)
                event = calls.Woke()


def _ended(commands: tuple[calls.CallCommand, ...], note: Note) -> calls.Done:
    (done,) = commands
    assert isinstance(done, calls.Done)
    note(done)
    return done


async def _bounded(clock: Clock, until: int, send: Send, number: int) -> Outcome:
    try:
        async with clock.timeout_at(until):
            return await send(number)
    except TimeoutError:
        return Unknown(Failure(TIMEOUT, None, "no answer in time"))


async def _sleep(clock: Clock, until: int, interruption: Interruption) -> None:
    """Until the moment or the interruption, whichever comes first."""
    waits: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(clock.sleep_until(until)),
        asyncio.ensure_future(interruption.wait()),
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
