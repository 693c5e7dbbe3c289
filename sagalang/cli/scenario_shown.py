"""What `saga test` prints: text for people, JSON for programs, JUnit XML for CI systems."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from sagalang.cli.scenario_files import Tested, diagnostics, failure_text, notes
from sagalang.cli.terminal import BOLD, DIM, GREEN, RED, paint
from sagalang.diagnostics import Diagnostic
from sagalang.diagnostics.render import full, to_json
from sagalang.machine import events as m
from sagalang.model.program import Program
from sagalang.runtime.shown import shown
from sagalang.scenario.coverage import Goal, Reached, goals, key, reached, sagas_of
from sagalang.scenario.judge import wording
from sagalang.scenario.mutation import Mutant, Verdict
from sagalang.scenario.stage import Stage
from sagalang.scenario.story import span_of_time
from sagalang.text import Source, Span


@dataclass
class Coverage:
    """What the scenarios of a session reach of each saga, by file and name."""

    lines: dict[tuple[str, str], list[tuple[Goal, int]]] = field(default_factory=dict)
    found: set[tuple[str, Reached]] = field(default_factory=set)

    def expect(self, program: Program) -> None:
        """Count everything there is to reach in the sagas of a file with scenarios."""
        own = [s for s in program.scenarios if s.span.file == program.main]
        for name in sagas_of(program, own):
            saga = program.sagas[name]
            source = program.sources[saga.span.file]
            self.lines[saga.span.file, name] = [
                (goal, source.position(goal.span.start).line) for goal in goals(program, saga)
            ]

    def add(self, tested: Tested) -> None:
        sagas = tested.stage.program.sagas
        for goal in reached(tested.stage, tested.result.course):
            self.found.add((sagas[goal[0]].span.file, goal))

    def missed(self, file: str, saga: str) -> list[tuple[Goal, int]]:
        pairs = self.lines[file, saga]
        return [(goal, line) for goal, line in pairs if (file, key(goal)) not in self.found]


@dataclass
class Session:
    """All that a run of `saga test` found."""

    seed: int
    tested: list[Tested] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)
    """Of files with errors."""
    sources: dict[str, Source] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)
    mutants: list[tuple[Program, Verdict]] | None = None
    """Of each program with what is wrong on purpose; None: not asked for."""

    @property
    def unnoticed(self) -> list[tuple[Program, Mutant]]:
        return [(program, v.mutant) for program, v in self.mutants or () if v.noticed is None]

    @property
    def failed(self) -> list[Tested]:
        return [tested for tested in self.tested if not tested.result.passed]


# --- For people --------------------------------------------------------------------------------


def line(tested: Tested, *, colour: bool) -> str:
    """`ok    stock runs out  (simulated 11.907s)`, and notes below."""
    ok = tested.result.passed
    word = paint(GREEN, "ok  ", colour) if ok else paint(RED, "FAIL", colour)
    took = paint(DIM, f"({span_of_time(tested.result.took)})", colour)
    rows = [f"  {word}  {tested.title}  {took}"]
    if ok:
        rows += [f"        {paint(DIM, note, colour)}" for note in notes(tested)]
    return "\n".join(rows)


def failure(tested: Tested, *, colour: bool) -> str:
    head = paint(BOLD, f"FAIL {tested.file}: {tested.title}", colour)
    return f"\n{head}\n\n{failure_text(tested, colour=colour)}"


def coverage_lines(coverage: Coverage) -> list[str]:
    """What no scenario reached, one line for each saga."""
    total = sum(len(pairs) for pairs in coverage.lines.values())
    missed = {at: coverage.missed(*at) for at in coverage.lines}
    left = sum(map(len, missed.values()))
    if not total:
        return []
    if not left:
        return [f"reached: all {total} steps, compensations, rejections, waits and handlers"]
    made = [f"reached: {total - left} of {total}; not reached by any scenario:"]
    for (file, saga), goals_left in missed.items():
        if len(goals_left) == len(coverage.lines[file, saga]) and goals_left:
            made.append(f"  {file} {saga}: no scenario runs it")
        elif goals_left:
            told = ", ".join(f"{goal.what} (line {line})" for goal, line in goals_left)
            made.append(f"  {file} {saga}: {told}")
    return made


def mutant_lines(session: Session) -> list[str]:
    """The changes that no scenario noticed, one line each."""
    if session.mutants is None:
        return []
    left, total = session.unnoticed, len(session.mutants)
    if not left:
        return [f"mutants: all {total} were noticed"]
    return [
        f"mutants: {total - len(left)} of {total} noticed; no scenario fails although:",
        *(f"  {_place(program, mutant.span)}: {mutant.what}" for program, mutant in left),
    ]


def _place(program: Program, span: Span) -> str:
    source = program.sources[span.file]
    return f"{source.name}:{source.position(span.start).line}"


# --- For programs ------------------------------------------------------------------------------


def as_json(session: Session) -> str:
    """One JSON object; times in ms of simulated time, secrets covered."""
    import msgspec

    from sagalang.runtime.codec import dump

    return msgspec.json.format(dump(data(session)), indent=2).decode()


def data(session: Session) -> dict[str, Any]:
    import json

    told = json.loads(to_json(session.problems, session.sources))["diagnostics"]
    return {
        "format_version": 1,
        "seed": session.seed,
        "passed": len(session.tested) - len(session.failed),
        "failed": len(session.failed),
        "scenarios": [_row(tested) for tested in session.tested],
        "coverage": [_covered(session.coverage, *at) for at in session.coverage.lines],
        "mutants": None if session.mutants is None else [_mutated(*m) for m in session.mutants],
        "diagnostics": told,
    }


def _mutated(program: Program, verdict: Verdict) -> dict[str, Any]:
    mutant = verdict.mutant
    source = program.sources[mutant.span.file]
    return {
        "file": source.name,
        "line": source.position(mutant.span.start).line,
        "saga": mutant.saga,
        "kind": mutant.kind,
        "what": mutant.what,
        "noticed_by": verdict.noticed,
    }


def _row(tested: Tested) -> dict[str, Any]:
    stage, result = tested.stage, tested.result
    course = result.course
    sources = stage.program.sources

    def at(span: Any) -> dict[str, int]:
        position = sources[span.file].position(span.start)
        return {"line": position.line, "column": position.column}

    return {
        "file": tested.file,
        "title": tested.title,
        **at(result.scenario.span),
        "saga": result.scenario.saga,
        "id": course.saga_id,
        "passed": result.passed,
        "problem": result.problem or None,
        "outcome": _outcome(course.outcome),
        "simulated_ms": result.took,
        "expectations": [
            {
                **at(found.expect.span),
                "expectation": wording(stage, found.expect),
                "met": found.met,
                "message": found.text or None,
            }
            for found in result.findings
        ],
        "notes": [{**at(unused.span), "message": unused.text} for unused in result.unused],
        "ledger": [
            {
                "operation": entry.operation,
                "key": entry.key,
                "args": _args(stage, entry.operation, entry.args),
                "effect": entry.effect,
                "calls": entry.calls,
            }
            for entry in course.ledger
        ],
    }


def _outcome(outcome: m.SagaOutcome | None) -> dict[str, Any] | None:
    match outcome:
        case None:
            return None
        case m.Completed():
            return {"kind": "completed"}
        case m.Compensated(error):
            return {"kind": "compensated", "error": error.name}
        case m.Escalated(steps):
            return {"kind": "escalated", "operations": [item.label for item in steps]}


def _args(stage: Stage, label: str, args: tuple[Any, ...]) -> Mapping[str, Any]:
    return {
        param.name: shown(arg, param.type, stage.values)
        for param, arg in zip(stage.operation(label).params, args, strict=True)
        if arg is not None
    }


def _covered(coverage: Coverage, file: str, saga: str) -> dict[str, Any]:
    missed = coverage.missed(file, saga)
    total = len(coverage.lines[file, saga])
    return {
        "file": file,
        "saga": saga,
        "reached": total - len(missed),
        "total": total,
        "not_reached": [
            {"kind": goal.kind, "what": goal.what, "line": line} for goal, line in missed
        ],
    }


# --- For CI systems ----------------------------------------------------------------------------

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _clean(text: str) -> str:
    """The text without the characters that XML 1.0 cannot carry, not even escaped."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def as_junit(session: Session) -> str:
    """JUnit XML: a suite for each file, times in seconds of real time."""
    root = ElementTree.Element("testsuites", name="saga test")
    suites: dict[str, list[Tested]] = {}
    for tested in session.tested:
        suites.setdefault(tested.file, []).append(tested)
    for file, those in suites.items():
        failures = sum(not tested.result.passed for tested in those)
        suite = _suite(root, file, len(those), failures=failures)
        suite.set("time", f"{sum(tested.wall for tested in those):.3f}")
        for tested in those:
            _case(suite, tested)
    broken: dict[str, list[Diagnostic]] = {}
    for problem in session.problems:
        broken.setdefault(problem.span.file, []).append(problem)
    for file, problems in broken.items():
        suite = _suite(root, file, 1, errors=1)
        case = ElementTree.SubElement(
            suite, "testcase", classname=_clean(file), name="check", time="0.000"
        )
        error = ElementTree.SubElement(case, "error", message=_clean(problems[0].message))
        error.text = _clean("\n\n".join(full(d, session.sources) for d in problems))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False)


def _suite(
    root: ElementTree.Element, name: str, tests: int, failures: int = 0, errors: int = 0
) -> ElementTree.Element:
    suite = ElementTree.SubElement(root, "testsuite", name=_clean(name), skipped="0")
    for attribute, count in (("tests", tests), ("failures", failures), ("errors", errors)):
        suite.set(attribute, str(count))
    return suite


def _case(suite: ElementTree.Element, tested: Tested) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_clean(tested.file),
        name=_clean(tested.title),
        time=f"{tested.wall:.3f}",
    )
    if tested.result.passed:
        if tested.result.unused:
            ElementTree.SubElement(case, "system-out").text = _clean("\n".join(notes(tested)))
        return
    first: Sequence[Diagnostic] = diagnostics(tested)
    failure_ = ElementTree.SubElement(
        case, "failure", type=first[0].name, message=_clean(first[0].message)
    )
    failure_.text = _clean(failure_text(tested))
