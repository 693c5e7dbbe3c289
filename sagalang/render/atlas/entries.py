"""Every distinct way in which a saga can fail, each with its picture and what it means.

Distinct is what fails in another way, has something else undone, or ends otherwise; where a call
got lost on its way makes no difference unless the machine acts differently then. Left out is what
the saga survives without undoing anything. A call that is certainly not sent is like one that is
refused: the step itself is not undone, and all before it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sagalang import graph as g
from sagalang.graph.structure import blocks_of, statements
from sagalang.graph.undoing import calls_of
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.atlas import plans
from sagalang.render.atlas.ways import Kind, Names, Way, abort_place, always, inside, rejects, ways
from sagalang.render.compensation import Matter, Open
from sagalang.render.diagram import SequenceDiagram
from sagalang.render.paths import Follower, Path, Problem
from sagalang.render.paths.results import Ending
from sagalang.render.paths.whens import Target, When


@dataclass(frozen=True, slots=True)
class Entry:
    """One failure path. `slug`: a name for its files, unique in its atlas. `undone` and `operator`
    are lines in order; `left` are lines on what is not undone. `whens`: each element is a list of
    `--when` texts that draws it; the first one drew `diagram`."""

    slug: str
    kind: Kind
    title: str
    undone: tuple[str, ...]
    ends: str
    operator: tuple[str, ...]
    whens: tuple[tuple[str, ...], ...]
    diagram: SequenceDiagram
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Index:
    """The table of contents of an atlas, in no particular format."""

    title: str
    doc: str
    summary: str
    sections: tuple[tuple[str, tuple[Entry, ...]], ...]


def atlas(
    graph: g.SagaGraph,
    shown: words.Shown = words.NAMES,
    worst: Mapping[str, str] = {},
) -> tuple[Entry, ...]:
    """All failure paths of a saga, by what fails, in text order."""
    follower = Follower(graph, shown, worst)
    names = Names(graph)
    found = [*_forwards(graph, follower, names)]
    found += _not_undone(graph, follower, names, found)
    return tuple(_entries(found, names))


def index(entries: Sequence[Entry], graph: g.SagaGraph) -> Index:
    """The entries under their headings."""
    saga = graph.saga
    sections = []
    for kind in Kind:
        own = tuple(entry for entry in entries if entry.kind is kind)
        if own:
            sections.append((kind.value, own))
    failing = [entry for entry in entries if entry.kind is not Kind.HANDLED]
    people = sum(bool(entry.operator) for entry in failing)
    ways = "1 way" if len(failing) == 1 else f"{len(failing)} ways"
    need = "1 of them needs" if people == 1 else f"{people} of them need"
    summary = f"{ways} to fail; {'none needs' if not people else need} a person."
    handled = len(entries) - len(failing)
    if handled:
        summary += f" {handled} more {'is' if handled == 1 else 'are'} handled by the saga."
    return Index(f"How {saga.name} fails", saga.doc, summary, tuple(sections))


# --- What can go wrong ---------------------------------------------------------------------------


@dataclass(slots=True)
class _Found:
    kind: Kind
    fails: str
    at: str
    path: Path
    whens: list[tuple[When, ...]]
    errors: dict[str | None, None]
    undone: frozenset[str]
    before: _Found | None = None

    @property
    def title(self) -> str:
        """What fails, and what failed before it."""
        return f"{self.fails}, after {self.before.title}" if self.before else self.fails


def _found(
    kind: Kind,
    fails: str,
    at: str,
    path: Path,
    whens: tuple[When, ...],
    before: _Found | None,
) -> _Found:
    undone = frozenset(call.step.path for plan in path.ending.undone for call in calls_of(plan))
    return _Found(kind, fails, at, path, [whens], {path.ending.error: None}, undone, before)


def _forwards(graph: g.SagaGraph, follower: Follower, names: Names) -> Iterator[_Found]:
    handled = list(_handled(graph.saga.body))
    known: list[_Found] = []
    cancelled: _Found | None = None
    for way in ways(graph, names):
        for found in _tried(way, follower, handled, known):
            known.append(found)
            if _survived(found.path.ending):
                continue
            if found.path.ending.kind == "completed":
                found.kind = Kind.HANDLED
            if found.kind is Kind.STOPPED:
                if cancelled is not None and _same(cancelled.path.ending, found.path.ending):
                    continue  # nothing that is undone happened in between
                cancelled = found
            yield found


def _tried(
    way: Way,
    follower: Follower,
    handled: Sequence[_Handled],
    known: Sequence[_Found],
) -> list[_Found]:
    made: list[_Found] = []
    for when, fails in way.variants:
        reached = _reached(when, way.at, follower, handled, known)
        if reached is None:
            continue
        whens, path, before = reached
        same = next((one for one in made if _same(one.path.ending, path.ending)), None)
        if same is not None and way.kind is not Kind.REFUSED:
            same.whens.append(whens)
            same.errors[path.ending.error] = None
            if way.kind is Kind.STOPPED:
                same.fails += ", or too late by then"
        else:
            made.append(_found(way.kind, fails, way.at, path, whens, before))
    failing = [one for one in made if not _survived(one.path.ending)]
    if way.kind is Kind.NO_ANSWER and len(failing) == 1:
        failing[0].fails = f"{way.variants[0][1].partition(':')[0]}: no answer"
    return made


def _reached(
    when: When,
    at: str,
    follower: Follower,
    handled: Sequence[_Handled],
    known: Sequence[_Found],
) -> tuple[tuple[When, ...], Path, _Found | None] | None:
    """The path on which it happens; in a handler after a failure before it, which is told too."""
    found = follower.follow((when,))
    if not isinstance(found, Problem):
        return (when,), found, None
    for attempt in handled:
        if at not in attempt.handlers:
            continue
        for before in known:
            if before.at in attempt.body:
                whens = (*before.whens[0], when)
                found = follower.follow(whens)
                if not isinstance(found, Problem):
                    return whens, found, before
    return None


class _Handled(NamedTuple):
    """The paths in the body of an attempt, and those in its handlers."""

    body: frozenset[str]
    handlers: frozenset[str]


def _handled(block: p.Block) -> Iterator[_Handled]:
    for statement in statements(block):
        if isinstance(statement, p.Attempt):
            body, *handlers = blocks_of(statement)
            inside = frozenset(path for handler in handlers for path in _paths(handler))
            yield _Handled(frozenset(_paths(body)), inside)


def _paths(block: p.Block) -> Iterator[str]:
    for statement in statements(block):
        if isinstance(statement, p.Abort):
            yield abort_place(statement)
        else:
            path = getattr(statement, "path", None)
            if path is not None:
                yield path


# --- What cannot be undone -----------------------------------------------------------------------


def _not_undone(
    graph: g.SagaGraph, follower: Follower, names: Names, known: Sequence[_Found]
) -> Iterator[_Found]:
    for node in graph.nodes:
        step = node.statement
        if not isinstance(step, p.Step | p.ChildStep):
            continue
        before = _first_to_undo(step, known)
        if before is None:
            continue
        for when, fails in _stuck(graph.program, step, names):
            whens = (*before.whens[0], when)
            path = follower.follow(whens)
            if isinstance(path, Problem):
                continue
            yield _found(Kind.NOT_UNDONE, fails, step.path, path, whens, before)


def _stuck(
    program: p.Program, step: p.Step | p.ChildStep, names: Names
) -> Iterator[tuple[When, str]]:
    """What may keep a step from being undone."""
    match step:
        case p.Step(compensation=p.Compensation(call=call)):
            target, subject = Target(call.label, step.path, undo=True), f"undo of {step.path}"
            yield from _no_way(program, call, target, subject, names.undo(step))
        case p.ChildStep():
            for saga, inner in inside(program, step):
                if not isinstance(inner.compensation, p.Compensation):
                    continue
                call = inner.compensation.call
                if not names.known(call.label):
                    text = f"{call.label} inside saga {saga}"
                    yield from _no_way(program, call, Target(call.label), call.label, text)


def _no_way(
    program: p.Program, call: p.Call, target: Target, subject: str, text: str
) -> Iterator[tuple[When, str]]:
    yield always(subject, target, "unavailable"), f"{text} cannot get through"
    for rejection in program.operation(call).rejects:
        yield rejects(subject, target, rejection.error), f"{text} rejects {rejection.error}"


def _first_to_undo(step: p.Step | p.ChildStep, known: Sequence[_Found]) -> _Found | None:
    """The first failure that has the step undone; its own last, where nobody knows of it."""
    own: _Found | None = None
    for found in known:
        if step.path in found.undone:
            if found.at != step.path:
                return found
            own = own or found
    return own


# --- What it comes to ----------------------------------------------------------------------------


def _survived(ending: Ending) -> bool:
    return ending.kind == "completed" and not ending.handled


def _same(one: Ending, other: Ending) -> bool:
    """Whether two paths undo the same and end alike; cancel and deadline are alike."""
    return (one.kind, one.undone, _settled(one), one.held) == (
        other.kind,
        other.undone,
        _settled(other),
        other.held,
    )


def _settled(ending: Ending) -> tuple[tuple[str, str, str], ...]:
    return tuple((one.path, one.label, one.matter.value) for one in ending.open)


def _entries(found: Sequence[_Found], names: Names) -> Iterator[Entry]:
    slugs: Counter[str] = Counter()
    for one in found:
        ending = one.path.ending
        undone = tuple(line for plan in ending.undone for line in plans.lines(plan, names.undo))
        texts = tuple(tuple(when.text for when in whens) for whens in one.whens)
        yield Entry(
            _slug(one.fails, slugs),
            one.kind,
            one.title[:1].upper() + one.title[1:],
            undone,
            _ends(ending, one.errors),
            _operator(ending, names),
            texts,
            one.path.diagram,
            _left(ending, names),
        )


def _left(ending: Ending, names: Names) -> tuple[str, ...]:
    """What is not undone, or not yet."""
    lines = [f"not undone: {names.title(call.step)}" for call in ending.owed]
    if ending.held:
        waiting = ", ".join(names.undo(call.step) for call in ending.held)
        lines.append(f"not undone until then: {waiting}")
    for step in ending.kept:
        assert isinstance(step.compensation, p.NoCompensation)
        lines.append(f"kept: {names.title(step)} ({step.compensation.why})")
    return tuple(lines)


def _ends(ending: Ending, errors: Iterable[str | None]) -> str:
    match ending.kind:
        case "completed":
            return "completed"
        case "compensated":
            return f"compensated with {' or '.join(error for error in errors if error)}"
        case "escalated":
            return "escalated: it waits for a person"
        case _:
            return "it does not end before the call gets through"


def _operator(ending: Ending, names: Names) -> tuple[str, ...]:
    """What people must do; nothing where the saga ends by itself."""
    lines = [_chore(one) for one in ending.open]
    if ending.held:
        rest = ", ".join(names.undo(call.step) for call in ending.held)
        lines.append(f"Until then these wait, and then run by themselves: {rest}.")
    return tuple(lines)


def _chore(one: Open) -> str:
    who = one.team or "Somebody"
    service = one.label.partition(".")[0]
    if one.forever:
        return (
            f"Nobody is told: {one.label} is retried until {service} answers; get it going again."
        )
    head = f"{who} settles {one.label} ({one.error})"
    match one.matter:
        case Matter.UNDO:
            what = (
                f"retry it once {service} answers, or undo it by hand and say done, or write it off"
                " and say not done"
            )
        case Matter.DOUBT:
            what = (
                "find out whether it happened, and say done or not done; or retry, if that is safe"
            )
        case Matter.CALL:
            what = "it did not happen: do it by hand and say done, or retry, or say not done"
        case Matter.EVENT:
            what = "it did not come in time: say done, and what it would have said, or not done"
    return f"{head}: {what}."


_LONGEST: Final = 60


def _slug(fails: str, used: Counter[str]) -> str:
    """A file name without suffix: small letters, digits and hyphens, on any system."""
    words_ = re.sub(r"[^a-z0-9]+", "-", fails.partition(", ")[0].lower()).strip("-")
    short = words_[:_LONGEST].rstrip("-") or "path"
    if "-" not in short:
        short = f"{short}-fails"
    used[short] += 1
    return short if used[short] == 1 else f"{short}-{used[short]}"
