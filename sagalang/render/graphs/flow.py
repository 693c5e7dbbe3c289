"""From a saga's graph to its flow graph: the ways forward, and beside them what undoes them.

Every step that owes a compensation has a node for it, and the edges between those nodes are the
order in which the machine runs them. A failure enters that order where it strikes; from there on
all is undone that was begun and may have happened, the rest is passed over. So each compensation
is drawn once, however many failures lead to it. What an `attempt` undoes before it goes on with
a handler is said in one node, for it leads forward again.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from sagalang import graph as g
from sagalang.graph.durations import duration
from sagalang.graph.structure import blocks_of, goes_on
from sagalang.graph.undoing import failures, without
from sagalang.model import program as p
from sagalang.model.errors import BUILT_IN_ERRORS
from sagalang.render import words
from sagalang.render.cast import Cast
from sagalang.render.failing import Caught, caught
from sagalang.render.graphs.flow_graph import ClusterKind, EdgeKind, FlowGraph, FlowKind
from sagalang.render.graphs.flow_parts import Parts, Way, Ways
from sagalang.render.graphs.flow_undo import Undoing, in_words
from sagalang.render.policies import Policies, extras
from sagalang.text import Span


def flow(graph: g.SagaGraph) -> FlowGraph:
    """The flow graph of a saga as it is written, not of one run."""
    cast = Cast(graph)
    parts = Parts()
    drawing = _Drawing(graph, cast, parts)
    drawing.all()
    saga = graph.saga
    notes = drawing.policies.opening()
    if any(node.undone_by is not None for node in graph.nodes):
        notes += _safety(graph)
    return FlowGraph(
        saga.name,
        cast.participants,
        tuple(parts.nodes),
        parts.edges,
        parts.clusters,
        saga.doc,
        notes,
    )


class _Drawing:
    """One picture being made. `_raised`: from where the failure of a statement leads away."""

    def __init__(self, graph: g.SagaGraph, cast: Cast, parts: Parts) -> None:
        self._graph = graph
        self._program = graph.program
        self._cast = cast
        self._parts = parts
        self.policies = Policies(graph)
        self._raised: dict[Span, Ways] = {}
        self._finished: list[Way] = []
        self._escalated: list[tuple[str, Way]] = []
        self._steps: dict[str, str] = {}

    def all(self) -> None:
        saga = self._graph.saga
        start = self._parts.node(FlowKind.START, label=("start",))
        self._finished += self._block(saga.body, (Way(start),))
        if self._finished:
            self._parts.node(FlowKind.COMPLETED, self._finished, ("completed",))
        self._backwards(start)
        for team in dict.fromkeys(team for team, _ in self._escalated):
            ways = [way for name, way in self._escalated if name == team]
            self._parts.node(FlowKind.ESCALATED, ways, (f"{team} takes over",))

    def _backwards(self, start: str) -> None:
        saga, parts = self._graph.saga, self._parts
        undoing = Undoing(self._graph, self._cast, parts, self._steps)
        ending: list[Way] = []
        errors: dict[str, None] = {}
        for failure in failures(self._program, saga.body):
            errors.update(dict.fromkeys(failure.errors))
            ways = self._raising(failure.at, failure.errors)
            entry = undoing.entry(failure.undo)
            if entry is None:
                ending += ways
            else:
                parts.join(ways, entry)
        ending += undoing.last
        last = saga.when_compensated
        if last is not None:
            ways = tuple(ending) or (Way(start, "any failure", EdgeKind.FAILURE),)
            with parts.cluster(ClusterKind.HANDLER, "when compensated"):
                ending = list(self._block(last.body, ways))
        if ending:
            with_ = (f"with {', '.join(errors)}",) if errors else ()
            parts.node(FlowKind.COMPENSATED, ending, ("compensated", *with_))

    def _block(self, block: p.Block, ways: Ways) -> Ways:
        for statement in block.statements:
            ways = self._statement(statement, ways)
        return ways

    def _statement(self, statement: p.Statement, ways: Ways) -> Ways:
        match statement:
            case p.Step():
                return self._step(statement, ways)
            case p.ChildStep():
                return self._child(statement, ways)
            case p.Wait():
                return self._wait(statement, ways)
            case p.Poll():
                return self._poll(statement, ways)
            case p.Sleep():
                label = (words.sleep(statement),)
                node = self._parts.node(FlowKind.SLEEP, ways, label, path=statement.path)
                return (Way(node),)
            case p.Let():
                return ways
            case p.Abort():
                self._raised[statement.span] = ways
                return ()
            case p.Return():
                self._finished += ways
                return ()
            case _ if not _shows(statement):
                return ways
            case p.Parallel():
                return self._parallel(statement, ways)
            case p.For():
                return self._for(statement, ways)
            case p.If():
                return self._if(statement, ways)
            case p.Attempt():
                return self._attempt(statement, ways)

    # --- Calls -----------------------------------------------------------------------------------

    def _step(self, step: p.Step, ways: Ways) -> Ways:
        operation = self._program.operation(step.call)
        kind = FlowKind.QUERY if operation.is_query else FlowKind.COMMAND
        args = words.arguments(operation.params, step.call.args)
        label = (
            step.call.label,
            _signature(args, step.name),
            *self.policies.of(replace(step, escalate=None)),  # an edge says who takes over
            *(self.policies.from_the_pivot() if step.pivot else ()),
        )
        to = self._cast.service(step.call.service)
        return self._called(step, kind, ways, label, to, step.doc or operation.doc)

    def _child(self, step: p.ChildStep, ways: Ways) -> Ways:
        child = self._program.sagas[step.saga]
        args = words.arguments(child.params, step.args)
        label = (
            f"saga {step.saga}",
            _signature(args, step.name),
            *extras(replace(step, escalate=None)),
        )
        to = self._cast.saga(step.saga)
        return self._called(step, FlowKind.CHILD, ways, label, to, step.doc or child.doc)

    def _called(
        self,
        step: p.Step | p.ChildStep,
        kind: FlowKind,
        ways: Ways,
        label: tuple[str, ...],
        to: int,
        doc: str,
    ) -> Ways:
        node = self._parts.node(kind, ways, label, to, pivot=step.pivot, path=step.path, doc=doc)
        self._steps[step.path] = node
        self._raised[step.span] = (Way(node),)
        if step.escalate is not None:
            self._escalate(step.escalate, Way(node, "else", EdgeKind.FAILURE))
        return (Way(node),)

    def _wait(self, wait: p.Wait, ways: Ways) -> Ways:
        where = (f"where {words.condition(wait.where)}",) if wait.where is not None else ()
        within = duration(wait.within)
        label = (f"wait for {wait.event}", *where, _patience(wait.otherwise, within))
        doc = self._program.events[wait.event].doc
        return self._awaited(wait, FlowKind.WAIT, ways, label, self._cast.event(wait.event), doc)

    def _poll(self, poll: p.Poll, ways: Ways) -> Ways:
        operation = self._program.operation(poll.call)
        args = words.arguments(operation.params, poll.call.args)
        within = duration(poll.within)
        label = (
            f"poll {poll.call.label}",
            _signature(args, poll.name),
            f"every {duration(poll.every)} until {words.condition(poll.until)}",
            _patience(poll.otherwise, within),
        )
        to = self._cast.service(poll.call.service)
        return self._awaited(poll, FlowKind.POLL, ways, label, to, operation.doc)

    def _awaited(
        self,
        leaf: p.Wait | p.Poll,
        kind: FlowKind,
        ways: Ways,
        label: tuple[str, ...],
        source: int,
        doc: str,
    ) -> Ways:
        node = self._parts.node(kind, ways, label, source, path=leaf.path, doc=doc)
        late = Way(node, f"not within {duration(leaf.within)}", EdgeKind.FAILURE)
        match leaf.otherwise:
            case p.Abort():
                self._raised[leaf.span] = (late,)
            case p.Escalation() as escalation:
                self._escalate(escalation, late)
            case None:
                pass
        return (Way(node),)

    def _escalate(self, escalation: p.Escalation, way: Way) -> None:
        self._escalated.append((escalation.team, way))

    # --- Failures --------------------------------------------------------------------------------

    def _raising(self, at: p.Statement, errors: tuple[str, ...]) -> Ways:
        """The ways that the failure of a statement takes."""
        text = " or ".join(errors)
        found = []
        for way in self._raised.get(at.span, ()):
            label = f"{way.label}: {text}" if way.label else text
            found.append(Way(way.source, label, EdgeKind.FAILURE))
        return tuple(found)

    # --- Compound statements ---------------------------------------------------------------------

    def _parallel(self, part: p.Parallel, ways: Ways) -> Ways:
        with self._parts.cluster(ClusterKind.PARALLEL, "in parallel"):
            fork = self._parts.node(FlowKind.FORK, ways)
            ends: Ways = ()
            for branch in part.branches:
                ends += self._block(branch, (Way(fork),))
            if not ends:
                return ()
            join = self._parts.node(FlowKind.JOIN, ends)
        return (Way(join),) if all(goes_on(branch) for branch in part.branches) else ()

    def _for(self, loop: p.For, ways: Ways) -> Ways:
        pace = f", {loop.at_once} at once" if loop.at_once > 1 else ", one after the other"
        label = f"for each {loop.variable} in {words.condition(loop.source)}{pace}"
        with self._parts.cluster(ClusterKind.LOOP, label):
            ends = self._block(loop.body, ways)
        return ends or ways

    def _if(self, branch: p.If, ways: Ways) -> Ways:
        label = (f"{words.condition(branch.condition)}?",)
        choice = self._parts.node(FlowKind.CHOICE, ways, label)
        then = self._block(branch.then, (Way(choice, "yes"),))
        return then + self._block(branch.otherwise, (Way(choice, "no"),))

    def _attempt(self, attempt: p.Attempt, ways: Ways) -> Ways:
        with self._parts.cluster(ClusterKind.ATTEMPT, "attempt"):
            ends = self._block(attempt.body, ways)
        for handler in attempt.handlers:
            ends += self._handler(attempt, handler, ways)
        return ends

    def _handler(self, attempt: p.Attempt, handler: p.Handler, before: Ways) -> Ways:
        """`before`: the ways into the attempt."""
        label = f"on {' or '.join(handler.errors)}"
        found: Ways = ()
        with self._parts.cluster(ClusterKind.HANDLER, label):
            for one in caught(self._program, attempt, handler):
                ways = self._caught(attempt, handler, one)
                undone = in_words(one.plan)
                if ways and undone:
                    title = ("first undo what was begun:", *undone)
                    node = self._parts.node(FlowKind.ROLLBACK, ways, title)
                    ways = (Way(node),)
                found += ways
            return self._block(handler.body, found or _never(before, handler))

    def _caught(self, attempt: p.Attempt, handler: p.Handler, one: Caught) -> Ways:
        """From where the handler is reached, with these errors."""
        found: Ways = ()
        others = {e for other in attempt.handlers if other is not handler for e in other.errors}
        for failure in without(failures(self._program, attempt.body), others):
            errors = tuple(error for error in failure.errors if error in one.errors)
            if errors and any(at is failure.at for at in one.at):
                found += self._raising(failure.at, errors)
        for error in one.errors:
            if error in BUILT_IN_ERRORS:
                for call in _may_fail(attempt.body, error):
                    found += self._raising(call, (error,))
        return found


def _safety(graph: g.SagaGraph) -> tuple[str, ...]:
    pivot = any(node.pivot for node in graph.nodes)
    where = "before the point of no return " if pivot else ""
    return (
        f"any other failure {where}is undone in the same way;",
        "of what stands on the way back, only what may have happened is undone",
    )


def _never(ways: Ways, handler: p.Handler) -> Ways:
    """To a handler of errors that nothing in its attempt can fail with."""
    label = f"nothing fails with {' or '.join(handler.errors)}"
    return tuple(Way(way.source, label, EdgeKind.FAILURE) for way in ways)


def _signature(args: str, name: str | None) -> str:
    """`(order.id) → pay`."""
    return f"({args})" + (f" → {name}" if name else "")


def _patience(otherwise: p.Otherwise, within: str) -> str:
    return f"within {within}" + (", else goes on without" if otherwise is None else "")


def _shows(statement: p.Statement) -> bool:
    """Whether there is anything to draw of it: names that are bound are not drawn."""
    inner = blocks_of(statement)
    if not inner:
        return not isinstance(statement, p.Let)
    return any(_shows(each) for block in inner for each in block.statements)


def _may_fail(block: p.Block, error: str) -> Iterator[p.Statement]:
    """The calls from which a built-in error leaves the block."""
    for statement in block.statements:
        match statement:
            case p.Step() | p.ChildStep():
                if not (statement.best_effort or statement.escalate):
                    yield statement
            case p.Attempt(body=body, handlers=handlers):
                if not any(error in handler.errors for handler in handlers):
                    yield from _may_fail(body, error)
                for handler in handlers:
                    yield from _may_fail(handler.body, error)
            case _:
                for inner in blocks_of(statement):
                    yield from _may_fail(inner, error)
