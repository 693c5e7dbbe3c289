"""Records, errors, events, enums, answers and constants as Python declares them."""

from __future__ import annotations

from sagalang.compile import naming, reads
from sagalang.compile.context import CannotCompile, Module, exact
from sagalang.compile.expressions import Env, render_for
from sagalang.compile.layout import (
    WIDTH,
    Prefix,
    Text,
    call,
    docstring,
    joined,
    statement,
    wrap,
)
from sagalang.compile.literals import string
from sagalang.compile.view_models import ClassView, EnumView
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.model.expressions import may_fail
from sagalang.runtime.data import field_name, member


def enum(module: Module, found: p.EnumDecl) -> EnumView:
    module.use("StrEnum")
    members = tuple((member(name), string(wire)) for name, wire in found.members)
    doc = docstring(found.doc, 4) if found.doc else ""
    return EnumView(module.name("type", found.name), doc, members)


def declared(module: Module, found: p.Record, kind: str = "record") -> ClassView:
    fields = [(f.name, f.type, f.wire, f.doc) for f in found.fields]
    name = module.name("type", found.name)
    notes = []
    if name != found.name and kind in ("error", "event"):
        notes.append(f"__{kind}_name__ = {string(found.name)}")
    own = t.RecordRef(found.name)
    return _record(module, own, name, found.doc, fields, kind, tuple(notes))


def answers(module: Module) -> tuple[ClassView, ...]:
    """One class for each inline record; writing one down may bring up another."""
    made: dict[str, ClassView] = {}
    while left := {k: n for k, n in module.inline.items() if module.declares(n) and n not in made}:
        for type_, name in left.items():
            made[name] = _answer(module, type_, name)
    return tuple(made.values())


def _answer(module: Module, type_: t.InlineRecord, name: str) -> ClassView:
    operations = [
        operation.label
        for service in module.own.services.values()
        for operation in service.operations.values()
        if _holds(operation.result, type_)
    ]
    doc = f"What {' and '.join(operations)} answers." if operations else ""
    if len(operations) > 1:
        doc = f"What {' and '.join(operations)} answer."
    fields = [(n, k, w, "") for n, k, w in type_.fields]
    return _record(module, type_, name, doc, fields, "record", ())


def _holds(type_: t.Type, inner: t.Type) -> bool:
    if type_ == inner:
        return True
    return isinstance(type_, t.Optional | t.ListOf | t.MapOf | t.Secret) and _holds(
        type_.item, inner
    )


def _record(
    module: Module,
    own: t.Type,
    name: str,
    doc: str,
    fields: list[tuple[str, t.Type, str, str]],
    kind: str,
    notes: tuple[str, ...],
) -> ClassView:
    module.use("dataclass")
    base, decorator = "", "@dataclass(frozen=True, slots=True, kw_only=True)"
    if kind == "error":
        base = f"({module.use('SagaError')})"
        decorator = "@dataclass(eq=False, kw_only=True)"
    lines: list[str] = []
    for field, type_, wire, about in fields:
        for text in about.splitlines():
            lines += [f"# {part}" for part in wrap(text, WIDTH - 6)]
        attr = module.attribute(own, field)
        lines.append(_field(module, field, attr, type_, wire))
    return ClassView(name, decorator, base, docstring(doc, 4) if doc else "", notes, tuple(lines))


def _field(module: Module, name: str, attr: str, type_: t.Type, wire: str) -> str:
    options, metadata = [], []
    if t.is_optional(type_):
        options.append("default=None")
    if isinstance(type_, t.Secret):
        options.append("repr=False")
    if field_name(attr) != name:
        metadata.append(f'"name": {string(name)}')
    if wire != name:
        metadata.append(f'"wire": {string(wire)}')
    if metadata:
        options.append(f"metadata={{{', '.join(metadata)}}}")
    line = f"{attr}: {exact(module, type_)}"
    if options == ["default=None"]:
        line = f"{line} = None"
    elif options:
        made = call(module.use("field"), *map(Text, options))
        line = "\n".join(statement(f"{line} = ", made, 4)).lstrip()
    return f"{line}  # noqa: E741" if attr in naming.AMBIGUOUS else line


def constant(module: Module, found: p.Constant) -> str:
    env = Env({})
    if may_fail(found.value):
        raise CannotCompile(found.span, f"a constant that may have no value, as `{found.name}`,")
    doc = render_for(module, module, found.value, found.type, env)
    if reads.mentions(found.value, (p.Binary, p.Apply)):
        doc = call(module.use("exactly"), Prefix("lambda: ", doc))
    name = module.name("constant", found.name)
    simple = isinstance(found.value, p.Const | p.MakeRecord)
    prefix = f"{name} = " if simple else f"{name}: {exact(module, found.type)} = "
    return joined(statement(prefix, doc, 0))
