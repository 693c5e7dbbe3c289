"""What is said when a run has ended: outcome, what was undone, what is owed, the ledger."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sagalang.cli.live import duration
from sagalang.cli.terminal import BOLD, GREEN, RED, YELLOW, paint
from sagalang.graph.structure import blocks_of
from sagalang.machine import events as m
from sagalang.machine.events import Purpose
from sagalang.model import program as p
from sagalang.model.types import KEY, RecordRef, Secret, Type
from sagalang.runtime import journal as j
from sagalang.runtime.shown import shown

if TYPE_CHECKING:
    from sagalang.interpret.run import RunResult
    from sagalang.runtime.fakes import FakeWorld
    from sagalang.runtime.values import Values

STATUS = {"completed": 0, "compensated": 1, "escalated": 1}


def outcome_data(program: p.Program, saga: p.Saga, result: RunResult, values: Values) -> Any:
    """The outcome as plain data, secrets covered."""
    match result.outcome:
        case m.Completed(value):
            return {"kind": "completed", "value": shown(value, saga.result, values)}
        case m.Compensated(error):
            fields = None
            if error.value is not None and error.name in program.errors:
                fields = shown(error.value, RecordRef(error.name), values)
            return {
                "kind": "compensated",
                "error": error.name,
                "fields": fields,
                "detail": error.detail,
            }
        case m.Escalated():
            return {"kind": "escalated"}


def data(
    program: p.Program,
    saga: p.Saga,
    result: RunResult,
    values: Values,
    world: FakeWorld | None,
) -> dict[str, Any]:
    """Everything a machine may want to know of a run."""
    entries = [e for e in result.journal if isinstance(e, j.OutcomeRecorded)]
    loose = _never_undone(program)
    made: dict[str, Any] = {
        "format_version": 1,
        "saga": saga.name,
        "id": result.saga_id,
        "outcome": outcome_data(program, saga, result, values),
        "steps": [
            {
                "step": str(e.place),
                "operation": e.label,
                "purpose": e.purpose.value,
                "outcome": e.kind,
                "error": e.error,
                "detail": _detail(e),
                "key": e.key,
            }
            for e in entries
        ],
        "compensated": [
            e.label for e in entries if e.purpose is Purpose.COMPENSATE and e.kind == "ok"
        ],
        "owed": [
            {
                "step": str(item.place),
                "operation": item.label,
                "purpose": item.purpose.value,
                "error": item.failure.name,
                "detail": item.failure.detail,
                "team": item.team,
            }
            for item in result.owed
        ],
        "held_back": [
            {"step": str(item.place), "operation": item.label} for item in result.held_back
        ],
        "kept": [
            {"step": str(e.place), "operation": e.label}
            for e in entries
            if e.purpose is Purpose.STEP
            and e.place.path in loose
            and e.kind in ("ok", "unknown")
            and not isinstance(result.outcome, m.Completed)
        ],
        "skipped": [
            {"step": str(e.place), "operation": e.label, "error": e.error}
            for e in entries
            if loose.get(e.place.path) == "best effort" and e.kind != "ok"
        ],
    }
    if world is not None:
        made["ledger"] = ledger_data(program, world)
    return made


def ledger_data(program: p.Program, world: FakeWorld) -> list[dict[str, Any]]:
    """What the fakes hold, as plain data, secrets covered: one row for all calls with one key."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in world.ledger:
        row = rows.setdefault(
            (entry.operation, entry.key, entry.args),
            {
                "operation": entry.operation,
                "key": entry.key,
                "args": _ledger_args(program, entry.operation, entry.args, world.values),
                "effect": entry.effect,
                "calls": 0,
            },
        )
        row["calls"] += entry.calls
        if _WEIGHT[entry.effect] > _WEIGHT[row["effect"]]:
            row["effect"] = entry.effect
    return list(rows.values())


_WEIGHT = {"none": 0, "undone": 1, "done": 2}


def ledger_lines(program: p.Program, world: FakeWorld) -> list[str]:
    """The same as a table."""
    return _ledger(ledger_data(program, world), program)


def as_json(made: dict[str, Any]) -> str:
    """JSON text with exact decimals."""
    import msgspec

    from sagalang.runtime.codec import dump

    return msgspec.json.format(dump(made), indent=2).decode()


def _detail(entry: j.OutcomeRecorded) -> str:
    return getattr(getattr(entry.value, "error", None), "detail", "")


def _never_undone(program: p.Program) -> dict[str, str]:
    """The steps that are never undone, by path: `best effort`, or the reason given."""
    found: dict[str, str] = {}

    def visit(block: p.Block) -> None:
        for statement in block.statements:
            match statement:
                case p.Step(path=path, best_effort=True):
                    found[path] = "best effort"
                case p.Step(path=path, compensation=p.NoCompensation(why)):
                    found[path] = why
            for inner in blocks_of(statement):
                visit(inner)

    for saga in program.sagas.values():
        visit(saga.body)
    return found


def _ledger_args(
    program: p.Program, label: str, args: tuple[Any, ...], values: Values
) -> dict[str, Any]:
    service, _, name = label.partition(".")
    operation = program.services[service].operations[name]
    return {
        param.name: shown(arg, param.type, values)
        for param, arg in zip(operation.params, args, strict=True)
        if arg is not None
    }


def full(
    program: p.Program,
    saga: p.Saga,
    result: RunResult,
    values: Values,
    world: FakeWorld | None,
    *,
    colour: bool,
    took: int,
) -> str:
    """The report as text. `took` in milliseconds."""
    made = data(program, saga, result, values, world)
    outcome = made["outcome"]
    tint = {"completed": GREEN, "compensated": YELLOW, "escalated": RED}[outcome["kind"]]
    head = paint(BOLD, paint(tint, outcome["kind"], colour), colour)
    if outcome["kind"] == "compensated":
        fields = outcome.get("fields")
        told = " " + _one_line(fields) if fields else ""
        head += f" with {outcome['error']}{told}"
    lines = [f"{head}  {saga.name} {result.saga_id}, {duration(took)}"]
    if outcome["kind"] == "compensated" and outcome["detail"]:
        lines.append(f"  because   {outcome['detail']}")
        if outcome["error"] == "NotSent" and world is None:
            lines.append("            are the services running? --mock runs on fakes of them")
    if outcome.get("value") is not None:
        lines.append(f"  value     {_one_line(outcome['value'])}")
    if made["compensated"]:
        lines.append(f"  undone    {', '.join(made['compensated'])}")
    elif outcome["kind"] == "compensated" and not made["kept"]:
        lines.append("  undone    nothing, because nothing had happened")
    if made["kept"]:
        kept = ", ".join(item["operation"] for item in made["kept"])
        lines.append(f"  kept      {kept}: declared never to be undone")
    lines += [
        f"  skipped   {item['operation']} (best effort, {item['error']})"
        for item in made["skipped"]
    ]
    lines += _owed(made["owed"])
    if made["held_back"]:
        held = ", ".join(item["operation"] for item in made["held_back"])
        lines.append(f"  then      {held}: held back until that is settled")
    if world is not None:
        lines += _left(program, result, world, colour)
        lines += ["", *_ledger(made["ledger"], program)]
    return "\n".join(lines)


def _owed(owed: list[dict[str, Any]]) -> list[str]:
    if not owed:
        return ["  owed      nothing"]
    lines = []
    for item in owed:
        what = f", which undoes {item['step']}" if item["purpose"] == "compensate" else ""
        team = f", for {item['team']}" if item["team"] else ""
        lines.append(f"  owed      {item['operation']}{what} ({item['error']}){team}")
        if item["detail"]:
            lines.append(f"            because {item['detail']}")
    return lines


def _left(program: p.Program, result: RunResult, world: FakeWorld, colour: bool) -> list[str]:
    """Effects that are there and that no step stands by. What is owed is told elsewhere."""
    from sagalang.scenario.effects import left
    from sagalang.scenario.result import Course
    from sagalang.scenario.stage import Stage

    if isinstance(result.outcome, m.Escalated):
        return []
    ledger, arrivals = tuple(world.ledger), tuple(world.arrivals)
    owed, journal = result.owed, result.journal
    course = Course(result.saga_id, 0, 0, result.outcome, owed, journal, arrivals, ledger)
    lines = []
    for found in left(Stage(program), course):
        said = f"  LEFT      {found.entry.operation}: {found.why}"
        lines.append(paint(RED, said, colour))
        if "had undone it" in found.why:
            lines.append("            `fences late` on its compensation prevents this")
    return lines


def _ledger(rows: list[dict[str, Any]], program: p.Program) -> list[str]:
    """What the services hold. Keys are shown whole: they are what one searches logs for."""
    if not rows:
        return ["ledger    empty: no service was reached"]
    undoing = {
        o.compensation.label
        for s in program.services.values()
        for o in s.operations.values()
        if o.compensation is not None
    }
    table = [("operation", "key", "effect", "calls")]
    for row in rows:
        key = row["key"] or _key_argument(program, row)
        # What an undoing call changed shows at the call that it undid.
        effect = "-" if row["operation"] in undoing else row["effect"]
        table.append((_called(row), key, effect, str(row["calls"])))
    widths = [max(len(line[i]) for line in table) for i in range(3)]
    out = ["ledger (what the services hold now)"]
    for line in table:
        cells = "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False))
        out.append(f"  {cells}  {line[3]:>5}".rstrip())
    return out


def _called(row: dict[str, Any]) -> str:
    """`Payment.charge("o-1", 18.50)`: the call with its short arguments, secrets covered."""
    from uuid import UUID

    parts: list[str] = []
    for value in row["args"].values():
        text = _one_line(value)
        try:
            UUID(text.strip('"'))
        except ValueError:
            parts.append(text if len(text) <= _LONG else "…")
    return f"{row['operation']}({', '.join(parts)})" if parts else row["operation"]


_LONG = 16


def _key_argument(program: p.Program, row: dict[str, Any]) -> str:
    """`of=…` where an operation names another one's key, as a refund names its charge."""
    service, _, name = row["operation"].partition(".")
    for param in program.services[service].operations[name].params:
        kind: Type = param.type.item if isinstance(param.type, Secret) else param.type
        if kind == KEY and param.name in row["args"]:
            return f"{param.name}={row['args'][param.name]}"
    return ""


def _one_line(value: Any) -> str:
    def default(item: Any) -> Any:
        return str(item)

    if isinstance(value, dict):
        parts = (f"{name}: {_one_line(item)}" for name, item in value.items())
        return "{ " + ", ".join(parts) + " }"
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=default)
