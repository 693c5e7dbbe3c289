"""Who waits for an event when it comes."""

from __future__ import annotations

from collections.abc import Mapping

from sagalang.machine.events import SAGA, Place, Timer
from sagalang.render.journal.scripts import Script
from sagalang.runtime import journal as j


class Waits:
    """Follows the entries of a journal, told of each in order."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._scripts = scripts
        self._open: set[tuple[str, Place]] = set()
        self._ended: set[tuple[str, str]] = set()
        self._seen: set[tuple[str, str]] = set()
        self._over: set[str] = set()

    def follow(self, entry: j.Entry) -> None:
        id_ = entry.saga_id
        match entry:
            case j.TimerStarted(timer=Timer.WAIT, place=place):
                self._open.add((id_, place))
            case j.TimerEnded(timer=Timer.WAIT, place=place):
                self._open.discard((id_, place))
                self._ended.add((id_, place.path))
            case j.AbortBegan(place=place) if place == SAGA:
                self._over.add(id_)
            case j.SagaFinished():
                self._over.add(id_)
            case j.EventAccepted(id=event_id) if event_id:
                self._seen.add((id_, event_id))
            case _:
                pass

    def beside(self, entry: j.EventAccepted) -> str:
        """What is to be said of an event that no wait takes; '' of any other, and where the
        journal does not tell. Ask before `follow`."""
        id_ = entry.saga_id
        if (id_, entry.id) in self._seen:
            return " (the same once more, it changes nothing)"
        script = self._scripts[id_]
        paths = [path for path, event in script.waits.items() if event == entry.event]
        if any(who == id_ and place.path in paths for who, place in self._open):
            return ""
        ended = all((id_, path) in self._ended and path not in script.looped for path in paths)
        if id_ in self._over or ended:
            return " (too late, nobody waits for it)"
        return " (kept, nobody waits for it now)"
