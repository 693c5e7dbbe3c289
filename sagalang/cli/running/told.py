"""What `saga run` says beside the report: at the beginning, in trouble, and what to do next."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sagalang.cli.running.engines import Began
    from sagalang.cli.running.journal import Keeping, Traces
    from sagalang.cli.running.plan import Plan
    from sagalang.cli.running.services import Fakes
    from sagalang.interpret.run import RunResult
    from sagalang.model import program as p
    from sagalang.runtime.journal_file import Header
    from sagalang.runtime.sqlite import Run as Row


def introduce(plan: Plan, progress: Any) -> None:
    where = "fakes of its services" if plan.mock else "its services"
    if plan.script is not None:
        where += ", in simulated time"
    progress(f"{plan.saga.name} on {where}" + (f", input {plan.origin}" if plan.origin else ""))


def wait_hints(program: p.Program, saga: p.Saga) -> dict[str, str]:
    """For each wait: which event it needs, and how to send it."""
    return {
        wait.path: f" for an event: --send '{wait.event}({_shape(program, wait, '{}: …')})'"
        for wait in _waits(saga.body)
    }


def signal_hints(began: Began) -> dict[str, str]:
    """The same for a run on a file, to which another process can send it."""
    program, signal = began.plan.loaded.program, f"saga signal {quote(began.saga_id)}"
    found = {}
    for wait in _waits(began.plan.saga.body):
        fields = _shape(program, wait, '"{}": …')
        found[wait.path] = f" for an event: {signal} {wait.event} '{{{fields}}}'{began.kept_in}"
    return found


def _shape(program: p.Program, wait: p.Wait, each: str) -> str:
    return ", ".join(each.format(field.wire) for field in program.events[wait.event].fields)


def _waits(block: p.Block) -> Iterator[p.Wait]:
    from sagalang.graph.structure import blocks_of
    from sagalang.model import program as p

    for statement in block.statements:
        if isinstance(statement, p.Wait):
            yield statement
        for inner in blocks_of(statement):
            yield from _waits(inner)


def as_it_is(journal: Sequence[Any]) -> str:
    """What a run that is given up in the middle leaves behind."""
    from sagalang.machine.events import Purpose
    from sagalang.runtime import journal as j

    there: dict[Any, str] = {}
    for entry in journal:
        match entry:
            case j.Intent(purpose=Purpose.STEP):
                there[entry.place] = f"{entry.label} (nobody knows)"
            case j.OutcomeRecorded(purpose=Purpose.STEP, kind="ok"):
                there[entry.place] = entry.label
            case j.OutcomeRecorded(purpose=Purpose.STEP, kind="rejected" | "not sent"):
                there.pop(entry.place, None)
            case j.OutcomeRecorded(purpose=Purpose.COMPENSATE, kind="ok"):
                there.pop(entry.place, None)
    return "left as it is: " + (", ".join(there.values()) or "nothing was done")


def say_remembered(plan: Plan, saga_id: str, label: str, kept_in: str | None) -> None:
    """A key that a service met before: this id was run already, and repeats have no new effect."""
    click.echo(
        f"\nnote: the services remember {saga_id} ({label} had seen its key), so nothing was done"
        f" twice\nnext: saga run {plan.loaded.program.main} --id {next_id(saga_id)}{kept_in or ''}"
    )


def next_id(saga_id: str) -> str:
    head, number = re.fullmatch(r"(.*?)(\d*)", saga_id, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{head}{int(number) + 1}" if number else f"{saga_id}-2"


def say_unused(plan: Plan, fakes: Fakes) -> None:
    """Faults that no call met: without this, one believes to have tested them."""
    all_faults = plan.struck(fakes.crashing.struck)
    missed = [_covered(plan, text) for text, struck in all_faults if not struck]
    if fakes.scripted is not None:
        missed += [
            f"{fault.operation} {fault.kind.value} (call {fault.call}, attempt {fault.attempt})"
            for fault in fakes.scripted.unused
        ]
    for text in missed:
        click.echo(f"\nnote: this fault never happened: {text}")


def _covered(plan: Plan, text: str) -> str:
    """The text of a fault, its arguments left out where one of them is a secret."""
    from sagalang.model.types import Secret

    operation = plan.operations.get(text.partition("(")[0].strip())
    secret = operation is not None and any(isinstance(x.type, Secret) for x in operation.params)
    return re.sub(r"\(.*\)", "(…)", text, count=1, flags=re.DOTALL) if secret else text


def say_on_record(plan: Plan, before: Row, kept_in: str | None) -> None:
    """A run that was over before it was asked for: nothing was called."""
    assert before.ended is not None
    another = f"{plan.loaded.program.main} --id {next_id(before.id)}{kept_in or ''}"
    click.echo(
        f"\nnote: {before.id} was {before.state.value} {_ago(before.ended)} already; nothing was"
        f" called\nnext: saga run {another}"
    )


def say_before(before: Row, *, edited: bool) -> None:
    """A run that went on from its journal. `edited`: the file says something else by now."""
    if before.state.value == "escalated":
        click.echo(f"\nnote: {before.id} was escalated {_ago(before.changed)} already")
    else:
        how = ", by the definition that it began with: the file has changed since" if edited else ""
        began = f"{before.id} began {_ago(before.began)} and went on from its journal"
        click.echo(f"\nnote: {began}{how}")


def _ago(moment: int) -> str:
    import time

    from sagalang.runtime.words import duration

    passed = max(0, time.time_ns() // 1_000_000 - moment)
    return f"{duration(passed)} ago"


def next_command(
    plan: Plan, result: RunResult, journal: str | None, kept_in: str | None = None
) -> None:
    """One thing to try next: to look at what went wrong, or, on a terminal, what else there is."""
    from sagalang.machine.events import Completed, Escalated

    if kept_in is not None and isinstance(result.outcome, Escalated):
        click.echo(f"\nnext: saga show {result.saga_id}{kept_in}")
        return
    if journal is not None and not isinstance(result.outcome, Completed):
        picture = Path(journal).with_suffix(".svg")
        click.echo(f"\nnext: saga render --journal {journal} -o {picture}")
        return
    if not sys.stdout.isatty():
        return
    file = plan.loaded.program.main
    if plan.mock and not plan.faults:
        rejections = [
            f"{o.label} rejects {o.rejects[0].error}"
            for s in plan.loaded.program.services.values()
            for o in s.operations.values()
            if o.rejects
        ]
        if rejections:
            click.echo(f'\nnext: saga run {file} --mock --fault "{rejections[-1]}"')
            return
    click.echo(f"\nnext: saga render {file} --to mermaid")


def say_traces(wanted: Traces, kept: Keeping, header: Header) -> None:
    """Write the picture, and say what was written and what was not. How the saga ended is more
    important: the exit status stays that of the run."""
    from sagalang.cli.running.journal import write_picture

    if wanted.journal is not None:
        if kept.problem:
            text = f"warning: the journal {wanted.journal} is not complete: {kept.problem}"
            click.echo(f"{text}; the run went on", err=True)
        else:
            click.echo(f"wrote {wanted.journal}", err=True)
    if wanted.picture is not None:
        problem = write_picture(wanted, header, kept.lines)
        if problem:
            click.echo(f"warning: {wanted.picture} was not written: {problem}", err=True)
        else:
            click.echo(f"wrote {wanted.picture}", err=True)
