"""What is said to go wrong on a path, and what of it is still to come while it is followed."""

from __future__ import annotations

from collections.abc import Sequence

from sagalang.graph.structure import statements
from sagalang.model import program as p
from sagalang.render.paths.call_history import Strike
from sagalang.render.paths.whens import (
    CRASHES,
    Aborted,
    AllWell,
    CallFault,
    NotInTime,
    Stopped,
    When,
    labels,
)


class Faults:
    """Strikes in the order given; each fault as often as it says, anything else once."""

    def __init__(self, program: p.Program, whens: Sequence[When]) -> None:
        self._program = program
        self._whens = tuple(whens)
        self._left = [w.times if isinstance(w, CallFault) else 1 for w in self._whens]
        self._struck: list[int] = []

    @property
    def missed(self) -> tuple[When, ...]:
        """What never came to strike."""
        every = enumerate(self._whens)
        return tuple(w for at, w in every if at not in self._struck and not isinstance(w, AllWell))

    @property
    def count(self) -> int:
        """How often something struck."""
        return len(self._struck)

    def since(self, count: int) -> tuple[When, ...]:
        """What struck since then, each once."""
        return tuple(self._whens[at] for at in dict.fromkeys(self._struck[count:]))

    def _use(self, at: int) -> When:
        self._struck.append(at)
        left = self._left[at]
        self._left[at] = None if left is None else left - 1
        return self._whens[at]

    def strike(self, label: str, path: str, *, undo: bool = False, probe: bool = False) -> Strike:
        """What strikes the attempts of a call of the step at `path`."""

        def struck(stored: bool) -> CallFault | None:
            found = None
            for at, when in enumerate(self._whens):
                if not isinstance(when, CallFault) or self._left[at] == 0:
                    continue
                target = when.target
                if target.operation != label or (
                    target.path is not None
                    and (target.path != path or target.undo != undo or probe)
                ):
                    continue
                # What a service stored under a key it answers as it was.
                if stored and when.kind in ("rejects", "returns"):
                    continue
                if when.kind in CRASHES:  # it strikes around the service
                    return self._fault(at)
                found = at if found is None else found
            return None if found is None else self._fault(found)

        return struck

    def quiet(self, path: str, operation: p.Operation) -> bool:
        """Whether nothing can strike a call of the step at `path`, or what it asks."""
        probe = operation.probe.label if operation.probe is not None else None
        return not any(
            isinstance(when, CallFault)
            and left != 0
            and when.target.path in (None, path)
            and when.target.operation in (operation.label, probe)
            for when, left in zip(self._whens, self._left, strict=True)
        )

    def _fault(self, at: int) -> CallFault:
        fault = self._use(at)
        assert isinstance(fault, CallFault)
        return fault

    def ends(self, step: p.ChildStep) -> str | None:
        """The error with which the child saga of a step is said to end."""
        fault = self.strike(f"saga {step.saga}", step.path)(False)
        return None if fault is None else fault.error

    def runs_out(self, path: str, otherwise: p.Otherwise) -> bool:
        """Whether the wait or poll at `path` ends without what it waits for."""
        for at, when in enumerate(self._whens):
            if self._left[at] == 0:
                continue
            if (isinstance(when, NotInTime) and when.path == path) or (
                isinstance(when, Aborted) and when.at is otherwise
            ):
                self._use(at)
                return True
        return False

    def stops(self, path: str) -> Stopped | None:
        """The cancel or deadline that strikes at the statement at `path`."""
        for at, when in enumerate(self._whens):
            if isinstance(when, Stopped) and path in when.paths and self._left[at] != 0:
                self._use(at)
                return when
        return None

    def reached(self, abort: p.Abort) -> None:
        """The saga aborts here; whoever asked for it got it."""
        for at, when in enumerate(self._whens):
            if isinstance(when, Aborted) and when.at is abort and self._left[at] != 0:
                self._use(at)

    def concerns(self, block: p.Block) -> bool:
        """Whether something that is still to come strikes in the block, or what undoes it."""
        return any(
            self._left[at] != 0 and any(self._meets(when, s) for s in statements(block))
            for at, when in enumerate(self._whens)
        )

    def _meets(self, when: When, statement: p.Statement) -> bool:
        match when, statement:
            case Aborted(at=at), p.Abort():
                return statement is at
            case Aborted(at=at), p.Wait(otherwise=otherwise) | p.Poll(otherwise=otherwise):
                return otherwise is at
            case NotInTime(path=path), p.Wait() | p.Poll():
                return statement.path == path
            case Stopped(paths=paths), p.Step() | p.ChildStep() | p.Wait() | p.Poll():
                return statement.path in paths
            case CallFault(target=target), p.Step() | p.Poll() | p.ChildStep():
                if target.path is not None:
                    return target.path == statement.path
                return target.operation in self._calls(statement)
            case _:
                return False

    def _calls(self, statement: p.Step | p.Poll | p.ChildStep) -> set[str]:
        if isinstance(statement, p.ChildStep):
            return {*labels(self._program, self._program.sagas[statement.saga])}
        found = {statement.call.label}
        probe = self._program.operation(statement.call).probe
        if probe is not None:
            found.add(probe.label)
        if isinstance(statement, p.Step) and isinstance(statement.compensation, p.Compensation):
            found.add(statement.compensation.call.label)
        return found

    def concerns_calls(self, saga: p.Saga) -> bool:
        """Whether a fault that is still to come may strike inside of a child saga."""
        inside = labels(self._program, saga)
        return any(
            isinstance(when, CallFault)
            and self._left[at] != 0
            and when.target.path is None
            and when.target.operation in inside
            for at, when in enumerate(self._whens)
        )
