"""Values of one type as values of another, where the language takes them without a word."""

from __future__ import annotations

from collections.abc import Callable

from sagalang.compile import naming
from sagalang.compile.context import Module, annotation, exact, is_several
from sagalang.compile.layout import (
    ATOM,
    Bracket,
    Doc,
    Enclosed,
    Parts,
    Prefix,
    Text,
    call,
    sequence,
)
from sagalang.compile.layout import statement as laid
from sagalang.compile.literals import string
from sagalang.model import types as t


def convert(
    module: Module, doc: Doc, binding: int, source: t.Type, target: t.Type
) -> tuple[Doc, int]:
    """A value of type `source` made to fit `target`."""
    source, target = t.reveal(source), t.reveal(target)
    if not _changes(module, source, target):
        return doc, binding
    match source, target:
        case t.Optional(inner), t.Optional(outer):
            return call(_helper(module, source, target), doc), ATOM
        case _, t.Optional(outer):
            return convert(module, doc, binding, source, outer)
        case _, _ if target == t.DECIMAL:
            return call(module.use("Decimal"), doc), ATOM
        case _, _ if target == t.JSON:
            return call(module.use("to_json"), doc), ATOM
        case t.ListOf(inner), t.ListOf(outer):
            value = module.taken.inner().claim("value")
            element, _ = convert(module, Text(value), ATOM, inner, outer)
            return Enclosed("tuple", Parts((("", element), (f"for {value} in ", doc)))), ATOM
        case _:
            return call(_helper(module, source, target), doc), ATOM


def fitted(module: Module, doc: Doc, type_: t.Type, home: Module) -> Doc:
    """A value as `home` takes it, where each of several modules has a class for its shape."""
    bare = t.reveal(type_)
    if not is_several(module, bare):
        return doc
    match bare:
        case t.ListOf(item):
            value = module.taken.inner().claim("value")
            element = fitted(module, Text(value), item, home)
            return Enclosed("tuple", Parts((("", element), (f"for {value} in ", doc))))
        case _:
            return call(_helper(module, bare, bare, home), doc)


def _changes(module: Module, source: t.Type, target: t.Type) -> bool:
    """Whether a value has to be changed to be of the other type."""
    match t.reveal(source), t.reveal(target):
        case ((t.Null() | t.Unknown()), _):
            return False
        case _, t.Unknown():
            return False
        case t.Optional(inner), t.Optional(outer):
            return _changes(module, inner, outer)
        case one, t.Optional(outer):
            return _changes(module, one, outer)
        case (t.ListOf(inner), t.ListOf(outer)) | (t.MapOf(inner), t.MapOf(outer)):
            return _changes(module, inner, outer)
        case one, other:
            return one != other


def _helper(module: Module, source: t.Type, target: t.Type, home: Module | None = None) -> str:
    """A function of the module that converts: for what no expression says clearly."""
    base = t.required(target)
    label = exact(module, base, home)
    found = module.helpers.get((source, target, label))
    if found is not None:
        return found
    given, wanted = annotation(module, source), exact(module, target, home)
    name = module.taken.claim("as_" + naming.snake(label if label.isidentifier() else "value"))
    module.helpers[source, target, label] = name
    value = module.taken.inner().claim("value")
    body = (
        _conversion(module, value, source, target)
        if home is None
        else _fitting(module, value, target, home)
    )
    lines = [
        f"def {name}({value}: {given}) -> {wanted}:",
        f'    """The same value as {"an" if label[0] in "AEIOU" else "a"} `{label}`."""',
        *laid("return ", body, 4),
    ]
    module.helper_texts.append("\n".join(lines))
    return name


def _conversion(module: Module, value: str, source: t.Type, target: t.Type) -> Doc:
    def member_of(name: str) -> Doc:
        return Text(f"{value}.{module.attribute(source, name)}")

    match source, target:
        case t.Optional(inner), t.Optional(outer):
            converted, _ = convert(module, Text(value), ATOM, inner, outer)
            return _unless_null(value, converted)
        case t.MapOf(inner), t.MapOf(outer):
            return _each(module, value, lambda entry: convert(module, entry, ATOM, inner, outer)[0])
        case t.InlineRecord(fields), t.MapOf(outer):
            entries = tuple(
                Prefix(
                    string(name) + ": ",
                    convert(module, member_of(name), ATOM, kind, outer)[0],
                )
                for name, kind, _ in fields
            )
            return call(module.use("make_map"), Bracket(Text(""), entries, "{", "}"))
        case t.InlineRecord(fields), _:
            have = {name: kind for name, kind, _ in fields}
            wanted = module.fields_of(target)
            parts = [
                Prefix(
                    module.attribute(target, name) + "=",
                    fitted(
                        module,
                        convert(module, member_of(name), ATOM, have[name], kind)[0],
                        kind,
                        module.home(target),
                    ),
                )
                for name, kind, _ in wanted
                if name in have
            ]
            return call(exact(module, target), *parts)
        case _:
            raise AssertionError(f"no conversion: {t.show(source)} to {t.show(target)}")


def _fitting(module: Module, value: str, type_: t.Type, home: Module) -> Doc:
    match type_:
        case t.Optional(item):
            return _unless_null(value, fitted(module, Text(value), item, home))
        case t.MapOf(item):
            return _each(module, value, lambda entry: fitted(module, entry, item, home))
        case _:
            parts = []
            for name, kind, _ in module.fields_of(type_):
                attribute = module.attribute(type_, name)
                member = fitted(module, Text(f"{value}.{attribute}"), kind, home)
                parts.append(Prefix(f"{attribute}=", member))
            return call(exact(module, type_, home), *parts)


def _unless_null(value: str, doc: Doc) -> Doc:
    return Parts((("", Text("None")), ("if ", Text(f"{value} is None")), ("else ", doc)))


def _each(module: Module, value: str, change: Callable[[Doc], Doc]) -> Doc:
    names = module.taken.inner()
    name, entry = names.claim("name"), names.claim("entry")
    parts = (
        ("", sequence([Text(name), change(Text(entry))])),
        (f"for {name}, {entry} in ", Text(f"{value}.items()")),
    )
    return Enclosed(module.use("make_map"), Parts(parts))
