"""The runs of compiled sagas in a journal file, in the process that owns it.

with open_store(path, command="shop", now=clock.now()) as store:
    keeping = Keeping(store, [PLACE_ORDER], transport, Sealing(path), clock=clock)
    result = await keeping.begin(PLACE_ORDER(order), "o-1").result()
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from sagalang.runtime import words
from sagalang.runtime.clock import Clock
from sagalang.runtime.engine import EngineError, NoSuchRunError, Observer, OtherInputError
from sagalang.runtime.entry_codec import EntryCodec, EntryError
from sagalang.runtime.entry_types import ModuleTypes
from sagalang.runtime.journal import Entry, SagaStarted
from sagalang.runtime.protection import Protections
from sagalang.runtime.run_input import RunInput
from sagalang.runtime.saga import Running, begin
from sagalang.runtime.saga_account import Account
from sagalang.runtime.saga_calls import SagaCall, SagaDefinition
from sagalang.runtime.sqlite import Message, Run, State, Store
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.sqlite_engine import OtherDefinitionError, SqliteEngine, Stored
from sagalang.runtime.sqlite_history import entries, history
from sagalang.runtime.transport import Transport

logger: Final = logging.getLogger("sagalang.app")

_PREFIX: Final = "compiled:"
"""Before a saga's version, where the definitions of `.saga` files have their hash."""

Found = Callable[[Sequence[Entry]], None]
"""Told what is on record of a run before it goes on; may raise an `EngineError`."""


class RunOverError(EngineError):
    """The run has ended: it takes in no more events."""


class Keeping:
    """`accepts`: versions of these sagas that the present ones may go on with. Belongs to one
    event loop. What reads the file raises `StoreError` and `EntryError`."""

    lasting: Final = True
    """What has ended can be read again."""

    def __init__(
        self,
        store: Store,
        sagas: Iterable[SagaDefinition[..., Any]],
        transport: Transport,
        sealing: Sealing,
        *,
        clock: Clock,
        observer: Observer | None = None,
        found: Found | None = None,
        accepts: Collection[str] = (),
    ) -> None:
        self.store = store
        self._sagas = {saga.name: saga for saga in sagas}
        self._transport, self._sealing, self._clock = transport, sealing, clock
        self._observer, self._found = observer, found
        self._accepts = frozenset(accepts)
        self._protections = Protections()
        self._stored: dict[str, Stored] = {}
        self._engines: dict[str, SqliteEngine] = {}

    # --- Runs ----------------------------------------------------------------------------------

    def begin(self, call: SagaCall[Any], saga_id: str) -> Running[Any]:
        """A run that is about to begin, or to go on from its journal. Raises `OtherInputError`,
        `OtherDefinitionError`."""
        saga = self._served(call.definition)
        row = self.store.reader.run(saga_id)
        hashed = self._stored_of(saga).hash
        if row is not None:
            if row.saga != saga.name or row.parent is not None:
                raise OtherInputError(f"{saga_id} is on record as something else")
            self._check_version(row)
            hashed = row.definition
        return begin(call, engine=self._engine(saga, hashed), saga_id=saga_id)

    def ended(self, call: SagaCall[Any], saga_id: str) -> bool:
        """Whether the run came to an end, which a person may still change: it need not be begun.
        Raises `OtherInputError` where it had other input."""
        row = self.store.reader.run(saga_id)
        if row is None or row.state is State.RUNNING:
            return False
        inputs = self._stored_of(self._served(call.definition)).inputs
        if row.saga == call.definition.name and row.parent is None:
            started = self._started(row)
            if started is not None and inputs.same(row.saga, started.args, call.recorded):
                return True
        raise OtherInputError(f"{saga_id} is on record, with other input")

    def recall(self, saga_id: str) -> Running[Any]:
        """A run on record, to go on with. Raises `NoSuchRunError`, `RunOverError`,
        `OtherDefinitionError`."""
        row = self.run(saga_id)
        if row.ended is not None:
            raise RunOverError(f"{saga_id} is over")
        self._check_version(row)
        started = self._started(row)
        if started is None:
            raise EngineError(f"{saga_id} never began: start it again")
        return self.begin(_call(self._sagas[row.saga], started), saga_id)

    def run(self, saga_id: str) -> Run:
        """What lists say of a run of these sagas. Raises `NoSuchRunError`."""
        row = self.store.reader.run(saga_id)
        if row is None or row.parent is not None or row.saga not in self._sagas:
            raise NoSuchRunError(f"there is no run {saga_id}")
        return row

    def unfinished(self) -> list[Run]:
        """The runs of these sagas that can go on by themselves, the first to begin first."""
        running = self.store.reader.runs(state=State.RUNNING, limit=None)
        roots = {root.id: root for root in map(self._root, running) if root.saga in self._sagas}
        return sorted(roots.values(), key=lambda row: row.number)

    async def committed(self) -> None:
        await self.store.all_committed()

    def account(self, saga_id: str) -> tuple[SagaDefinition[..., Any], Account]:
        """What is on record of a run, also of one that another version ended. Raises
        `NoSuchRunError`, `OtherDefinitionError`."""
        row = self.run(saga_id)
        if row.ended is None:
            self._check_version(row)
        return self._sagas[row.saga], Account(self.history(row))

    def history(self, row: Run) -> list[Entry]:
        """The entries of a run and of its child sagas, in order."""
        codec = self._stored_of(self._sagas[row.saga]).codec
        try:
            return [entry for _, entry in history(self.store.reader, codec, row)]
        except EntryError:
            self._check_version(row)
            raise

    def _started(self, row: Run) -> SagaStarted | None:
        codec = self._stored_of(self._sagas[row.saga]).codec
        try:
            found = entries(self.store.reader, codec, row)
            return next((entry for _, entry in found if isinstance(entry, SagaStarted)), None)
        except EntryError:
            self._check_version(row)
            raise

    def _root(self, row: Run) -> Run:
        while row.parent is not None:
            above = self.store.reader.run(row.parent)
            assert above is not None
            row = above
        return row

    # --- What they go by -----------------------------------------------------------------------

    def _served(self, saga: SagaDefinition[..., Any]) -> SagaDefinition[..., Any]:
        if self._sagas.get(saga.name) is not saga:
            raise EngineError(f"{saga.name} is none of the sagas that are run here")
        return saga

    def _check_version(self, row: Run) -> None:
        if not row.definition.startswith(_PREFIX):
            raise OtherDefinitionError(
                f"{row.id} goes by a .saga file: `saga resume {row.id}` goes on with it"
            )
        saga, version = self._sagas[row.saga], row.definition.removeprefix(_PREFIX)
        if version != saga.version and version not in self._accepts:
            raise OtherDefinitionError(
                f"{row.id} began with version {version} of {saga.name}, and this is"
                f" {saga.version}: let the module that it began with finish it, or, where"
                f" `saga diff` calls the change safe, accept {version}"
            )

    def _stored_of(self, saga: SagaDefinition[..., Any]) -> Stored:
        found = self._stored.get(saga.name)
        if found is None:
            if saga.version is None:
                raise EngineError(
                    f"{saga.name} has no version, so its runs cannot be kept: compile it anew"
                )
            types = ModuleTypes.around(saga)
            codec = EntryCodec(types, self._sealing.seal, self._sealing.open)
            hashed = _PREFIX + saga.version
            found = Stored(hashed, _text(saga), codec, RunInput(types))
            self._stored[saga.name] = found
        return found

    def _engine(self, saga: SagaDefinition[..., Any], hashed: str) -> SqliteEngine:
        engine = self._engines.get(hashed)
        if engine is None:
            engine = self._engines[hashed] = SqliteEngine(
                self.store,
                msgspec.structs.replace(self._stored_of(saga), hash=hashed),
                self._clock,
                self._transport,
                random.SystemRandom().random,
                self._observer,
                self._protections,
                self._found,
            )
        return engine

    # --- What other processes send -------------------------------------------------------------

    async def hear(
        self,
        reach: Callable[[str], Awaitable[Running[Any] | None]],
        wake: Callable[[Running[Any]], object],
    ) -> None:
        """Take in what is sent, for as long as it is not cancelled. `reach` gives a run that is
        not over, or None for one that others go on with; `wake` lets it go on.

        Only `cancel` can be sent from outside: what a person says is checked against the types of
        the saga, and only its module knows those.
        """
        messages: asyncio.Queue[Message] = asyncio.Queue()
        self.store.listen(messages.put_nowait)
        while True:
            message = await messages.get()
            try:
                await self._deal(message, reach, wake)
            except (RunOverError, NotTakenError) as problem:
                self.store.refuse(message.number, str(problem))
            except (EngineError, EntryError) as problem:  # the message is kept
                logger.error("a message to %s: %s", words.printable(message.run_id), problem)

    async def _deal(
        self,
        message: Message,
        reach: Callable[[str], Awaitable[Running[Any] | None]],
        wake: Callable[[Running[Any]], object],
    ) -> None:
        row = self.store.reader.numbered(message.run)
        if row is None or self._root(row).saga not in self._sagas:
            return
        if message.kind != "cancel":
            raise NotTakenError(
                f"{row.id} is a run of a compiled saga: only cancel can be sent to it"
            )
        if row.parent is not None:
            raise NotTakenError(f"{row.id} is a step of {self._root(row).id}: cancel that")
        running = await reach(row.id)
        if running is None:
            return
        assert isinstance(running.engine, SqliteEngine)
        running.engine.taking = message.number
        try:
            running.cancel()
        finally:
            running.engine.taking = None
        wake(running)


class NotTakenError(EngineError):
    """A message that no run takes."""


def _call(saga: SagaDefinition[..., Any], started: SagaStarted) -> SagaCall[Any]:
    names = {name: wire for name, wire, _, _ in saga.params}
    return SagaCall(saga, {name: started.args[wire] for name, wire in names.items()})


def _text(saga: SagaDefinition[..., Any]) -> str:
    """What stands in the journal for the definition: where it is to be found."""
    from sagalang import __version__

    where = {
        "compiled": saga.name,
        "module": saga.function.__module__,
        "version": saga.version,
        "sagalang": __version__,
    }
    return msgspec.json.encode(where).decode()
