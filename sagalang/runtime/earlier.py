"""A stop before a run undoes what an earlier run of its id may have completed.

A service that answers the first attempt of a step from memory has seen its key before: there was
an earlier run. Without a journal of it nobody can tell whether that one completed. Going on
forwards is safe, for nothing is done twice; undoing is not.
"""

from __future__ import annotations

from sagalang.machine.events import Purpose
from sagalang.runtime import journal as j
from sagalang.runtime.engine import EngineError
from sagalang.runtime.observers import Observer


class EarlierRunError(EngineError):
    """The services remember an earlier run of this id, and this one would begin to undo."""


def guarded(told: Observer) -> Observer:
    """The same observer, with an `EarlierRunError` where such a run begins to undo.

    It stands outside of `observers`, which would not let it stop anything.
    """
    roots: dict[str, str] = {}
    """The runs that child sagas belong to."""
    remembered: dict[str, str] = {}
    """What knew the key of a run's step, by the run."""

    def observe(entry: j.Entry) -> None:
        root = roots.get(entry.saga_id, entry.saga_id)
        match entry:
            case j.ChildStarted(child_id=child):
                roots[child] = root
            case j.AttemptEnded(purpose=Purpose.STEP, attempt=1, replayed=True, label=label):
                remembered.setdefault(root, label)
            case j.AbortBegan(error=error) if root in remembered:
                raise EarlierRunError(
                    f"{root} was run before ({remembered[root]} had seen its key), and this run"
                    f" cannot go on ({error}); nothing was undone, because that run may have"
                    " completed"
                )
            case _:
                pass
        told(entry)

    return observe
