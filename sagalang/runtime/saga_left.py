"""What a run of a compiled saga left behind: effects in the services that no step stands by.

The rules are those of `nothing left` in scenarios: steps that are never undone are outside of it;
a step that is ok accounts for one effect, unless the saga, an `attempt` around the step, or a saga
that runs this one began to undo what it did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagalang.machine.events import SAGA, Place, Purpose
from sagalang.runtime import journal as j
from sagalang.runtime.fakes import Args, Entry

Which = tuple[Any, ...]
"""What tells effects apart: the key, or without one the input."""


@dataclass(frozen=True, slots=True)
class SagaText:
    """What the journal of a saga does not say of its text.

    `never_undone`: the paths of steps that are best effort, or say why nothing undoes them.
    `attempts`: by the path of an `attempt`, the paths inside its body, which are undone together.
    """

    never_undone: Collection[str] = ()
    attempts: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Step:
    saga_id: str
    place: Place
    which: Which
    ok: bool = False


class Left:
    """Takes the journal entry by entry. `texts`: by the name of the saga. `keyed`: the commands
    that get a key. `known`: the arguments of a call as the ledger has them."""

    def __init__(
        self,
        texts: Mapping[str, SagaText],
        keyed: Collection[str],
        known: Callable[[str, Args], Args],
    ) -> None:
        self._texts, self._keyed, self._known = texts, keyed, known
        self._steps: dict[tuple[str, Place], _Step] = {}
        self._sagas: dict[str, str] = {}
        self._parents: dict[str, tuple[str, Place]] = {}
        self._undone: dict[str, list[Place]] = {}

    def take(self, entry: j.Entry) -> None:
        match entry:
            case j.SagaStarted(saga=saga):
                self._sagas[entry.saga_id] = saga
            case j.ChildStarted(place=place, child_id=child):
                self._parents[child] = (entry.saga_id, place)
            case j.AbortBegan(place=place):
                self._undone.setdefault(entry.saga_id, []).append(place)
            case j.Intent(place=place, purpose=Purpose.STEP):
                args = self._known(entry.label, entry.args)
                which = self._which(entry.label, entry.key, args)
                self._steps[entry.saga_id, place] = _Step(entry.saga_id, place, which)
            case j.OutcomeRecorded(place=place, purpose=Purpose.STEP | Purpose.RESOLVE):
                self._steps[entry.saga_id, place].ok = entry.kind == "ok"
            case _:
                pass

    def found(self, ledger: Sequence[Entry]) -> list[Entry]:
        """The effects in the ledger that are left, in the order in which they came."""
        steps = self._steps.values()
        loose = {step.which for step in steps if self._never_undone(step.saga_id, step.place)}
        accounted = Counter(step.which for step in steps if self.stands(step.saga_id, step.place))
        left = []
        for effect in ledger:
            which = self._which(effect.operation, effect.key, effect.args)
            if effect.effect != "done" or which in loose:
                continue
            if accounted[which]:
                accounted[which] -= 1
            else:
                left.append(effect)
        return left

    def _which(self, label: str, key: str | None, args: Args) -> Which:
        # Every step has a key; a service that is not keyed never sees it.
        if key is not None and label in self._keyed:
            return label, key
        return label, None, args

    def _text(self, saga_id: str) -> SagaText:
        return self._texts.get(self._sagas[saga_id], SagaText())

    def _never_undone(self, saga_id: str, place: Place) -> bool:
        return place.path in self._text(saga_id).never_undone

    def stands(self, saga_id: str, place: Place) -> bool:
        """Whether a step, which ran, accounts for an effect."""
        return self._steps[saga_id, place].ok and not self._goes_back(saga_id, place)

    def _goes_back(self, saga_id: str, place: Place) -> bool:
        """Whether what was done at this place has to be undone."""
        bodies = self._text(saga_id).attempts
        for scope in self._undone.get(saga_id, ()):
            inside = place.path in bodies.get(scope.path, ())
            if scope == SAGA or (inside and place.loops[: len(scope.loops)] == scope.loops):
                return True
        if saga_id not in self._parents:
            return False
        above, at = self._parents[saga_id]
        return not self._never_undone(above, at) and self._goes_back(above, at)
