"""Records in this process: for tests, and for a service of one process that may forget."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

from sagalang.idempotency.adapt import AwaitedLeaseStore
from sagalang.idempotency.core import Id, Record
from sagalang.idempotency.store import AsyncLeaseStore


class MemoryStore:
    """A lease store, for sync and async code, safe among threads. `clock`: ms since the epoch."""

    def __init__(self, *, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # held for the time of a few dict operations only
        self._records: dict[Id, Record] = {}
        self._expiries: list[tuple[int, str, str, str]] = []

    def read(self, identity: Id) -> Record | None:
        with self._lock:
            return self._records.get(identity)

    def swap(self, identity: Id, old: Record | None, new: Record | None) -> bool:
        with self._lock:
            if self._records.get(identity) != old:
                return False
            if new is None:
                self._records.pop(identity, None)
            else:
                self._records[identity] = new
                if old is None or old.expires != new.expires:
                    named = (identity.caller, identity.operation, identity.key)
                    heapq.heappush(self._expiries, (new.expires, *named))
            self._purge()
            return True

    def asynchronous(self) -> AsyncLeaseStore:
        return AwaitedLeaseStore(self)

    def _purge(self) -> None:
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            identity = Id(*heapq.heappop(self._expiries)[1:])
            record = self._records.get(identity)
            if record is not None and record.expires <= now:
                del self._records[identity]
