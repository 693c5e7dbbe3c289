"""Who waits for an event when it comes."""

from __future__ import annotations

from collections.abc import Mapping

from sagalang.machine.events import SAGA, Place, Purpose, Timer
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
        self._begun: set[tuple[str, str]] = set()
        self._came: set[tuple[str, str]] = set()

    def follow(self, entry: j.Entry) -> None:
        id_ = entry.saga_id
        match entry:
            case j.TimerStarted(timer=Timer.WAIT, place=place):
                self._open.add((id_, place))
                self._begun.add((id_, place.path))
            case j.TimerEnded(timer=Timer.WAIT, place=place):
                self._open.discard((id_, place))
                self._ended.add((id_, place.path))
            case j.AbortBegan(place=place) if place == SAGA:
                self._over.add(id_)
            case j.SagaFinished():
                self._over.add(id_)
            case j.EventAccepted(event=event, id=event_id):
                self._came.add((id_, event))
                if event_id:
                    self._seen.add((id_, event_id))
            case _:
                pass

    def taken(self, entry: j.Entry) -> tuple[str, ...]:
        """The events that were kept and have been taken when this begins: a wait that finds one is
        over at once, and leaves no entry. Ask before `follow`."""
        match entry:
            case j.Intent(place=place, purpose=Purpose.STEP | Purpose.POLL):
                pass
            case j.ChildStarted(place=place, undo=False):
                pass
            case j.TimerStarted(place=place, timer=Timer.WAIT | Timer.SLEEP):
                pass
            case _:
                return ()
        id_ = entry.saga_id
        script = self._scripts[id_]
        paths = script.behind.get(place.path, ())
        over = [path for path in paths if (id_, path) not in self._begun]
        self._begun.update((id_, path) for path in over)
        events = (script.waits[path] for path in over)
        return tuple(event for event in events if (id_, event) in self._came)

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
