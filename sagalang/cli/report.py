"""What is said when a run has ended: outcome, what was undone, what is owed, the ledger."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sagalang.cli.live import duration
from sagalang.cli.shown import shown
from sagalang.cli.terminal import BOLD, GREEN, RED, YELLOW, paint
from sagalang.machine import events as m
from sagalang.machine.events import Purpose
from sagalang.model import program as p
from sagalang.model.types import KEY, RecordRef, Secret, Type
from sagalang.runtime import journal as j

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
                "team": item.team,
            }
            for item in result.owed
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
    from sagalang.runtime.codec import dump

    return json.dumps(json.loads(dump(made), parse_float=_Exact), ensure_ascii=False, indent=2)


class _Exact(float):
    """A number that is printed as it was written."""

    def __new__(cls, text: str) -> _Exact:
        made = super().__new__(cls, text)
        made.text = text  # type: ignore[attr-defined]
        return made

    def __repr__(self) -> str:
        return str(self.text)  # type: ignore[attr-defined]


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
    elif outcome["kind"] == "compensated":
        lines.append("  undone    nothing, because nothing had happened")
    lines += _owed(made["owed"])
    if world is not None:
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
    return lines


def _ledger(rows: list[dict[str, Any]], program: p.Program) -> list[str]:
    """What the services hold. Keys are shown whole: they are what one searches logs for."""
    if not rows:
        return ["ledger    empty: no service was reached"]
    table = [("operation", "key", "effect", "calls")]
    for row in rows:
        key = row["key"] or ""
        undoes = _key_argument(program, row)
        table.append((row["operation"], key or undoes, row["effect"], str(row["calls"])))
    widths = [max(len(line[i]) for line in table) for i in range(3)]
    out = ["ledger (what the services hold now)"]
    for line in table:
        cells = "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False))
        out.append(f"  {cells}  {line[3]:>5}".rstrip())
    return out


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
