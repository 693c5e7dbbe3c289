"""Which policies a picture mentions, and where: the usual one once, what differs at its call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sagalang import graph as g
from sagalang.graph.durations import duration
from sagalang.model import program as p
from sagalang.render import words

_FORWARDS = words.policy(p.Policy(timeout=p.DEFAULT_TIMEOUT))
_RELENTLESS = words.policy(p.RELENTLESS)


_STEPS = (p.Step, p.ChildStep)


class Policies:
    """The usual policy before the pivot, from the pivot on, and of compensations."""

    def __init__(self, graph: g.SagaGraph) -> None:
        leaves = [node.statement for node in (*graph.nodes, *graph.farewell)]
        steps = [leaf for leaf in leaves if isinstance(leaf, p.Step)]
        self._saga = graph.saga
        self._before = _usual((s.policy for s in steps if not _resolute(s)), _FORWARDS)
        self._after = _usual((s.policy for s in steps if _resolute(s)), _RELENTLESS)
        self._pivots = any(leaf.pivot for leaf in leaves if isinstance(leaf, _STEPS))
        undoing = (s.compensation for s in steps if isinstance(s.compensation, p.Compensation))
        compensations = tuple(undoing)
        self._undoing = _usual((undo.policy for undo in compensations), _RELENTLESS)
        self._gives_up = any(
            not words.retries_forever(undo.policy)
            for undo in compensations
            if words.policy(undo.policy) == self._undoing
        )

    def opening(self) -> tuple[str, ...]:
        """What holds for the whole saga, as far as it is not the default."""
        lines = []
        if self._saga.deadline is not None:
            unless = ", unless the point of no return is passed" if self._pivots else ""
            lines.append(f"deadline {duration(self._saga.deadline)}: then it is undone{unless}")
        if self._before != _FORWARDS:
            lines.append(f"each call with {self._before}")
        escalate = self._saga.compensate_escalate
        if self._undoing != _RELENTLESS or escalate is not None:
            lines.append(f"undone with {self._undoing}")
        if escalate is not None:
            lines.append(words.takes_over(escalate, forever=not self._gives_up))
        return tuple(lines)

    def from_the_pivot(self) -> tuple[str, ...]:
        return () if self._after == _RELENTLESS else (f"from here on {self._after}",)

    def of(self, step: p.Step) -> tuple[str, ...]:
        """What is special about one step."""
        lines = []
        text = words.policy(step.policy)
        if text != (self._after if _resolute(step) else self._before):
            lines.append(text)
        return (*lines, *extras(step))


def extras(step: p.Step | p.ChildStep) -> tuple[str, ...]:
    """What becomes of a step that does not succeed, where that is special."""
    lines = []
    if step.best_effort:
        lines.append("best effort: it goes on without it")
    if step.escalate is not None:
        forever = isinstance(step, p.Step) and words.retries_forever(step.policy)
        lines.append(words.takes_over(step.escalate, forever=forever))
    return tuple(lines)


def _resolute(step: p.Step) -> bool:
    return (step.pivot or step.after_pivot) and not step.best_effort


def _usual(policies: Iterable[p.Policy], default: str) -> str:
    """The most frequent one, the first of those on a tie."""
    found = Counter(words.policy(policy) for policy in policies)
    return found.most_common(1)[0][0] if found else default
