"""What the parts of one module have in common while it is being made: names and imports."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sagalang.compile import naming
from sagalang.compile.naming import BUILTINS, Names, camel
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.runtime.data import field_name
from sagalang.text import Span

RUNTIME = "sagalang.runtime.saga"

_STANDARD = {
    "Any": "typing",
    "Decimal": "decimal",
    "Mapping": "collections.abc",
    "Protocol": "typing",
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
    "RELENTLESS",
    "Rate",
    "RateLimited",
    "Retry",
    "RetryBudget",
    "Saga",
    "SagaCall",
    "SagaDefinition",
    "SagaError",
    "Secret",
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
    "python",
    "query",
    "rounded",
    "smallest",
    "text",
    "to_json",
    "value_or",
)

IMPORTABLE = {**_STANDARD, **dict.fromkeys(_OF_RUNTIME, RUNTIME)}


RESERVED = {*IMPORTABLE, *BUILTINS, "annotations", "main", "run_main", "sys"}
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
    """The whole program."""
    own: p.Program
    """What this module declares of it."""
    path: tuple[str, ...]
    """Where it lies in the package: folders, and its own name."""
    sees: tuple[Module, ...] = ()
    """The modules that it may import from; all of them are made already."""
    foreign: dict[str, tuple[Module, str]] = field(default_factory=dict)
    """Names that others declare: by the name here, the module and the name there."""
    taken: Names = field(default_factory=lambda: Names(RESERVED))
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    inline: dict[t.InlineRecord, str] = field(default_factory=dict)
    alike: dict[t.InlineRecord, tuple[str, ...]] = field(default_factory=dict)
    """All classes of a shape that are seen, where there are several: each module has its own."""
    policies: dict[p.Policy, str] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)
    helpers: dict[tuple[t.Type, t.Type, str], str] = field(default_factory=dict)
    helper_texts: list[str] = field(default_factory=list)
    attributes: dict[t.Type, Mapping[str, str]] = field(default_factory=dict)
    """The attributes of each record type by the names of its fields, where they were asked for."""
    methods: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """The methods of each service by the names of its operations."""

    def use(self, name: str) -> str:
        """A name that is imported, because it is used."""
        assert name in IMPORTABLE, name
        self.imports.add(name)
        return name

    def name(self, kind: str, name: str) -> str:
        return self.names[kind, name]

    def borrow(self, other: Module, name: str) -> str:
        """The name here of what another module declares; it is imported only if it is read."""
        local = self.taken.claim(name)
        self.foreign[local] = other, name
        return local

    def declares(self, name: str) -> bool:
        return name not in self.foreign

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

    def attribute(self, type_: t.Type, name: str) -> str:
        """The attribute of a field of a record type."""
        bare = t.required(t.reveal(type_))
        if bare not in self.attributes:
            self.attributes[bare] = _attributes(self.home(bare), bare)
        return self.attributes[bare].get(name) or naming.field(name)

    def method(self, service: str, operation: str) -> str:
        """The method that makes a call of an operation."""
        if service not in self.methods:
            home = self.declaring("service", service)
            self.methods[service] = _methods(home, self.program.services[service])
        return self.methods[service][operation]

    def home(self, type_: t.Type) -> Module:
        """The module that declares a record type."""
        match type_:
            case t.RecordRef(name):
                return self.declaring("type", name)
            case t.InlineRecord() if type_ in self.inline:
                return self.foreign.get(self.inline[type_], (self, ""))[0]
            case _:
                return self

    def declaring(self, kind: str, name: str) -> Module:
        """The module that declares something that has a name in the language."""
        return next((m for m in self.sees if (kind, name) in m.own_names()), self)

    def own_names(self) -> dict[tuple[str, str], str]:
        """What others may import, without the classes of inline records."""
        return {key: name for key, name in self.names.items() if self.declares(name)}

    def is_error(self, type_: t.Type) -> bool:
        return isinstance(type_, t.RecordRef) and type_.name in self.program.errors

    def where(self, span: Span) -> str:
        """`order.saga:12`; empty where the program never was a text."""
        source = self.program.sources.get(span.file)
        if source is None:
            return ""
        return f"{os.path.basename(span.file)}:{source.position(span.start).line}"


def annotation(module: Module, type_: t.Type) -> str:
    """The type of a value as Python writes it."""
    return _annotation(module, type_, lambda shape: " | ".join(module.alike.get(shape, ())))


def exact(module: Module, type_: t.Type, home: Module | None = None) -> str:
    """The type where it is declared, here or in `home`: of the classes of a shape, that one's."""

    def here(shape: t.InlineRecord) -> str:
        if home is None or home is module:
            return ""
        there = home.inline[shape]
        declared = home.foreign.get(there, (home, there))
        return next(name for name, found in module.foreign.items() if found == declared)

    return _annotation(module, type_, here)


def is_several(module: Module, type_: t.Type) -> bool:
    """Whether values of the type hold a shape of several classes, outside of named records."""
    match type_:
        case t.InlineRecord(fields):
            inside = any(is_several(module, kind) for _, kind, _ in fields)
            return inside or type_ in module.alike
        case t.Optional(item) | t.ListOf(item) | t.MapOf(item) | t.Secret(item):
            return is_several(module, item)
        case _:
            return False


def _annotation(module: Module, type_: t.Type, several: Callable[[t.InlineRecord], str]) -> str:
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
            return f"{module.use('Secret')}[{_annotation(module, item, several)}]"
        case t.Optional(item):
            inner = _annotation(module, item, several)
            return inner if inner == "Any" else f"{inner} | None"
        case t.ListOf(item):
            return f"tuple[{_annotation(module, item, several)}, ...]"
        case t.MapOf(item):
            return f"{module.use('Mapping')}[str, {_annotation(module, item, several)}]"
        case t.RecordRef(name):
            return module.name("type", name)
        case t.EnumRef(name):
            return module.name("type", name)
        case t.InlineRecord(fields):
            if type_ not in module.inline:
                wanted = "".join(camel(name) for name, _, _ in fields) or "Nothing"
                module.inline[type_] = module.taken.claim("With" + wanted)
            return several(type_) or module.inline[type_]
        case t.Null():
            return "None"
        case t.Unknown():
            return module.use("Any")


def _attributes(module: Module, type_: t.Type) -> Mapping[str, str]:
    """A field may be called like a type, but must not hide one from the other fields."""
    fields = module.fields_of(type_)
    error = module.is_error(type_)
    wanted = {name: naming.field(name, error=error) for name, _, _ in fields}
    read = {name: _words(annotation(module, kind)) for name, kind, _ in fields}
    hidden = {
        name: {word for other in read if other != name for word in read[other]}
        # A builtin is looked up last, so its own field hides it as well.
        | (read[name] & BUILTINS)
        for name in read
    }
    made = naming.apart(wanted, hidden)
    if any(
        isinstance(kind, t.Secret) or wire != name or field_name(made[name]) != name
        for name, kind, wire in fields
    ):  # `field(...)` is called in the body
        return naming.apart(wanted, {name: words | {"field"} for name, words in hidden.items()})
    return made


def _methods(module: Module, service: p.Service) -> Mapping[str, str]:
    """An operation must not hide what its class reads."""
    operations = service.operations.values()
    types = [kind for o in operations for kind in (o.result, *(q.type for q in o.params))]
    read = {"Call", "command", "query", "staticmethod", "str", "timedelta", *naming.AMBIGUOUS}
    read |= {module.names["type", r.error] for o in operations for r in o.rejects}
    read = read.union(*(_words(annotation(module, kind)) for kind in types))
    wanted = {operation.name: naming.field(operation.name) for operation in operations}
    return naming.apart(wanted, dict.fromkeys(wanted, read))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))
