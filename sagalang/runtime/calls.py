"""Drives the state machine of one call through its protections.

What is done in which order stands once, in `conduct`, which does no I/O: it yields what is to be
done. `drive` does it under asyncio; `sagalang.resilience` has a driver for threads beside it.
`asyncio.CancelledError` always passes through: it is never an outcome, and gives back what was
held.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from types import coroutine
from typing import Any, Final, Protocol

from msgspec import Struct

from sagalang.machine import calls
from sagalang.machine.breaker import Permit
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model import program as p
from sagalang.model.errors import BULKHEAD_FULL, NOT_SENT, TIMEOUT
from sagalang.model.program import Ms
from sagalang.runtime.clock import Clock
from sagalang.runtime.protection import UNGUARDED, BreakerChanged, Guard, Turn

Draw = Callable[[], float]
"""A random number in [0, 1)."""


class Now(Protocol):
    """What `conduct` needs of a clock."""

    def now(self) -> Ms: ...


Send = Callable[[int], Coroutine[Any, Any, Outcome]]
"""Makes attempt (or probe) number n, from 1. Raises nothing but cancellation."""


class Queued(Struct, frozen=True, gc=False):
    """A call waits for its turn in a bulkhead, at most until then."""

    until: Ms | None


Told = calls.CallCommand | calls.CallEvent | BreakerChanged | Queued
Note = Callable[[Told], None]
"""Told of every command and event, and of what the protections do, as it happens."""


class Interruption:
    """Asks one call to start nothing new. Setting it twice is setting it once."""

    __slots__ = ("_set", "_watchers")

    def __init__(self) -> None:
        self._set = False
        self._watchers: tuple[Callable[[], None], ...] = ()

    def set(self) -> None:
        self._set = True
        for watcher in self._watchers:
            watcher()

    def is_set(self) -> bool:
        return self._set

    def watch(self, watcher: Callable[[], None]) -> None:
        self._watchers = (*self._watchers, watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        at = self._watchers.index(watcher)
        self._watchers = self._watchers[:at] + self._watchers[at + 1 :]


# --- What is to be done --------------------------------------------------------------------------


class Exchange(Struct, frozen=True, gc=False):
    """Send attempt (or probe) `number`; answered by its outcome. At `until` it is given up."""

    probe: bool
    number: int
    until: Ms


class Pause(Struct, frozen=True, gc=False):
    """Wait until then, or until the interruption."""

    until: Ms


class Stand(Struct, frozen=True, gc=False):
    """Wait for the turn, at most until then, or until the interruption. Whether it came shows in
    the turn."""

    turn: Turn
    until: Ms | None


Effect = Exchange | Pause | Stand
Conduct = Generator[Effect, Any, calls.Done]

BEGIN: Final = calls.Begin()
TIMED_OUT: Final = Unknown(Failure(TIMEOUT, None, "no answer in time"))
_GIVEN_UP: Final = NotSent(Failure(NOT_SENT, None, "it was interrupted in the queue"))
_WAITED_IN_VAIN: Final = NotSent(Failure(BULKHEAD_FULL, None, "its turn did not come in time"))


def _ignore(_: object) -> None:
    pass


def conduct(
    config: calls.CallConfig,
    state: calls.CallState,
    clock: Now,
    draw: Draw,
    guard: Guard,
    asking: Guard,
    interrupted: Callable[[], bool],
    note: Note,
    event: calls.CallEvent = BEGIN,
) -> Conduct:
    """One call until its outcome is settled. Closing it gives back what it holds.

    Outermost first: total budget > retry (+ retry budget) > breaker > rate limit > bulkhead >
    attempt timeout > call (language.md, section 6). `asking` protects the probe's operation.
    `event`: what happened last; the call was conducted until then.
    """
    if guard.budget is not None and event is BEGIN:
        guard.budget.request(clock.now())
    while True:
        if not state.interrupted and interrupted():
            note(calls.Interrupted())
            state, commands = calls.advance(config, state, calls.Interrupted(), clock.now(), draw())
            if commands:
                return _ended(commands, note)
        note(event)
        state, commands = calls.advance(config, state, event, clock.now(), draw())
        (command,) = commands
        match command:
            case calls.Attempt():
                note(command)
                outcome = yield from _through(guard, command, False, clock, interrupted, note)
                event = calls.AttemptEnded(outcome)
            case calls.Probe():
                note(command)
                outcome = yield from _through(asking, command, True, clock, interrupted, note)
                event = calls.ProbeEnded(outcome)
            case calls.Sleep(until):
                note(command)
                yield Pause(until)
                room = True
                if guard.budget is not None and not interrupted() and calls.spends_budget(state):
                    room = guard.budget.retry(clock.now())
                event = calls.Woke(room)
            case calls.Done():
                return _ended(commands, note)


def _ended(commands: tuple[calls.CallCommand, ...], note: Note) -> calls.Done:
    (done,) = commands
    assert isinstance(done, calls.Done)
    note(done)
    return done


def _through(
    guard: Guard,
    command: calls.Attempt | calls.Probe,
    probe: bool,
    clock: Now,
    interrupted: Callable[[], bool],
    note: Note,
) -> Generator[Effect, Any, Outcome]:
    """One attempt. The breaker's permit comes first, and goes back if nothing is learned."""
    breaker, bulkhead = guard.breaker, guard.bulkhead
    permit: Permit | None = None
    standing: Turn | None = None
    entered = False
    sent = clock.now()
    try:
        if breaker is not None:
            admitted = breaker.admit(sent, 2 * command.timeout, note)
            if isinstance(admitted, NotSent):
                return admitted
            permit = admitted
        if guard.rate is not None:
            refused = guard.rate.admit(sent)
            if refused is not None:
                return refused
        if bulkhead is not None:
            turn = bulkhead.enter()
            if isinstance(turn, NotSent):
                return turn
            if turn is None:
                entered = True
            else:
                until = _waits_until(bulkhead.config, command, sent)
                note(Queued(until))
                standing = turn
                yield Stand(turn, until)
                standing = None
                entered = not bulkhead.give_up(turn)
                if not entered:
                    return _GIVEN_UP if interrupted() else _WAITED_IN_VAIN
                sent = clock.now()
                if breaker and permit and (permit.probe or breaker.stale(permit)):
                    # It opened or closed while the call stood in the queue, or a probe's lease ran.
                    breaker.release(permit)
                    permit = None
                    admitted = breaker.admit(sent, 2 * command.timeout, note)
                    if isinstance(admitted, NotSent):
                        return admitted
                    permit = admitted
        # The timeout counts from here, not from when the call queued.
        outcome: Outcome = yield Exchange(probe, command.number, _until(command, sent))
        if breaker and permit and calls.kind(outcome) is not calls.Kind.UNSENDABLE:
            ok, ended = isinstance(outcome, Ok | Rejected), clock.now()
            breaker.record(permit, ok=ok, took=ended - sent, now=ended, notice=note)
            permit = None
        return outcome
    finally:
        if bulkhead:
            if standing:  # cancelled in the queue, perhaps in the moment in which its turn came
                entered = not bulkhead.give_up(standing)
            if entered:
                bulkhead.leave()
        if breaker and permit:
            breaker.release(permit)


def _until(command: calls.Attempt | calls.Probe, sent: Ms) -> Ms:
    # It may outlast the saga's deadline (its outcome must be known), but not the total budget.
    until = sent + command.timeout
    if command.ends is not None and command.ends < until:
        return max(command.ends, sent)
    return until


def _waits_until(config: p.Bulkhead, command: calls.Attempt | calls.Probe, now: Ms) -> Ms | None:
    if config.wait is None:
        return command.ends
    until = now + config.wait
    return until if command.ends is None else min(until, command.ends)


# --- Doing it under asyncio ----------------------------------------------------------------------


async def drive(
    config: calls.CallConfig,
    state: calls.CallState,
    *,
    clock: Clock,
    draw: Draw,
    attempt: Send,
    probe: Send | None = None,
    guard: Guard = UNGUARDED,
    asking: Guard = UNGUARDED,
    interruption: Interruption | None = None,
    note: Note = _ignore,
) -> calls.Done:
    """Make a call until its outcome is settled. `state` is a fresh or a recovered one.

    An interruption ends sleeps and queueing at once; an attempt or a probe in flight is awaited.
    """
    interrupted = _never if interruption is None else interruption.is_set
    event: calls.CallEvent = BEGIN
    if guard is UNGUARDED and state.first_attempt is None and not interrupted():
        # Most calls are answered by their first attempt: so far without a generator. Nothing is
        # done here that `conduct` would not do, and it takes over at anything else.
        now = clock.now()
        note(BEGIN)
        state, (first,) = calls.advance(config, state, BEGIN, now, draw())
        note(first)
        if type(first) is not calls.Attempt:
            assert isinstance(first, calls.Done)
            return first
        outcome = await _bounded(clock, _until(first, now), attempt(1))
        event = calls.AttemptEnded(outcome)
        if type(outcome) is Ok and not interrupted():
            note(event)
            draw()
            done = calls.Done(outcome, None)
            note(done)
            return done
    course = conduct(config, state, clock, draw, guard, asking, interrupted, note, event)
    reply: Outcome | None = None
    try:
        while True:
            effect = course.send(reply)
            reply = None
            if isinstance(effect, Exchange):
                send = probe if effect.probe else attempt
                assert send is not None
                reply = await _bounded(clock, effect.until, send(effect.number))
            else:
                await wait(effect, clock, interruption)
    except StopIteration as stop:
        settled: calls.Done = stop.value
        return settled
    finally:
        course.close()


def _never() -> bool:
    return False


async def wait(effect: Pause | Stand, clock: Clock, interruption: Interruption | None) -> None:
    """Until the turn came, the moment, or the interruption, whichever is first."""
    alarm, until = Alarm(), effect.until
    turn = effect.turn if isinstance(effect, Stand) else None
    if turn is None:
        await asyncio.sleep(0)
    else:
        turn.wake = alarm
    if interruption is not None:
        interruption.watch(alarm)
    try:
        # Asked before each wait, for it may have come before there was anyone to wake.
        while not (turn and turn.granted) and not (interruption and interruption.is_set()):
            woken = alarm.armed()
            if until is None:
                await woken
            elif clock.now() >= until:
                return
            else:
                with suppress(TimeoutError), clock.timeout_at(until):
                    await woken
    finally:
        if interruption is not None:
            interruption.unwatch(alarm)


class Alarm:
    """Wakes one task, from any thread, once or more."""

    __slots__ = ("_loop", "_thread", "_woken")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._woken: asyncio.Future[None] | None = None

    def armed(self) -> asyncio.Future[None]:
        """What to await until it is called next."""
        self._woken = self._loop.create_future()
        return self._woken

    def __call__(self) -> None:
        if threading.get_ident() == self._thread:
            self._resolve()
        else:
            self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


@coroutine
def _bounded(
    clock: Clock, until: Ms, work: Coroutine[Any, Any, Outcome]
) -> Generator[Any, Any, Outcome]:
    """The outcome of an attempt, given up at `until`. What answers at once needs no timer."""
    try:
        waits_for = work.send(None)
        with clock.timeout_at(until):
            while True:
                try:
                    found = yield waits_for
                except BaseException as error:
                    waits_for = work.throw(error)
                else:
                    waits_for = work.send(found)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    except TimeoutError:
        return TIMED_OUT
