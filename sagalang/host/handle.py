"""A run that is being run in this process."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

from sagalang.host.definitions import Definition
from sagalang.interpret.run import Run, RunResult, Send
from sagalang.model.program import Ms
from sagalang.runtime.engine import EngineError
from sagalang.runtime.journal import Entry, Recorded
from sagalang.runtime.sqlite import Run as Row


class Handle:
    """A run that is being run here. `before`: what was on record of it when it was asked for.
    `journal`: what is on record of it and its child sagas, in order; raises `EngineError`."""

    def __init__(
        self,
        run: Run,
        definition: Definition,
        before: Row | None,
        journal: Callable[[], Sequence[Entry]],
    ) -> None:
        self.run = run
        self.definition = definition
        self.before = before
        self.awaited = False
        """Whether somebody asked for its result, and is told of its failure."""
        self.journal = journal
        self._task: asyncio.Task[RunResult] | None = None
        self._outside: set[asyncio.Task[None]] = set()

    @property
    def saga_id(self) -> str:
        return self.run.saga_id

    @property
    def over(self) -> bool:
        return self._task is not None and self._task.done()

    def cancel(self) -> None:
        """Ask it to abort and undo; past its pivot it goes on."""
        self.run.cancel()

    def go(self, sends: Sequence[Send] = (), cancel_after: Ms | None = None) -> bool:
        """Run it, unless it is being run; whether it was not."""
        if self._task is not None and not self._task.done():
            return False
        work = self.run.result(sends, cancel_after)
        self._task = asyncio.create_task(work, name=f"saga {self.saga_id}")
        return True

    def expect(self, sends: Sequence[Send], cancel_after: Ms | None) -> None:
        """What the world is going to send to a run that began before."""
        for each in sends:
            self._later(each.after, partial(self.run.signal, each.event, each.value, each.id))
        if cancel_after is not None:
            self._later(cancel_after, self.run.cancel)

    def _later(self, after: Ms, send: Callable[[], None]) -> None:
        session = self.run.session
        due = session.now() + after

        async def later() -> None:
            await self.stands()
            await session.sleep(due)
            if not self.run.idle:
                send()

        task = asyncio.create_task(later())
        self._outside.add(task)
        task.add_done_callback(_quietly)

    def when_done(self, call: Callable[[asyncio.Task[RunResult]], object]) -> None:
        assert self._task is not None
        self._task.add_done_callback(call)

    async def result(self) -> RunResult:
        """The end, or where nothing but a person can move it, with its journal.
        Raises `EngineError`."""
        result = await self.end()
        entries = self.journal()
        return dataclasses.replace(result, recorded=Recorded(entries, len(entries)))

    async def end(self) -> RunResult:
        """The same without its journal."""
        assert self._task is not None
        self.awaited = True
        return await asyncio.shield(self._task)

    async def stands(self) -> None:
        """Return when it stands in memory: it began, or was rebuilt. Raises `EngineError`."""
        await self.until(lambda: self.run.state is not None)
        if self.run.state is None:
            self._raise()

    async def rests(self) -> None:
        """Return when it takes in what comes, which it does not while it is about to stop. Raises
        `EngineError`."""
        await self.stands()
        await self.until(lambda: not self.run.idle)
        if self.over:
            self._raise()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds, or it has stopped."""
        while not self.over and not condition():
            assert self._task is not None
            await asyncio.wait({self._task}, timeout=0.002)

    def _raise(self) -> None:
        assert self._task is not None
        if self._task.cancelled():
            raise EngineError(f"{self.saga_id} was left as it is")
        self._task.result()

    def forget_the_world(self) -> None:
        for task in self._outside:
            task.cancel()
        self._outside.clear()

    async def stop(self) -> None:
        """Leave it as it is: the journal has it."""
        outside = tuple(self._outside)
        self.forget_the_world()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, *outside, return_exceptions=True)


def _quietly(task: asyncio.Task[None]) -> None:
    """Its problem is one of the run, which tells it."""
    if not task.cancelled():
        task.exception()
