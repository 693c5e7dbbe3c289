"""A stop before a run undoes what an earlier run of its id may have completed.

A service that knows the key of a step's first attempt has met it before: there was an earlier run.
Without a journal of that nobody can tell whether it completed. Going on forwards is safe, for
nothing is done twice; undoing is not.
"""

from __future__ import annotations

from collections.abc import Iterable

from sagalang.machine.events import Place, Purpose
from sagalang.runtime import journal as j
from sagalang.runtime.engine import EngineError
from sagalang.runtime.observers import Observer


class EarlierRunError(EngineError):
    """The services remember an earlier run of this id, and this one would begin to undo.
    `label`: what had seen its key."""

    def __init__(self, saga_id: str, label: str, error: str | None) -> None:
        super().__init__(saga_id, label, error)
        self.saga_id, self.label, self.error = saga_id, label, error
        self.advice = (
            "if that run completed, leave this one as it is and run another id; if it never ended,"
            f" undo what it did: saga resume {saga_id} --take-over"
        )

    def __str__(self) -> str:
        why = f" ({self.error})" if self.error else ""
        return (
            f"{self.saga_id} was run before ({self.label} had seen its key), and this run cannot"
            f" go on{why}; nothing was undone, because that run may have completed"
        )


class Earlier:
    """What is known of earlier runs, by the entries of those that are run now."""

    def __init__(self) -> None:
        self._roots: dict[str, str] = {}
        """The runs that child sagas belong to."""
        self._fresh: set[tuple[str, Place]] = set()
        """Steps whose calls have begun in this life of their run: a call that is taken up again
        after a crash may well have been known for what it did before that."""
        self._remembered: dict[str, str] = {}

    def remembered(self, saga_id: str) -> str | None:
        """What had seen a key of this run before the run used it: `Service.operation`."""
        return self._remembered.get(saga_id)

    def note(self, entry: j.Entry) -> None:
        match entry:
            case j.ChildStarted(child_id=child):
                self._roots[child] = self._root(entry)
            case j.Intent(purpose=Purpose.STEP):
                self._fresh.add((entry.saga_id, entry.place))
            case j.AttemptEnded(purpose=Purpose.STEP, attempt=1, replayed=True, label=label):
                if (entry.saga_id, entry.place) in self._fresh:
                    self._remembered.setdefault(self._root(entry), label)
            case j.OutcomeRecorded(purpose=Purpose.STEP):
                self._fresh.discard((entry.saga_id, entry.place))
            case j.Restarted(saga_id=saga_id):
                self._fresh = {each for each in self._fresh if each[0] != saga_id}
            case _:
                pass

    def guarded(self, told: Observer) -> Observer:
        """The same observer, with an `EarlierRunError` where such a run begins to undo.

        It stands outside of `observers`, which would not let it stop anything.
        """

        def observe(entry: j.Entry) -> None:
            self.note(entry)
            self._check(entry)
            told(entry)

        return observe

    def found(self, history: Iterable[j.Entry]) -> None:
        """Read what is on record of a run that is to go on. Raises `EarlierRunError` where it was
        stopped when it began to undo."""
        for entry in history:
            self.note(entry)
            self._check(entry)

    def _check(self, entry: j.Entry) -> None:
        label = self._remembered.get(self._root(entry))
        match entry:
            case j.AbortBegan(error=error) if label is not None:
                raise EarlierRunError(self._root(entry), label, error)
            case j.Intent(purpose=Purpose.COMPENSATE) if label is not None:
                raise EarlierRunError(self._root(entry), label, None)
            case _:
                pass

    def _root(self, entry: j.Entry) -> str:
        return self._roots.get(entry.saga_id, entry.saga_id)
