"""Arguments laid out along the parameters of what is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from msgspec.structs import replace

from sagalang.diagnostics.suggest import hint
from sagalang.model import program as p
from sagalang.model.expressions import Typing
from sagalang.model.types import NULL, is_optional
from sagalang.syntax import ast
from sagalang.text import Span


def arguments(
    typing: Typing,
    params: Sequence[p.Param],
    args: Sequence[ast.Arg],
    what: str,
    where: Span,
    declared: Span | None = None,
) -> tuple[p.Expr | None, ...]:
    """One expression per parameter, None where an optional one was left out.

    Positional arguments come first, named ones after them. `what` names the callee in messages.
    """
    context = typing.context
    given: dict[str, p.Expr] = {}
    by_name = {param.name: param for param in params}
    other = (declared, "declared here") if declared else None
    named = unknown = False
    for position, arg in enumerate(args):
        if arg.name is None:
            if named:
                unknown = True
                typing.infer(arg.value)
                context.report(
                    "unknown-argument",
                    arg.span,
                    "an argument without a name stands behind one with a name",
                    help="name it too, or move it to the front",
                )
                continue
            if position >= len(params):
                typing.infer(arg.value)
                context.report(
                    "unknown-argument",
                    arg.span,
                    f"{what} takes {_count(len(params))}",
                    other=other,
                    help="remove it",
                )
                continue
            param = params[position]
        else:
            named = True
            found = by_name.get(arg.name.text)
            if found is None:
                unknown = True
                typing.infer(arg.value)
                context.report(
                    "unknown-argument",
                    arg.name.span,
                    f"{what} has no parameter `{arg.name.text}`",
                    other=other,
                    help=hint(arg.name.text, by_name)
                    or (f"its parameters are {_list(by_name)}" if by_name else None),
                )
                continue
            param = found
        if param.name in given:
            typing.infer(arg.value)
            context.report(
                "duplicate-name", arg.span, f"`{param.name}` is given twice", help="remove one"
            )
            continue
        given[param.name] = typing.check(
            arg.value, param.type, f"the parameter `{param.name}` of {what}"
        )
    missing = [x.name for x in params if x.name not in given and not is_optional(x.type)]
    if missing and not unknown:  # else what is missing is most likely there under a wrong name
        context.report(
            "missing-argument",
            where,
            f"{what} needs {_list(missing)}",
            other=other,
            help=f"add {_list(missing)}",
        )
    return tuple(given.get(param.name) for param in params)


def _count(number: int) -> str:
    words = ("no arguments", "one argument")
    return words[number] if number < 2 else f"{number} arguments"


def _list(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def substitute(value: p.Expr, params: Mapping[str, p.Expr | None]) -> p.Expr:
    """The expression with the operation's parameters replaced by a step's own arguments."""
    if isinstance(value, p.Ref):
        if value.name in params:
            return params[value.name] or p.Const(None, NULL, value.span)
        return value
    return cast(p.Expr, _rebuild(value, params))


def _rebuild(value: Any, params: Mapping[str, p.Expr | None]) -> Any:
    changed: dict[str, Any] = {}
    for name in value.__struct_fields__:
        old = getattr(value, name)
        new = _replace_in(old, params)
        if new is not old:
            changed[name] = new
    return replace(value, **changed) if changed else value


def _replace_in(old: Any, params: Mapping[str, p.Expr | None]) -> Any:
    if isinstance(old, tuple) and not hasattr(old, "_fields"):
        made = tuple(_replace_in(part, params) for part in old)
        return made if any(a is not b for a, b in zip(made, old, strict=True)) else old
    if isinstance(old, EXPRESSIONS):
        return substitute(cast(p.Expr, old), params)
    return old


EXPRESSIONS = cast("tuple[type, ...]", p.Expr.__args__)


def uses_result(call: p.Call) -> bool:
    return any(arg is not None and mentions(arg, p.ResultOf) for arg in call.args)


def uses_key(call: p.Call) -> bool:
    return any(arg is not None and mentions(arg, p.KeyOf) for arg in call.args)


def mentions(value: Any, kind: type) -> bool:
    """Whether a node of this kind stands anywhere in an expression."""
    if isinstance(value, kind):
        return True
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return any(mentions(part, kind) for part in value)
    if isinstance(value, EXPRESSIONS):
        node: Any = value
        return any(mentions(getattr(node, name), kind) for name in node.__struct_fields__)
    return False
