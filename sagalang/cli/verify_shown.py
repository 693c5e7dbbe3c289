"""What `saga verify` prints: text for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import Any

from sagalang.cli.files import write_text
from sagalang.cli.terminal import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    coloured,
    paint,
    progress,
    usage_error,
)
from sagalang.diagnostics import render
from sagalang.model.program import Program
from sagalang.render.journal import LateArrival
from sagalang.render.journal import model as picture
from sagalang.render.text import emit
from sagalang.runtime import journal as j
from sagalang.runtime.fault_script import write_script as script_text
from sagalang.verify.account import Row, ledger
from sagalang.verify.closed_form import Endless
from sagalang.verify.counterexample import Counterexample, counterexample
from sagalang.verify.explore import Path
from sagalang.verify.told import diagnostic, diagnostics, distinct
from sagalang.verify.trace import FAULT, faults, trace
from sagalang.verify.verify import Found, Settings, Verdict
from sagalang.verify.worst import WorstCase, time_text, worst_case
from sagalang.workspace import Loaded

INDENT = "  "


def full(loaded: Loaded, verdict: Verdict, settings: Settings, took: float, drawn: int) -> str:
    """The verdict on one saga, with at most `drawn` counterexamples."""
    colour = coloured(sys.stdout)
    found = list(distinct(verdict))
    parts: list[str] = []
    for one in found[:drawn]:
        parts.append(render.full(diagnostic(verdict, one), loaded.sources, colour=colour))
        parts.append(picture_of(one, colour))
        parts.append(_playable(counterexample(loaded.program, one)))
    if len(found) > drawn:
        parts.append(f"and {len(found) - drawn} more: see --format concise")
    parts.append("\n".join(_summary(loaded, verdict, settings, took, colour)))
    return "\n\n".join(parts)


def picture_of(found: Found, colour: bool) -> str:
    """What happens, drawn, and what everybody knows at the end of it."""
    made = trace(found.model, found.path)
    entries: list[j.Entry | LateArrival] = list(made.entries)
    marks, undelivered = dict(made.marks), set(made.undelivered)
    for index, arriving, text in sorted(made.late, reverse=True):
        entries.insert(index, LateArrival(0, arriving, text))
        marks = {i + (i >= index): mark for i, mark in marks.items()}
        undelivered = {i + (i >= index) for i in undelivered}
    for row in ledger(found):
        if "under way" in row.reality:
            label = row.step.rsplit(" > ", 1)[-1].split(" [")[0]
            entries.append(LateArrival(0, label, f"{FAULT}now the late request arrives"))
    program, saga = found.model.program, found.model.saga
    drawn = emit(picture(program, saga, entries, marks=marks, undelivered=undelivered))
    return f"{drawn.rstrip()}\n\n{_ledger(ledger(found), colour)}"


def _playable(made: Counterexample) -> str:
    """The same as a scenario to paste, or why there is none."""
    if made.scenario is not None:
        return f"paste this, and `saga test` fails until it is mended:\n\n{made.scenario.rstrip()}"
    if made.reproduced is False:
        return "note: no run on fakes in simulated time could be found that shows this"
    return "note: scenarios have no words for this; --script FILE writes it as a fault script"


def _ledger(rows: Sequence[Row], colour: bool) -> str:
    if not rows:
        return ""
    heads = ("step", "the orchestrator believes", "in reality")
    cells = [heads, *((row.step, row.believes, row.reality) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = []
    for number, row in enumerate(cells):
        line = "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
        wrong = number > 0 and rows[number - 1].wrong
        lines.append(
            INDENT
            + (paint(BOLD, line, colour) if number == 0 else paint(RED, line, colour and wrong))
        )
    return "\n".join(lines)


def _summary(
    loaded: Loaded, verdict: Verdict, settings: Settings, took: float, colour: bool
) -> Iterator[str]:
    mark = paint(GREEN, "ok", colour) if verdict.holds else paint(RED, "FAIL", colour)
    if verdict.holds and not verdict.complete:
        mark = paint(YELLOW, "cut", colour)
    count = len(list(distinct(verdict)))
    said = _count(count, "finding") if count else "nothing found"
    name = paint(BOLD, verdict.saga, colour)
    yield f"{mark}  {name}: {said}; {coverage(verdict, settings)}"
    work = f"{verdict.worlds:,} worlds, {verdict.steps:,} steps, {took:.1f} s"
    yield INDENT + paint(DIM, work, colour)
    ends = ", ".join(_ends(verdict))
    yield f"{INDENT}ends      {ends}"
    for items, path in verdict.escalations.items():
        why = "; ".join(faults(path)) or "without any fault"
        yield f"{INDENT}escalates {' and '.join(_item(i) for i in items)}: {why}"
    worst = worst_case(loaded.program, verdict.saga)
    yield from _worst(worst)
    bounded = verdict.faults is not None or not verdict.complete
    within = " that was explored" if bounded else ""
    for what, statement in verdict.unreached:
        source = loaded.sources[statement.span.file]
        line = source.position(statement.span.start).line
        name = getattr(statement, "path", "")
        yield f"{INDENT}never     {what} {name} (line {line}): nothing{within} leads there"


def coverage(verdict: Verdict, settings: Settings) -> str:
    """How much was explored, honestly."""
    crashes = settings.options.crashes
    deaths = f"{crashes} crash" if crashes == 1 else f"{crashes} crashes"
    if verdict.stopped:
        return "not complete: stopped"
    if not verdict.complete:
        states = settings.bounds.states
        return f"not complete: cut at {states:,} worlds (--max-states, or --faults N for fewer)"
    if verdict.faults is not None:
        return f"complete up to {_count(verdict.faults, 'fault')}, {deaths}"
    return f"complete (every combination of faults, {deaths})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _ends(verdict: Verdict) -> Iterator[str]:
    for outcome in verdict.outcomes:
        if outcome == "compensated" and verdict.errors:
            yield f"compensated ({', '.join(verdict.errors)})"
        else:
            yield outcome


def _item(item: str) -> str:
    purpose, _, path = item.partition(" ")
    match purpose:
        case "compensate":
            return f"the undoing of {path}"
        case "resolve":
            return f"what became of {path}"
        case _:
            return path


def _worst(worst: WorstCase) -> Iterator[str]:
    ways = [
        ("until the point of no return", worst.until_pivot),
        ("until it completes", worst.forward),
        ("until it is undone", worst.undone),
    ]
    head = "at most  "
    for until, form in ways:
        if form is not None:
            yield f"{INDENT}{head} {until}: {time_text(form).removesuffix(' until')}"
            head = " " * len(head)
    bounded = [str(one) for one in worst.calls if not isinstance(one.at_most, Endless)]
    endless = [one.operation for one in worst.calls if isinstance(one.at_most, Endless)]
    told = "; ".join(bounded)
    if endless:
        told += ("; " if told else "") + f"no limit: {', '.join(endless)}"
    yield f"{INDENT}calls     {told}"


def concise(loaded: Loaded, verdict: Verdict, settings: Settings) -> str:
    lines = [render.concise(d, loaded.sources) for d in diagnostics(verdict)]
    whole = coverage(verdict, settings)
    return "\n".join([*lines, f"{verdict.saga}: {_count(len(lines), 'finding')}, {whole}"])


def as_json(loaded: Loaded, verdicts: Sequence[Verdict], settings: Settings) -> str:
    """One object: `format_version` and a verdict for each saga."""
    rows = [_data(loaded, verdict, settings) for verdict in verdicts]
    return json.dumps({"format_version": 1, "verdicts": rows}, ensure_ascii=False, indent=2)


def _data(loaded: Loaded, verdict: Verdict, settings: Settings) -> dict[str, Any]:
    def way(path: Path) -> dict[str, Any]:
        return {"faults": path.faults, "ways": list(faults(path))}

    def row(found: Found) -> dict[str, Any]:
        made = counterexample(loaded.program, found)
        told = json.loads(render.to_json([diagnostic(verdict, found)], loaded.sources))
        return {
            **told["diagnostics"][0],
            "rule": found.breach.rule,
            **way(found.path),
            "confirmed_in_whole": found.whole,
            "reproduced": made.reproduced,
            "script": json.loads(script_text(made.script)),
            "scenario": made.scenario,
            "ledger": [
                {"step": r.step, "believes": r.believes, "reality": r.reality, "wrong": r.wrong}
                for r in ledger(found)
            ],
        }

    return {
        "saga": verdict.saga,
        "holds": verdict.holds,
        "complete": verdict.complete,
        "up_to_faults": verdict.faults,
        "crashes": settings.options.crashes,
        "worlds": verdict.worlds,
        "steps": verdict.steps,
        "breaches": [row(found) for found in distinct(verdict)],
        "outcomes": {name: way(path) for name, path in verdict.outcomes.items()},
        "errors": {name: way(path) for name, path in verdict.errors.items()},
        "escalations": [
            {"open": list(items), **way(path)} for items, path in verdict.escalations.items()
        ],
        "unreached": [
            {"what": what, "path": getattr(statement, "path", "")}
            for what, statement in verdict.unreached
        ],
        "worst_case": worst_case(loaded.program, verdict.saga).as_json(),
    }


def write_script(program: Program, found: Sequence[Found], file: str) -> None:
    """The first counterexample's fault script, whole or not at all."""
    if not found:
        progress(f"{file} was not written: nothing was found")
        return
    try:
        write_text(FilePath(file), script_text(counterexample(program, found[0]).script))
    except OSError as error:
        usage_error(f"cannot write {file}: {error.strerror}", "choose another place for --script")
    progress(f"wrote {file}")


def next_command(file: str, verdicts: Sequence[Verdict]) -> str:
    if any(not verdict.holds for verdict in verdicts):
        return (
            f"next: mend it; or play the first: saga verify {file} --script faults.json,"
            f" then saga run {file} --mock --faults faults.json"
        )
    return f"next: saga test {file}"
