"""Deleting runs that ended long ago, in small transactions."""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection
from typing import Final

from sagalang.model.program import Ms

_ROOTS: Final = 50
_ENTRIES: Final = 2000
"""So many in one transaction, unless a single run has more."""
PAGES: Final = 500
"""About how many pages a slice changes."""

# Oldest first. What began before it but has not ended, or ended later, is passed over.
_OLD: Final = """
SELECT began, number FROM runs
WHERE parent IS NULL AND ended < :before AND (began, number) > (:began, :number)
  AND state = :state AND began <= :before
ORDER BY began, number LIMIT :most
"""
_TREE: Final = """
WITH RECURSIVE tree (number) AS (
    SELECT ? UNION ALL SELECT runs.number FROM runs JOIN tree ON parent = tree.number
)
SELECT runs.number, ended, (SELECT count(*) FROM entries WHERE run = runs.number)
FROM tree JOIN runs USING (number)
"""
# Numbers are never used twice, also when the last ones were deleted.
_REMEMBER: Final = (
    "INSERT INTO meta SELECT 'last_seq', coalesce(max(seq), 0) FROM entries WHERE true"
    " ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
    "INSERT INTO meta SELECT 'last_run', coalesce(max(number), 0) FROM runs WHERE true"
    " ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
)
_STATES: Final = ("completed", "compensated", "escalated")


class Pruning:
    """Runs that ended before `before`, with the sagas they ran as steps; a run of which such a
    step has not ended stays. `runs`: how many were deleted. `ended` is called in the writer's
    thread. Setting `stop` ends it after the slice under way."""

    def __init__(self, before: Ms, ended: Callable[[], None]) -> None:
        self.runs = 0
        self.stop = False
        self.ended = ended
        self._before = before
        self._states = list(_STATES)
        self._at = (-(1 << 62), 0)

    def slice(self, connection: Connection) -> bool:
        """Delete some; whether there may be more."""
        if self.stop or not self._states:
            return False
        connection.execute("BEGIN IMMEDIATE")
        for statement in _REMEMBER:
            connection.execute(statement)
        entries = 0
        found = connection.execute(
            _OLD,
            {
                "before": self._before,
                "state": self._states[0],
                "began": self._at[0],
                "number": self._at[1],
                "most": _ROOTS,
            },
        ).fetchall()
        for began, number in found:
            tree = connection.execute(_TREE, (number,)).fetchall()
            entries += sum(count for _, _, count in tree)
            if entries > _ENTRIES and (began, number) != found[0]:
                break
            self._at = (began, number)
            if all(ended is not None for _, ended, _ in tree):
                self._delete(connection, [each for each, _, _ in tree])
        connection.execute("COMMIT")
        if not found:
            self._states.pop(0)
            self._at = (-(1 << 62), 0)
        return True

    def _delete(self, connection: Connection, runs: list[int]) -> None:
        numbers = [(number,) for number in runs]
        connection.executemany("DELETE FROM entries WHERE run = ?", numbers)
        connection.executemany("DELETE FROM inbox WHERE run = ?", numbers)
        connection.executemany("DELETE FROM runs WHERE number = ?", numbers)
        self.runs += len(numbers)
