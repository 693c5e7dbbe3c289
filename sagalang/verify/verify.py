"""A saga's verdict: what may go wrong with it under every fault, or that nothing can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sagalang.graph.structure import statements
from sagalang.machine.frozen import FrozenMap
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED, DEADLINE_EXCEEDED
from sagalang.verify import modular
from sagalang.verify.explore import Bounds, Exploration, Path, Watch, explore
from sagalang.verify.inputs import shared
from sagalang.verify.model import Model
from sagalang.verify.service import Rules
from sagalang.verify.world import Breach, Courses, Interface, Options

CONFIRM_STATES = 50_000
"""So many worlds of the whole are searched to confirm a breach that was found branch by branch."""


@dataclass(frozen=True)
class Settings:
    """How to explore. `branches`: branch by branch. The other reductions are in `options`."""

    options: Options = field(default_factory=Options)
    bounds: Bounds = field(default_factory=Bounds)
    branches: bool = True
    rules: Rules = field(default_factory=Rules)
    """For tests, which plant services that lie."""


@dataclass(frozen=True)
class Found:
    """A breach and the way that leads to it. `whole`: it was seen in the whole saga, not only
    branch by branch. `model`: in which it was found."""

    breach: Breach
    path: Path
    model: Model
    whole: bool = True


@dataclass(frozen=True)
class Verdict:
    """`complete`: nothing was left out within the bound on faults; `faults` is that bound where
    it held something back, else None."""

    saga: str
    complete: bool
    faults: int | None
    worlds: int
    steps: int
    stopped: bool
    """By the user, before everything was explored."""
    breaches: tuple[Found, ...]
    outcomes: Mapping[str, Path]
    errors: Mapping[str, Path]
    escalations: Mapping[tuple[str, ...], Path]
    unreached: tuple[tuple[str, p.Statement], ...]
    """(what, statement): a step, a compensation, a handler that nothing leads to."""

    @property
    def holds(self) -> bool:
        return not self.breaches


def verify(
    program: p.Program,
    saga: str,
    args: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    watch: Watch | None = None,
) -> Verdict:
    """Explore every failure of a saga. `args`: exact values for its parameters; without them
    nothing is known of them, and conditions go both ways."""
    settings = settings or Settings()
    given = None if args is None else FrozenMap(args)
    in_parallel = modular.is_parallel(program.sagas[saga].body)
    if settings.branches and in_parallel and not shared(program, saga):
        return _branch_by_branch(program, saga, given, settings, watch)
    model = Model(program, saga, given, settings.options, settings.rules)
    runs = [explore(model, settings.bounds, watch)]
    return _verdict(program, saga, given, settings, runs, runs)


def _branch_by_branch(
    program: p.Program,
    saga: str,
    args: FrozenMap | None,
    settings: Settings,
    watch: Watch | None,
) -> Verdict:
    known: dict[p.Block, Interface] = {}
    courses: Courses = {}
    every: list[Exploration] = []

    def interface(part: modular.Part) -> Interface:
        each = []
        for block in part.blocks:
            if block not in known:
                known[block] = _interface(run(modular.alone(program, saga, block)))
            each.append(known[block])
        return _together(each)

    def run(one: p.Program) -> list[Exploration]:
        made = []
        for variant in modular.variants(one.sagas[saga].body):
            faces = {part.name: interface(part) for part in variant.parts}
            if every and every[-1].stopped:
                break
            body = modular.of_body(one, saga, variant.body)
            model = Model(body, saga, args, settings.options, settings.rules, faces, courses)
            made.append(explore(model, settings.bounds, watch))
            every.append(made[-1])
        return made

    return _verdict(program, saga, args, settings, run(program), every)


def _interface(runs: list[Exploration]) -> Interface:
    errors: dict[str, int] = {}
    escalates = [path.faults for run in runs for path in run.escalations.values()]
    for run in runs:
        for name, path in run.errors.items():
            if name not in (CANCELLED, DEADLINE_EXCEEDED):
                errors[name] = min(path.faults, errors.get(name, path.faults))
    return Interface(
        any("completed" in run.outcomes for run in runs),
        tuple(errors.items()),
        min(escalates, default=None),
    )


def _together(each: list[Interface]) -> Interface:
    errors: dict[str, int] = {}
    for face in each:
        for name, faults in face.errors:
            errors[name] = min(faults, errors.get(name, faults))
    escalates = [face.escalates for face in each if face.escalates is not None]
    return Interface(
        all(face.completes for face in each), tuple(errors.items()), min(escalates, default=None)
    )


def _verdict(
    program: p.Program,
    saga: str,
    args: FrozenMap | None,
    settings: Settings,
    runs: list[Exploration],
    every: list[Exploration],
) -> Verdict:
    """`every`: beside the runs, those that were made to know what branches do. They count as work,
    and must have been complete."""
    found: dict[Breach, Found] = {}
    for run in runs:
        for breach, path in run.breaches.items():
            known = found.get(breach)
            if known is None or _longer(known.path, path):
                found[breach] = Found(breach, path, run.model, not run.model.interfaces)
    breaches = sorted(found.values(), key=lambda one: (one.path.faults, len(one.path.edges)))
    stopped = any(run.stopped for run in every)
    if not stopped:
        breaches = [_confirmed(program, saga, args, settings, one) for one in breaches]
    reached = {pair for run in runs for pair in run.reached}
    beyond = any(run.beyond_faults for run in every)
    return Verdict(
        saga=saga,
        complete=all(run.complete for run in every),
        faults=settings.bounds.faults if beyond else None,
        worlds=sum(run.worlds for run in every),
        steps=sum(run.steps for run in every),
        stopped=stopped,
        breaches=tuple(breaches),
        outcomes=_least([run.outcomes for run in runs]),
        errors=_least([run.errors for run in runs]),
        escalations={
            items: path
            for items, path in _least([run.escalations for run in runs]).items()
            if not any(modular.STAND_IN in item for item in items)
        },
        unreached=tuple(_unreached(program, saga, reached)),
    )


def _longer(one: Path, two: Path) -> bool:
    return (one.faults, len(one.edges)) > (two.faults, len(two.edges))


def _least(all_: list[dict[Any, Path]]) -> dict[Any, Path]:
    found: dict[Any, Path] = {}
    for some in all_:
        for name, path in some.items():
            if name not in found or _longer(found[name], path):
                found[name] = path
    return dict(sorted(found.items(), key=lambda pair: (pair[1].faults, len(pair[1].edges))))


def _confirmed(
    program: p.Program, saga: str, args: FrozenMap | None, settings: Settings, found: Found
) -> Found:
    """The same breach in the whole saga, where it can be found there."""
    if found.whole:
        return found
    model = Model(program, saga, args, settings.options, settings.rules)
    bounds = replace(settings.bounds, faults=found.path.faults, states=CONFIRM_STATES)
    whole = explore(model, bounds)
    best: Found | None = None
    for breach, path in whole.breaches.items():
        same = breach.rule == found.breach.rule and _path_of(breach) == _path_of(found.breach)
        if same and (best is None or _longer(best.path, path)):
            best = Found(breach, path, model)
    return best or found


def _path_of(breach: Breach) -> str:
    return "" if breach.at is None else breach.at[1].path


def _unreached(
    program: p.Program, saga: str, reached: set[tuple[str, str]]
) -> Iterator[tuple[str, p.Statement]]:
    for statement in statements(program.sagas[saga].body):
        path = getattr(statement, "path", None)
        if isinstance(statement, p.Step | p.ChildStep) and (saga, f"step {path}") not in reached:
            yield "step", statement
        elif (
            isinstance(statement, p.Step)
            and isinstance(statement.compensation, p.Compensation)
            and not statement.best_effort
            and not (statement.after_pivot and not statement.before_pivot)
            and (saga, f"compensate {path}") not in reached
        ):
            yield "compensation", statement
        if isinstance(statement, p.Attempt):
            for handler in statement.handlers:
                if not any((saga, f"abort {path} {e}") in reached for e in handler.errors):
                    yield f"handler on {', '.join(handler.errors)}", statement
