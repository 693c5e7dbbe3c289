"""Expressions and policies in a few words, as a picture can show them.

Arguments are shown by name; conditions as they are written, but without any literal that is
compared with a secret. Where values may be shown (`Shown`), an argument that is a literal is, if
neither it nor its parameter is a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sagalang.graph.durations import duration
from sagalang.model import program as p
from sagalang.model.types import EnumRef, Secret

_LONG = 60
_HIDDEN: Final = "…"
_STRENGTH: Final = {
    "or": 2,
    "and": 3,
    "==": 5,
    "!=": 5,
    "<": 5,
    "<=": 5,
    ">": 5,
    ">=": 5,
    "??": 6,
    "+": 7,
    "-": 7,
    "*": 8,
    "/": 8,
}
_LOOSE, _NOT, _COMPARED, _DEFAULT, _MINUS, _TIGHT = 0, 4, 5, 6, 9, 10


@dataclass(frozen=True, slots=True)
class Shown:
    """What a picture may show beside names. `values`: literals that are no secrets."""

    values: bool = False


NAMES: Final = Shown()


def call_text(
    operation: p.Operation, call: p.Call, of: p.Step | None = None, shown: Shown = NAMES
) -> str:
    """`reserve(order.id, qty)`. `of`: the step that the call undoes or asks about, which it means
    by `key` and `result`."""
    return f"{operation.name}({arguments(operation.params, call.args, of, shown)})"


def arguments(
    params: tuple[p.Param, ...],
    args: tuple[p.Expr | None, ...],
    of: p.Step | None = None,
    shown: Shown = NAMES,
) -> str:
    """The arguments by name; one that has no name as `…`, a text as `"…"`."""
    return ", ".join(
        _name_of(arg, of) or (shown.values and _value(param, arg)) or _nameless(arg)
        for param, arg in zip(params, args, strict=True)
        if arg is not None
    )


def _nameless(arg: p.Expr) -> str:
    match arg:
        case p.Convert(value=inner):
            return _nameless(inner)
        case p.Interpolate() | p.Const(value=str()) if not isinstance(arg.type, EnumRef):
            return f'"{_HIDDEN}"'
        case _:
            return _HIDDEN


def _value(param: p.Param, arg: p.Expr) -> str | None:
    """The text of a literal, or of a text with names in it; None for anything else, and for what
    is, or becomes, a secret."""
    if isinstance(param.type, Secret) or _is_secret(arg):
        return None
    match arg:
        case p.Const():
            return _shortened(_literal(arg))
        case p.Convert(value=inner):
            return _value(param, inner)
        case p.Unary(operator="-", operand=p.Const() as inner) if not _is_secret(inner):
            return f"-{_literal(inner)}"
        case p.Interpolate(parts=parts):
            return _shortened(f'"{"".join(map(_part, parts))}"')
        case _:
            return None


def _part(part: p.Expr) -> str:
    """A part of an interpolation as it is written, with names for what is put in."""
    match part:
        case p.Const(value=str() as text) if not isinstance(part.type, EnumRef | Secret):
            return text
        case p.Convert(value=inner):
            return _part(inner)
        case _:
            return f"${{{_name_of(part) or _HIDDEN}}}"


def _name_of(value: p.Expr, of: p.Step | None = None) -> str | None:
    match value:
        case p.Convert(value=inner):
            return _name_of(inner, of)
        case p.Ref(name=name) | p.ConstantRef(name=name):
            return name
        case p.Member(value=inner, name=name):
            head = _name_of(inner, of)
            return f"{head}.{name}" if head else None
        case p.KeyOf(step=None):
            return f"key of {of.call.operation}" if of is not None else "key"
        case p.KeyOf(step=step):
            return f"key({step})"
        case p.ResultOf():
            return of.name if of is not None and of.name else "result"
        case _:
            return None


def condition(value: p.Expr) -> str:
    """The text of a condition, shortened where it is long."""
    return _shortened(expression(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def expression(value: p.Expr) -> str:
    return _text(value, _LOOSE, False)


def _text(value: p.Expr, around: int, hidden: bool) -> str:
    """`around`: how strongly what stands around it binds. `hidden`: literals are not shown."""

    def part(inner: p.Expr, strength: int = _LOOSE) -> str:
        return _text(inner, strength, hidden)

    def grouped(text: str, strength: int) -> str:
        return f"({text})" if strength < around else text

    match value:
        case p.Const():
            return _HIDDEN if hidden or isinstance(value.type, Secret) else _literal(value)
        case p.Convert(value=inner):
            return _text(inner, around, hidden)
        case p.Index(value=inner, index=index):
            return f"{part(inner, _TIGHT)}[{part(index)}]"
        case p.Member(value=inner, name=name):
            return f"{part(inner, _TIGHT)}.{name}"
        case p.Unary(operator="not", operand=inner):
            return grouped(f"not {part(inner, _NOT)}", _NOT)
        case p.Unary(operator=operator, operand=inner):
            return grouped(f"{operator}{part(inner, _MINUS)}", _MINUS)
        case p.Binary(operator=operator, left=left, right=right):
            own = _STRENGTH[operator]
            hide = hidden or _is_secret(left) or _is_secret(right)
            # As the grammar groups: `??` from the right, comparisons not at all, all else left.
            from_left = own not in (_COMPARED, _DEFAULT)
            before = _text(left, own if from_left else own + 1, hide)
            after = _text(right, own if own == _DEFAULT else own + 1, hide)
            return grouped(f"{before} {operator} {after}", own)
        case p.Conditional(condition=test, then=then, otherwise=otherwise):
            return grouped(f"if {part(test)} then {part(then)} else {part(otherwise)}", _LOOSE)
        case p.Apply(function=function, args=args):
            return f"{function}({', '.join(part(arg) for arg in args)})"
        case p.MakeList(items=items):
            return f"[{', '.join(part(item) for item in items)}]"
        case p.Comprehension(element=element, variable=variable, source=source, condition=test):
            tail = f" if {part(test)}" if test is not None else ""
            return f"[{part(element)} for {variable} in {part(source)}{tail}]"
        case _:
            return _name_of(value) or _HIDDEN


def loop(statement: p.For) -> str:
    """`for item in order.items, 4 at once`."""
    pace = f", {statement.at_once} at once" if statement.at_once > 1 else ""
    return f"for {statement.variable} in {condition(statement.source)}{pace}"


def each(statement: p.For) -> str:
    """What undoes a loop is done for each iteration: `each item, last first`."""
    return f"each {statement.variable}, {_pace(statement)}"


def each_begun(statement: p.For) -> str:
    """The same of a loop that may not have come to its end."""
    return f"each {statement.variable} begun, {_pace(statement)}"


def each_happened(statement: p.For) -> str:
    """The same, wherever the saga failed."""
    return f"each {statement.variable} where it happened, {_pace(statement)}"


def each_other(statement: p.For) -> str:
    """The same of a loop in which one iteration failed, which is not meant."""
    if statement.at_once == 1:
        return f"each {statement.variable} before it, {_pace(statement)}"
    return f"each other {statement.variable} begun, {_pace(statement)}"


def _pace(statement: p.For) -> str:
    return "last first" if statement.at_once == 1 else f"{statement.at_once} at once"


def ways(statement: p.If | p.Attempt) -> tuple[str, ...]:
    """What each way through the statement is called, looking back at it: what was done there is
    undone."""
    if isinstance(statement, p.If):
        test = condition(statement.condition)
        return test, f"not ({test})"
    return "what the attempt did, if it went well", *(
        f"what was done instead, after {' or '.join(handler.errors)}"
        for handler in statement.handlers
    )


def sleep(statement: p.Sleep) -> str:
    """`sleep 5s`, `sleep until order.due`."""
    return f"sleep {'until ' if statement.until else ''}{condition(statement.value)}"


def event(wait: p.Wait) -> str:
    """The name of an awaited event, and which of those it is."""
    return wait.name + (f" where {condition(wait.where)}" if wait.where is not None else "")


def poll(statement: p.Poll) -> str:
    """`every 1s until paid, within 1m`."""
    label = f"every {duration(statement.every)} until {condition(statement.until)}"
    return f"{label}, within {duration(statement.within)}"


def _is_secret(value: p.Expr) -> bool:
    return isinstance(value.type, Secret)


def _literal(value: p.Const) -> str:
    match value.value:
        case None:
            return "null"
        case bool():
            return "true" if value.value else "false"
        case timedelta():
            return duration(round(value.value.total_seconds() * 1_000))
        case str() if isinstance(value.type, EnumRef):
            return f"{value.type.name}.{value.value}"
        case str():
            return f'"{value.value}"'
        case _:
            return str(value.value)


def policy(value: p.Policy) -> str:
    """`up to 4 retries, timeout 2s`: what a reader of the picture needs of it."""
    words = []
    if value.retry is not None:
        retries = value.retry.retries
        words.append(retries_up_to(retries))
    if value.timeout is not None:
        words.append(f"timeout {duration(value.timeout)}")
    if value.total is not None:
        words.append(f"total {duration(value.total)}")
    return ", ".join(words)


def retries_up_to(count: int | None) -> str:
    if count is None:
        return "retry forever"
    return "no retries" if count == 0 else f"up to {count} retr{'y' if count == 1 else 'ies'}"


def retries_forever(value: p.Policy) -> bool:
    return value.retry is not None and value.retry.retries is None


def takes_over(escalation: p.Escalation, *, forever: bool) -> str:
    """When a team is called. Where it is retried for ever that is by time, and retrying goes on."""
    if forever:
        when = f"if refused, or not done after {duration(escalation.after)}"
    else:
        when = "if that fails"
    return f"{when}, {escalation.team} takes over"


def policy_in_full(value: p.Policy) -> str:
    """Every clause, for who wants to know: `timeout 2s, up to 4 retries (back-off 200ms), …`."""
    clauses = [f"timeout {duration(value.timeout or p.DEFAULT_TIMEOUT)}"]
    if value.total is not None:
        clauses.append(f"total {duration(value.total)}")
    if value.retry is not None:
        clauses.append(_retry(value.retry))
    if value.budget is not None:
        clauses.append(f"retry budget {value.budget.percent}%")
    if value.breaker is not None:
        b = value.breaker
        clauses.append(
            f"breaker opens at {b.percent}% of {b.calls} calls in {duration(b.window)},"
            f" probes after {duration(b.probe_after)}"
        )
    if value.rate is not None:
        clauses.append(f"rate {value.rate.calls} per {duration(value.rate.per)}")
    if value.bulkhead is not None:
        queue = f", queue {value.bulkhead.queue}" if value.bulkhead.queue else ""
        clauses.append(f"bulkhead {value.bulkhead.limit}{queue}")
    return ", ".join(clauses)


def _retry(retry: p.Retry) -> str:
    growth = f" * {retry.factor}" if retry.factor != 1 else ""
    cap = f" up to {duration(retry.cap)}" if retry.cap is not None else ""
    return f"{retries_up_to(retry.retries)} (back-off {duration(retry.backoff)}{growth}{cap})"
