"""First pass: every name gets its declaration, every type expression its type.

Records, errors, events, enums and aliases are complete after this pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sagalang.model.context import FUNCTIONS, Context, Named, kind_of
from sagalang.model.errors import BUILT_IN_ERRORS
from sagalang.model.program import EnumDecl, Field, Record
from sagalang.model.types import (
    PRIMITIVES,
    UNKNOWN,
    EnumRef,
    InlineRecord,
    ListOf,
    MapOf,
    Optional,
    RecordRef,
    Secret,
    Type,
    Unknown,
    optional,
    reveal,
    secret,
)
from sagalang.syntax import ast
from sagalang.syntax.words import FOREIGN_TYPES, RESERVED
from sagalang.text import Span

_BUILT_IN: Final = frozenset(PRIMITIVES) | FUNCTIONS | BUILT_IN_ERRORS | {"list", "map", "result"}


def declare(context: Context, modules: Iterable[ast.Module]) -> None:
    """Fill the table of names; report what is declared twice or taken by the language."""
    for module in modules:
        for declaration in module.declarations:
            if not isinstance(declaration, ast.Import | ast.ScenarioDecl):
                _declare_one(context, declaration)


def _declare_one(context: Context, declaration: Named) -> None:
    name = declaration.name
    kind = kind_of(declaration)
    if name.text in _BUILT_IN:
        context.report(
            "duplicate-name",
            name.span,
            f"`{name.text}` is built into the language",
            help="choose another name",
        )
        return
    if name.text in RESERVED:
        context.report(
            "not-supported-yet",
            name.span,
            f"`{name.text}` is a word reserved for a later version",
            help="choose another name",
        )
        return
    before = context.declared.get(name.text)
    if before is None:
        context.declared[name.text] = declaration
        return
    context.poisoned.add(name.text)
    first = kind_of(before)
    what = f"the {kind} `{name.text}`" if kind == first else f"`{name.text}`"
    if before.span.file == declaration.span.file:
        context.report(
            "duplicate-name",
            name.span,
            f"{what} is declared twice",
            "here again" if kind == first else f"here as {kind}",
            other=(before.name.span, f"first here, as {first}" if kind != first else "first here"),
            help="rename one of them",
        )
    else:
        context.report(
            "import-clash",
            name.span,
            f"{what} is declared in two files",
            "here again",
            other=(before.name.span, "and here"),
            help="rename one of them, or import only one of the files",
        )


def declare_types(context: Context) -> None:
    """Aliases, enums, records, errors and events."""
    for name, found in context.declared.items():
        match found:
            case ast.TypeDecl():
                _alias(context, found, ())
            case ast.EnumDecl():
                context.enums[name] = _enum(context, found)
    for name, found in context.declared.items():
        if isinstance(found, ast.RecordDecl):
            table = {
                "record": context.records,
                "error": context.errors,
                "event": context.events,
            }[found.kind]
            fields = fields_of(context, found.fields, f"{found.kind} `{name}`")
            table[name] = Record(name, fields, found.doc, found.name.span)
            if found.kind != "record":
                _no_secrets(context, found, fields)
    _no_endless_records(context)


def _no_secrets(context: Context, found: ast.RecordDecl, fields: tuple[Field, ...]) -> None:
    for field in fields:
        if contains_secret(context, field.type):
            context.report(
                "secret-leak",
                field.span,
                f"a secret cannot travel in an {found.kind}: {found.kind}s are shown and stored",
                help="leave the field out, or pass a reference to the secret",
            )


def _alias(context: Context, declaration: ast.TypeDecl, chain: tuple[str, ...]) -> Type:
    name = declaration.name.text
    if name in context.aliases:
        return context.aliases[name]
    if name in chain:
        context.report(
            "recursive-type",
            declaration.name.span,
            f"the type `{name}` is defined by itself",
            help="use a `record`: it may contain itself through `?`, a list or a map",
        )
        context.aliases[name] = UNKNOWN
        return UNKNOWN
    made = resolve_type(context, declaration.type, (*chain, name))
    return context.aliases.setdefault(name, made)


def _enum(context: Context, declaration: ast.EnumDecl) -> EnumDecl:
    members: dict[str, str] = {}
    wires: dict[str, Span] = {}
    if not declaration.members:
        context.report(
            "syntax-error",
            declaration.span,
            f"the enum `{declaration.name.text}` has no member",
            help="write `enum E { A, B }`",
        )
    for name, wire in declaration.members:
        text = wire.value if wire else name.text
        if name.text in members:
            context.report(
                "duplicate-name",
                name.span,
                f"`{name.text}` stands twice in this enum",
                help="remove one",
            )
        elif text in wires:
            context.report(
                "duplicate-name",
                wire.span if wire else name.span,
                f'two members are called "{text}" on the wire',
                other=(wires[text], "first here"),
                help='give one of them another name: `… as "other"`',
            )
        members.setdefault(name.text, text)
        wires.setdefault(text, name.span)
    return EnumDecl(
        declaration.name.text, tuple(members.items()), declaration.doc, declaration.name.span
    )


def fields_of(
    context: Context, fields: Iterable[ast.Field], where: str = "this record"
) -> tuple[Field, ...]:
    """The fields of a record, with their types; reports names that stand twice."""
    made: dict[str, Field] = {}
    wires: dict[str, Span] = {}
    for item in fields:
        name = item.name.text
        wire = item.wire.value if item.wire else name
        kind = resolve_type(context, item.type)
        if name in made:
            context.report(
                "duplicate-name",
                item.name.span,
                f"`{name}` stands twice in {where}",
                other=(made[name].span, "first here"),
                help="rename one of them",
            )
            continue
        if wire in wires:
            context.report(
                "duplicate-name",
                item.wire.span if item.wire else item.name.span,
                f'two fields are called "{wire}" on the wire',
                other=(wires[wire], "first here"),
                help='give one of them another name: `… as "other"`',
            )
        wires[wire] = item.name.span
        made[name] = Field(name, kind, wire, item.doc, item.name.span)
    return tuple(made.values())


_TYPE_KINDS: Final = ("record", "enum", "type")


def resolve_type(context: Context, written: ast.TypeExpr, chain: tuple[str, ...] = ()) -> Type:
    """The type that a type expression means; `Unknown` (and a report) where it means none."""
    match written:
        case ast.NamedType(name, _):
            return _named_type(context, name, chain)
        case ast.ListType(item, _):
            return ListOf(resolve_type(context, item, chain))
        case ast.MapType(item, _):
            return MapOf(resolve_type(context, item, chain))
        case ast.OptionalType(item, _):
            return optional(resolve_type(context, item, chain))
        case ast.SecretType(item, _):
            return secret(resolve_type(context, item, chain))
        case ast.RecordType(fields, _):
            found = fields_of(context, fields)
            return InlineRecord(tuple((f.name, f.type, f.wire) for f in found))


def _named_type(context: Context, name: ast.Name, chain: tuple[str, ...]) -> Type:
    if name.text in PRIMITIVES:
        return PRIMITIVES[name.text]
    found = context.find(name.text, name.span.file, _TYPE_KINDS)
    match found:
        case ast.TypeDecl():
            return _alias(context, found, chain)
        case ast.EnumDecl():
            return EnumRef(name.text)
        case ast.RecordDecl():
            return RecordRef(name.text)
    if name.text not in context.poisoned:
        context.unknown(name, _TYPE_KINDS, "a type", _foreign_type(context, name.text))
    return UNKNOWN


def _foreign_type(context: Context, word: str) -> str | None:
    meant = FOREIGN_TYPES.get(word.lower())
    if meant is None or any(known.lower() == word.lower() for known in context.names(_TYPE_KINDS)):
        return None
    return f"did you mean `{meant}`?"


def _no_endless_records(context: Context) -> None:
    """Records that need themselves to be built can never be built. A ring is told once."""
    done: set[str] = set()
    for root in context.records:
        if root in done:
            continue
        way: list[tuple[str, Iterator[tuple[Field, str]]]] = [(root, _needs(context, root))]
        on_way = {root: 0}
        through: list[Field] = []
        while way:
            name, rest = way[-1]
            step = next(rest, None)
            if step is None:
                way.pop()
                done.add(name)
                del on_way[name]
                del through[len(way) - 1 :]
                continue
            field, other = step
            if other in on_way:
                _endless(context, other, [*through, field][on_way[other]])
            elif other not in done:
                on_way[other] = len(way)
                way.append((other, _needs(context, other)))
                through.append(field)


def _endless(context: Context, name: str, field: Field) -> None:
    context.report(
        "recursive-type",
        field.span,
        f"a `{name}` would need another `{name}` inside, without end",
        help=f"make the field optional: `{field.name}: …?`",
    )


def _needs(context: Context, name: str) -> Iterator[tuple[Field, str]]:
    record = context.records.get(name)
    for field in record.fields if record is not None else ():
        for other in _needed(field.type):
            yield field, other


def _needed(item: Type) -> list[str]:
    """The records without which no value of this type can be built."""
    match item:
        case Secret(inner):
            return _needed(inner)
        case InlineRecord(fields):
            return [name for _, t, _ in fields for name in _needed(t)]
        case RecordRef(name):
            return [name]
        case _:
            return []


def contains_secret(context: Context, item: Type) -> bool:
    """Whether a value of this type has a secret anywhere inside."""
    seen: set[str] = set()
    waiting = [item]
    while waiting:
        match waiting.pop():
            case Secret():
                return True
            case ListOf(inner) | MapOf(inner) | Optional(inner):
                waiting.append(inner)
            case InlineRecord(fields):
                waiting += [t for _, t, _ in fields]
            case RecordRef(name) if name not in seen:
                seen.add(name)
                record = context.fields_of(name)
                waiting += [f.type for f in record.fields] if record is not None else []
    return False


def is_scalar(item: Type) -> bool:
    """Whether values of the type have one short text: what ids and loop identities are made of."""
    bare = reveal(item)
    return isinstance(bare, EnumRef | Unknown) or (
        bare in PRIMITIVES.values() and bare != PRIMITIVES["json"]
    )
