"""Which parts of a saga may be exchanged without anybody noticing, by its text alone.

Like are branches of one `parallel` that say the same but for the names of their steps and the
operations they call, these promising the same; and the iterations of a concurrent loop over a list
of which nothing is known. Values that no condition looks at are not compared: nothing depends on
them. Not like is what the machine takes in text order (a `wait`: an event goes to the first that
waits), what may be told apart outside, and the pivot, of which there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from sagalang.graph.structure import blocks_of, bodies, statements
from sagalang.machine.definition import Definition, Ref
from sagalang.model import program as p
from sagalang.model.types import (
    EnumRef,
    Null,
    Primitive,
    Type,
    required,
    reveal,
)
from sagalang.verify.decides import bound, deciding, expressions, inside, names, total
from sagalang.verify.values import LENGTHS, Symbol

_FUNCTIONS: Final = frozenset(
    [
        "len",
        "sum",
        "min",
        "max",
        "contains",
        "lower",
        "upper",
        "round",
        "now",
        "not",
        "true",
        "false",
        "null",
        "with",
        "for",
        "in",
    ]
)


@dataclass(frozen=True)
class Like:
    """Parts that may be exchanged, in text order. Each field but the first two has one item for
    each part; the n-th name in one stands for the n-th in another."""

    ref: Ref
    """The `parallel`, or the loop."""
    loop: str
    """The loop's path; empty for a `parallel`."""
    positions: tuple[int, ...]
    """Which branches, or iterations, they are."""
    identities: tuple[str, ...]
    """Of the iterations."""
    paths: tuple[tuple[str, ...], ...]
    blocks: tuple[tuple[int, ...], ...]
    names: tuple[tuple[str, ...], ...]
    words: tuple[tuple[str, ...], ...]
    """What the texts of symbols call the values that a part brings about."""


def likes(definition: Definition, args: Mapping[str, Any]) -> tuple[Like, ...]:
    """The outermost like parts of a saga. `args`: the values of its parameters."""
    blocks = bodies(definition.saga)
    if any(isinstance(s, p.ChildStep) for block in blocks for s in statements(block)):
        return ()  # what a child saga knows of its parent's values is not renamed
    found: list[Like] = []
    within: set[int] = set()
    for ref in sorted(definition.children, key=lambda ref: (ref.block, ref.index)):
        if ref.block in within:
            continue
        match definition.statement(ref):
            case p.Parallel() as parallel:
                more = list(_branches(definition, ref, parallel, args))
            case p.For(at_once=at_once) as loop if at_once > 1:
                more = list(_iterations(definition, ref, loop, args))
            case _:
                continue
        found += more
        within |= {number for like in more for numbers in like.blocks for number in numbers}
    return tuple(found)


# --- Branches ------------------------------------------------------------------------------------


def _branches(
    definition: Definition, ref: Ref, parallel: p.Parallel, args: Mapping[str, Any]
) -> Iterator[Like]:
    decide = deciding(bodies(definition.saga))
    outside = deciding(bodies(definition.saga), parallel.branches)
    groups: list[tuple[Any, list[tuple[int, _Shape]]]] = []
    for index, branch in enumerate(parallel.branches):
        shape = _Shape(definition, decide)
        told = shape.block(branch)
        mine = {name for statement in statements(branch) for name in bound(statement)}
        if not shape.plain or mine & outside or not _clear(definition, args, shape.paths):
            continue
        for known, members in groups:
            if known == told and _exchangeable(shape, [other for _, other in members]):
                members.append((index, shape))
                break
        else:
            groups.append((told, [(index, shape)]))
    children = definition.children[ref]
    for _, members in groups:
        if len(members) > 1:
            paths = tuple(tuple(shape.paths) for _, shape in members)
            yield Like(
                ref=ref,
                loop="",
                positions=tuple(index for index, _ in members),
                identities=(),
                paths=paths,
                blocks=tuple(tuple(_numbers(definition, children[index])) for index, _ in members),
                names=tuple(tuple(shape.names) for _, shape in members),
                words=paths,
            )


def _exchangeable(shape: _Shape, others: list[_Shape]) -> bool:
    """Whether names can be renamed everywhere at once: the same in all, or different ones."""
    return all(
        list(shape.names) == list(other.names) or not set(shape.names) & set(other.names)
        for other in others
    )


def _numbers(definition: Definition, block: int) -> Iterator[int]:
    yield block
    for index in range(len(definition.blocks[block].statements)):
        for child in definition.children.get(Ref(block, index), ()):
            yield from _numbers(definition, child)


def pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Finds any of the words in the text of a symbol, but not inside a longer name."""
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<![\w.#])(?:{'|'.join(map(re.escape, longest_first))})(?![\w#])")


def _clear(definition: Definition, args: Mapping[str, Any], words: Iterable[str]) -> bool:
    """Whether the words mean nothing else in the texts of symbols."""
    program = definition.program
    texts = [*_FUNCTIONS, *program.errors, *program.events]
    texts += [param.name for param in definition.saga.params]
    texts += [repr(value) for value in args.values() if not isinstance(value, Symbol)]
    for expr in (*expressions(definition), *inside(c.value for c in program.constants.values())):
        match expr:
            case p.Const(value=value):
                texts.append(str(value))
            case p.MakeRecord(fields=fields) | p.Update(fields=fields):
                texts += [name for name, _ in fields]
            case _:
                pass
    found = pattern(words)
    return not any(found.search(text) for text in texts)


class _Shape:
    """What a branch says, without the names that differ between like branches."""

    def __init__(self, definition: Definition, decide: frozenset[str]) -> None:
        self.definition, self.program, self.deciding = definition, definition.program, decide
        self.names: dict[str, int] = {}
        self.paths: list[str] = []
        self.plain = True
        """Whether nothing in it is unlike everything else."""

    def block(self, block: p.Block) -> Any:
        told = [self.statement(statement) for statement in block.statements]
        return told, [self.bind(name) for name, _ in block.exports]

    def bind(self, name: str | None) -> int | None:
        if name is None or name not in self.deciding:
            return None
        return self.names.setdefault(name, len(self.names))

    def statement(self, statement: p.Statement) -> Any:
        path = getattr(statement, "path", None)
        if path is not None:
            self.paths.append(path)
        told: list[Any] = [type(statement).__name__]
        match statement:
            case p.Step(compensation=compensation, escalate=escalate):
                self.plain &= not statement.pivot
                told += [self.call(statement.call), statement.policy, escalate is not None]
                told += [statement.best_effort, statement.before_pivot, statement.after_pivot]
                told.append(type(compensation))
                if isinstance(compensation, p.Compensation):
                    told += [self.call(compensation.call), compensation.policy]
                    told += [compensation.escalate is not None, _needs_result(compensation)]
                told.append(self.bind(statement.name))
            case p.Poll(path=path, otherwise=otherwise):
                # Answers about a poll are told by the end of its name.
                others = (other for other in self.definition.statements if other != path)
                self.plain &= not any(other.endswith(path) for other in others)
                told += [self.call(statement.call), statement.policy]
                told += [self.bind(statement.name), self.expr(statement.until)]
                told.append(type(otherwise))
                if isinstance(otherwise, p.Abort):
                    told.append(self.statement(otherwise))
            case p.Let(name=name, value=value):
                bare = name not in self.deciding and total(value)
                told += [None if bare else self.expr(value), self.bind(name)]
            case p.If(condition=condition):
                told.append(self.expr(condition))
            case p.Abort(error=error, fields=fields):
                told += [error, [(name, self.expr(value)) for name, value in fields]]
            case p.Sleep(value=value, until=until):
                told += [self.expr(value), until]
            case p.For(source=source, by=by, at_once=at_once):
                told += [self.expr(source), at_once, self.bind(statement.variable)]
                told.append(None if by is None else self.expr(by))
            case p.Attempt(handlers=handlers):
                told += [(handler.errors, self.bind(handler.binder)) for handler in handlers]
            case p.Parallel():
                pass
            case _:
                self.plain = False
        return told + [self.block(inner) for inner in blocks_of(statement)]

    def call(self, call: p.Call) -> Any:
        operation = self.program.operation(call)
        told = [self.contract(operation), self.opaque(call.args)]
        if operation.probe is not None:
            told.append(self.contract(self.program.operation(operation.probe)))
            probing = _Shape(self.definition, frozenset())  # it sees the operation's names only
            told.append(probing.opaque(operation.probe.args))
            self.plain &= probing.plain
        return told

    def contract(self, operation: p.Operation) -> Any:
        errors = [rejection.error for rejection in operation.rejects]
        empty = isinstance(operation.result, Null)
        return operation.is_query, operation.promises, errors, empty

    def opaque(self, args: Iterable[p.Expr | None]) -> Any:
        return [None if arg is None or total(arg) else self.expr(arg) for arg in args]

    def expr(self, value: Any) -> Any:
        match value:
            case p.Ref(name=name, type=type_):
                return self.names.get(name, name), type_
            case p.KeyOf() | p.Comprehension() | p.Apply(function="now"):
                self.plain = False  # the text of such a value names its place in the program
                return None
            case Struct():
                fields = (name for name in value.__struct_fields__ if name != "span")
                return type(value), [self.expr(getattr(value, name)) for name in fields]
            case tuple():
                return [self.expr(item) for item in value]
            case _:
                return value


def _needs_result(compensation: p.Compensation) -> bool:
    return any(isinstance(expr, p.ResultOf) for expr in inside(compensation.call.args))


# --- Iterations ----------------------------------------------------------------------------------


def _iterations(
    definition: Definition, ref: Ref, loop: p.For, args: Mapping[str, Any]
) -> Iterator[Like]:
    whole = bodies(definition.saga)
    shape = _Shape(definition, deciding(whole))
    shape.block(loop.body)
    mine = {name for statement in statements(loop.body) for name in bound(statement)}
    source = _text(definition, loop.source, args)
    if (
        source is None
        or definition.loops[loop.path]
        or not shape.plain
        or mine & deciding(whole, (loop.body,))
        or any(isinstance(expr, p.Index) for expr in expressions(definition))
        or not all(
            _other_items(definition, loop, other, source, args)
            for block in whole
            for other in statements(block)
        )
    ):
        return
    items = tuple(f"{source}[{index}]" for index in range(max(LENGTHS)))
    identities = _identities(loop, items)
    if not identities:
        return
    words = tuple(
        (item, *(f"{path}[{identity}]" for path in shape.paths))
        for item, identity in zip(items, identities, strict=True)
    )
    if not _clear(definition, args, [word for some in words for word in some]):
        return
    yield Like(
        ref=ref,
        loop=loop.path,
        positions=tuple(range(len(items))),
        identities=identities,
        paths=(tuple(shape.paths),) * len(items),
        blocks=(tuple(_numbers(definition, definition.children[ref][0])),) * len(items),
        names=((),) * len(items),
        words=words,
    )


def _other_items(
    definition: Definition, loop: p.For, other: p.Statement, source: str, args: Mapping[str, Any]
) -> bool:
    """Whether another loop is not about the same items."""
    if not isinstance(other, p.For) or other is loop:
        return True
    if loop.path in definition.loops[other.path] and loop.variable in names((other.source,)):
        return True
    return _text(definition, other.source, args) not in (None, source)


def _text(definition: Definition, source: p.Expr, args: Mapping[str, Any]) -> str | None:
    """What a list is called of which nothing is known; None where this cannot be said."""
    match source:
        case p.Convert(value=value):
            return _text(definition, value, args)
        case p.Member(value=value, name=name):
            inner = _text(definition, value, args)
            return None if inner is None else f"{inner}.{name}"
        case p.Ref(name=name):
            whole = bodies(definition.saga)
            binders = [s for block in whole for s in statements(block) if name in bound(s)]
            match binders:
                case [] if isinstance(args.get(name), Symbol):
                    return str(args[name].text)
                case [p.Step(path=path, best_effort=False)] if not definition.loops[path]:
                    return path
    return None


def _identities(loop: p.For, items: tuple[str, ...]) -> tuple[str, ...]:
    """Of the iterations, as the machine makes them of `by`; none where this cannot be said."""
    if loop.by is None:
        return tuple(str(index) for index in range(len(items)))
    by, suffix = loop.by, ""
    while isinstance(by, p.Member):
        suffix, by = f".{by.name}{suffix}", by.value
    if isinstance(by, p.Ref) and by.name == loop.variable and _scalar(loop.by.type):
        return tuple(f"{item}{suffix}" for item in items)
    return ()


def _scalar(type_: Type) -> bool:
    """Whether a symbol of this type stands for itself where the machine must know the value."""
    bare = required(reveal(type_))
    return isinstance(bare, EnumRef) or (
        isinstance(bare, Primitive) and bare.name not in ("bool", "duration", "datetime")
    )
