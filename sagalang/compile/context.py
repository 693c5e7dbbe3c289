"""What the parts of one module have in common while it is being made: names and imports."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from sagalang.compile.naming import BUILTINS, Names, camel
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.text import Span

RUNTIME = "sagalang.runtime.saga"

_STANDARD = {
    "Any": "typing",
    "Decimal": "decimal",
    "Mapping": "collections.abc",
    "StrEnum": "enum",
    "UUID": "uuid",
    "dataclass": "dataclasses",
    "datetime": "datetime",
    "field": "dataclasses",
    "replace": "dataclasses",
    "timedelta": "datetime",
}

_OF_RUNTIME = (
    "BadValue",
    "Breaker",
    "Bulkhead",
    "BulkheadFull",
    "Call",
    "Cancelled",
    "CircuitOpen",
    "ContractMismatch",
    "DEFAULT",
    "DeadlineExceeded",
    "ErrorName",
    "Escalate",
    "Header",
    "Jitter",
    "NotDone",
    "NotSent",
    "Policy",
    "Promises",
    "RELENTLESS",
    "Rate",
    "RateLimited",
    "Retry",
    "RetryBudget",
    "Saga",
    "SagaDefinition",
    "SagaError",
    "Service",
    "Throttled",
    "Timeout",
    "Unavailable",
    "command",
    "divide",
    "error_name",
    "exactly",
    "http",
    "item",
    "largest",
    "make_map",
    "param",
    "python",
    "query",
    "rejects",
    "rounded",
    "route",
    "smallest",
    "text",
    "to_json",
    "value_or",
)

IMPORTABLE = {**_STANDARD, **dict.fromkeys(_OF_RUNTIME, RUNTIME)}


RESERVED = {*IMPORTABLE, *BUILTINS, "main", "run_main", "sys"}
"""Names that a module does not give to its own things."""


class CannotCompile(Exception):  # noqa: N818 - becomes a `NotCompilable`
    """Raised inside the compiler for what it cannot write down yet."""

    def __init__(self, span: Span, what: str) -> None:
        super().__init__(what)
        self.span = span
        self.what = what


@dataclass(slots=True)
class Module:
    """A module in the making. `names` maps (kind, name in the language) to the Python name."""

    program: p.Program
    taken: Names = field(
        default_factory=lambda: Names({*IMPORTABLE, *BUILTINS, "main", "run_main", "sys"})
    )
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    inline: dict[t.InlineRecord, str] = field(default_factory=dict)
    policies: dict[p.Policy, str] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)
    helpers: dict[tuple[t.Type, t.Type], str] = field(default_factory=dict)
    helper_texts: list[str] = field(default_factory=list)

    def use(self, name: str) -> str:
        """A name that is imported, because it is used."""
        assert name in IMPORTABLE, name
        self.imports.add(name)
        return name

    def name(self, kind: str, name: str) -> str:
        return self.names[kind, name]

    def fields_of(self, type_: t.Type) -> tuple[tuple[str, t.Type, str], ...]:
        """(name, type, name on the wire) of the fields of a record type, else nothing."""
        match type_:
            case t.Secret(item) | t.Optional(item):
                return self.fields_of(item)
            case t.RecordRef(name):
                tables = (self.program.records, self.program.errors, self.program.events)
                found = next((table[name] for table in tables if name in table), None)
                return tuple((f.name, f.type, f.wire) for f in found.fields) if found else ()
            case t.InlineRecord(fields):
                return fields
            case _:
                return ()

    def is_error(self, type_: t.Type) -> bool:
        return isinstance(type_, t.RecordRef) and type_.name in self.program.errors

    def where(self, span: Span) -> str:
        """`order.saga:12`; empty where the program never was a text."""
        source = self.program.sources.get(span.file)
        if source is None:
            return ""
        return f"{os.path.basename(span.file)}:{source.position(span.start).line}"


def annotation(module: Module, type_: t.Type) -> str:
    """The type as Python writes it."""
    match type_:
        case t.Primitive(name):
            match name:
                case "string" | "key":
                    return "str"
                case "int" | "bool":
                    return name
                case "decimal":
                    return module.use("Decimal")
                case "duration":
                    return module.use("timedelta")
                case "datetime":
                    return module.use("datetime")
                case "uuid":
                    return module.use("UUID")
                case _:
                    return module.use("Any")
        case t.Secret(item):
            return annotation(module, item)
        case t.Optional(item):
            inner = annotation(module, item)
            return inner if inner == "Any" else f"{inner} | None"
        case t.ListOf(item):
            return f"tuple[{annotation(module, item)}, ...]"
        case t.MapOf(item):
            return f"{module.use('Mapping')}[str, {annotation(module, item)}]"
        case t.RecordRef(name):
            return module.name("type", name)
        case t.EnumRef(name):
            return module.name("type", name)
        case t.InlineRecord(fields):
            if type_ not in module.inline:
                wanted = "".join(camel(name) for name, _, _ in fields) or "Nothing"
                module.inline[type_] = module.taken.claim("With" + wanted)
            return module.inline[type_]
        case t.Null():
            return "None"
        case t.Unknown():
            return module.use("Any")
