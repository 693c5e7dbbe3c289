"""Following the runs of a book: what is new about each since the last look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sagalang.host.book import Book, Filter, RunInfo, State
from sagalang.host.status import Following, Status
from sagalang.model.program import Ms
from sagalang.runtime.journal import Entry

MOST: Final = 500
"""So many runs are followed at a time: the last to begin."""
_LINGERING: Final = 5_000
"""Ms for which a run that is followed no more is still shown."""
_MARGIN: Final = 5_000
"""Ms by which clocks, and the times at which runs are recorded, may differ."""


@dataclass(frozen=True)
class View:
    """A run as it is seen now. `new`: what happened since the last look, at the first look at a
    run that had begun before nothing. `over`: since when it is not among those that are asked
    for any more; such a run is shown for a while."""

    run: RunInfo
    status: Status
    new: tuple[Entry, ...]
    over: Ms | None = None


class Watched:
    """`wanted`: the runs that are followed. Also those are, that begin after `began` and are over
    before they are seen. Every method raises `EngineError`."""

    def __init__(self, book: Book, wanted: Filter, began: Ms) -> None:
        self._book = book
        self._wanted = replace(wanted, limit=MOST)
        self._began = began
        self._followed: dict[str, _Followed] = {}
        self.idle = False

    def look(self, now: Ms) -> Sequence[View]:
        """All that are shown, the first to begin first."""
        wanted = {run.id: run for run in self._book.runs(self._wanted)}
        self.idle = all(run.state is not State.RUNNING for run in wanted.values())
        recent = replace(self._wanted, states=tuple(State), since=now - _MARGIN)
        for run in self._book.runs(recent):
            if run.began >= self._began:
                wanted.setdefault(run.id, run)
        for run_id in wanted:
            if run_id not in self._followed:
                self._followed[run_id] = _Followed()
        views = []
        for run_id, followed in list(self._followed.items()):
            there = wanted.get(run_id) or self._book.run(run_id)
            if there is None:  # it was pruned
                del self._followed[run_id]
                continue
            view = followed.view(self._book, there, now, asked=there.state in self._wanted.states)
            if followed.first and there.began < self._began:
                view = replace(view, new=())
            followed.first = False
            gone = 0 if view.over is None else now - view.over
            if gone <= _LINGERING:
                views.append(view)
            elif gone > _LINGERING + _MARGIN:  # no more among the recent ones
                del self._followed[run_id]
        return sorted(views, key=lambda view: view.run.began)


class _Followed:
    def __init__(self) -> None:
        self.first = True
        self._last = 0
        self._following = Following()
        self._over: Ms | None = None

    def view(self, book: Book, run: RunInfo, now: Ms, *, asked: bool) -> View:
        found = book.history(run.id, after=self._last)
        for seq, entry in found:
            self._following.take(entry)
            self._last = seq
        self._over = None if asked else self._over or now
        return View(run, self._following.status(), tuple(e for _, e in found), self._over)
