"""The compensations of a flow graph: a node each, and the order in which the machine runs them."""

from __future__ import annotations

from sagalang import graph as g
from sagalang.graph.structure import statements
from sagalang.graph.undoing import NOTHING
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.cast import Cast
from sagalang.render.compensation import label
from sagalang.render.failing import loop_label
from sagalang.render.graphs.flow_graph import EdgeKind, FlowKind
from sagalang.render.graphs.flow_parts import Parts, Way


class Undoing:
    """Draws the compensations. `last`: the ways from those behind which nothing is left to undo."""

    def __init__(self, graph: g.SagaGraph, cast: Cast, parts: Parts, steps: dict[str, str]) -> None:
        """`steps`: the node of each step by its path."""
        self._graph = graph
        self._cast = cast
        self._parts = parts
        self._junctions: dict[frozenset[str], str] = {}
        every = statements(graph.saga.body)
        self._loops = {s.path: s for s in every if isinstance(s, p.For)}
        owed = [node for node in graph.nodes if node.undone_by is not None]
        self._nodes = {node.path: self._compensation(node, steps) for node in owed}
        self._order = graph.compensations
        self.last: tuple[Way, ...] = ()
        for node in owed:
            way = Way(self._nodes[node.path], kind=EdgeKind.UNDOING)
            target = self._at(frozenset(self._order.successors(node.path)))
            if target is None:
                self.last += (way,)
            else:
                parts.join((way,), target)

    def entry(self, plan: g.Undo) -> str | None:
        """Where the plan begins; None if nothing is to be undone.

        A plan for one of several ways taken begins on each of them; where one leads to another
        (from a handler's steps back to those of its attempt), it is enough to begin there.
        """
        paths = _first(plan)
        later = {path for first in paths for path in self._behind(first)} if len(paths) > 1 else ()
        return self._at(paths.difference(later))

    def _behind(self, path: str) -> set[str]:
        """What is undone after it."""
        found: set[str] = set()
        waiting = [path]
        while waiting:
            new = set(self._order.successors(waiting.pop())) - found
            found |= new
            waiting += new
        return found

    def _at(self, paths: frozenset[str]) -> str | None:
        """The node of a compensation, or one from which several begin together."""
        nodes = [self._nodes[path] for path in self._nodes if path in paths]
        if len(nodes) < 2:
            return nodes[0] if nodes else None
        if paths not in self._junctions:
            junction = self._parts.node(FlowKind.TOGETHER)
            self._junctions[paths] = junction
            for node in nodes:
                self._parts.join((Way(junction, kind=EdgeKind.UNDOING),), node)
        return self._junctions[paths]

    def _compensation(self, node: g.Node, steps: dict[str, str]) -> str:
        step = node.statement
        way = (Way(steps[node.path], kind=EdgeKind.UNDONE_BY),)
        pace = self._pace(node.loops)
        kind = FlowKind.COMPENSATION
        if isinstance(step, p.ChildStep):
            to = self._cast.saga(step.saga)
            label = (f"saga {step.saga}", "compensate", *pace)
            return self._parts.node(kind, way, label, to, path=step.path)
        assert isinstance(step, p.Step)
        assert isinstance(step.compensation, p.Compensation)
        call = step.compensation.call
        operation = self._graph.program.operation(call)
        to = self._cast.service(call.service)
        label = (call.label, f"({words.arguments(operation.params, call.args, step)})", *pace)
        return self._parts.node(kind, way, label, to, path=step.path, doc=operation.doc)

    def _pace(self, loops: tuple[str, ...]) -> tuple[str, ...]:
        """How often, for a step that stands in loops."""
        return tuple(words.each_happened(self._loops[path]) for path in loops)


def in_words(plan: g.Undo) -> tuple[str, ...]:
    """The plan as lines, one after the other in its order."""
    if plan == NOTHING:
        return ()
    items = plan.items if isinstance(plan, g.UndoSequence) else (plan,)
    return tuple(map(_in_one_line, items))


def _in_one_line(plan: g.Undo) -> str:
    match plan:
        case g.UndoCall(step=step):
            return label(step)
        case g.UndoSequence(items=items):
            return ", then ".join(map(_in_one_line, items))
        case g.UndoTogether(items=items):
            return " beside ".join(map(_in_one_line, items))
        case g.UndoEach(body=body):
            return f"{loop_label(plan)}: {_in_one_line(body)}"
        case g.UndoCase(arms=arms):
            return " or ".join(_in_one_line(arm) for arm in arms if arm != NOTHING)


def _first(plan: g.Undo) -> frozenset[str]:
    """The paths of the steps that are undone before any other of the plan."""
    match plan:
        case g.UndoCall(step=step):
            return frozenset((step.path,))
        case g.UndoSequence(items=items):
            return _first(items[0]) if items else frozenset()
        case g.UndoTogether(items=items) | g.UndoCase(arms=items):
            return frozenset(path for item in items for path in _first(item))
        case g.UndoEach(body=body):
            return _first(body)
