"""Hosts on real files, and services that are told how to answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagalang.host.definitions import Definition, definition_of
from sagalang.host.host import Handle, Host
from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.codec import decode
from sagalang.runtime.contract import Request
from sagalang.runtime.problems import EnvironmentProblem
from sagalang.runtime.sqlite import Store, open_store
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.values import Values
from sagalang.workspace import load_text

TEXT = """
error No
event Go { n: int }
policy firm { timeout 20s  retry 2 times backoff 10ms jitter none "a test" }
service S {
  with firm
  command do(name: string) -> { at: string }
    keyed, records rejections
    rejects No
    compensate undo(key)
  command undo(of: key) idempotent, absent ok, fences late
}
saga Main(id: string) {
  id id
  step S.do("a")
  step S.do("b") else escalate "ops"
  step S.do("c")
}
saga Waiting(id: string) {
  id id
  step S.do("a")
  wait g: Go within 1h else abort No
  step S.do("z")
}
saga Parent(id: string) {
  id id
  step S.do("a")
  step saga Child()
  step S.do("c")
}
saga Child() {
  step S.do("b") else escalate "ops"
  step S.do("d")
}
saga Undone(id: string) {
  id id
  compensate with firm else escalate "ops"
  step S.do("a")
  step S.do("b")
}
"""


@dataclass
class World:
    """`refused`: the names that are rejected, also of what is to be undone. `held`: calls that are
    not answered until `free`. `calls`: those that arrived."""

    refused: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    """The environment variables that are not set."""
    opened: int = 0
    _names: dict[str, str] = field(default_factory=dict)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, request: Request) -> Outcome:
        name = str(request.args[0])
        if request.contract.operation == "undo":
            name = f"undo {self._names.get(name, name)}"
        elif request.key is not None:
            self._names[request.key] = name
        self.calls.append(name)
        if name in self.held:
            await self._freed.wait()
        if name in self.refused:
            return Rejected(Failure("No"))
        result = '{"at": "there"}' if request.contract.operation == "do" else "null"
        return Ok(decode(result, request.contract.result))

    def free(self) -> None:
        self._freed.set()

    async def aclose(self) -> None: ...

    @asynccontextmanager
    async def reach(self, _: Definition) -> AsyncIterator[World]:
        await asyncio.sleep(0.01)
        if self.missing:
            raise EnvironmentProblem(f"these environment variables are not set: {self.missing}")
        self.opened += 1
        yield self


@dataclass
class Living:
    host: Host
    store: Store
    definition: Definition

    async def start(self, saga: str, saga_id: str = "o-1", **more: Any) -> Handle:
        return await self.host.start(self.definition, saga, {"id": saga_id}, **more)


@asynccontextmanager
async def living(path: Path, world: World, text: str = TEXT, **more: Any) -> AsyncIterator[Living]:
    loaded = load_text(text, "test.saga", {})
    assert not loaded.has_errors, loaded.diagnostics
    clock, sealing = SystemClock(), Sealing(path, {})
    with open_store(path, command="test", now=clock.now()) as store:
        own = definition_of(loaded, Values(loaded.program), sealing, store.reader.definition)
        async with Host(store, sealing, world.reach, clock=clock, **more) as host:
            yield Living(host, store, own)


async def until(condition: Any, seconds: float = 20.0) -> None:
    """`condition` is looked at again and again until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
