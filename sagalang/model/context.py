"""What one check of a program shares: the declarations by name, what was used, what was found.

Alive during `check` only. Names of all kinds share one namespace, so that a reader never has to
ask which kind is meant. A file sees its own declarations and those of the files it imports,
directly or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sagalang.diagnostics import Diagnostic, diagnose
from sagalang.diagnostics.suggest import hint
from sagalang.model.errors import BUILT_IN_ERRORS
from sagalang.model.program import (
    Constant,
    EnumDecl,
    Operation,
    Policy,
    Record,
    Saga,
    Service,
)
from sagalang.model.types import PRIMITIVES, Type
from sagalang.syntax import ast
from sagalang.text import Span

KIND: Final[Mapping[type, str]] = {
    ast.EnumDecl: "enum",
    ast.TypeDecl: "type",
    ast.PolicyDecl: "policy",
    ast.ServiceDecl: "service",
    ast.SagaDecl: "saga",
    ast.Let: "constant",
}
FUNCTIONS: Final = frozenset(
    {"len", "sum", "min", "max", "contains", "lower", "upper", "round", "now", "key"}
)

Named = (
    ast.RecordDecl
    | ast.EnumDecl
    | ast.TypeDecl
    | ast.PolicyDecl
    | ast.ServiceDecl
    | ast.SagaDecl
    | ast.Let
)


def kind_of(declaration: Named) -> str:
    if isinstance(declaration, ast.RecordDecl):
        return declaration.kind
    return KIND[type(declaration)]


@dataclass
class Context:
    """`declared` maps a name to its declaration; the typed results fill the tables below."""

    visible: Mapping[str, frozenset[str]]
    """For each file the files it sees, itself included."""
    problems: list[Diagnostic] = field(default_factory=list)
    declared: dict[str, Named] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    aliases: dict[str, Type] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    errors: dict[str, Record] = field(default_factory=dict)
    events: dict[str, Record] = field(default_factory=dict)
    enums: dict[str, EnumDecl] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    sagas: dict[str, Saga] = field(default_factory=dict)
    poisoned: set[str] = field(default_factory=set)
    """Names whose declaration is broken: nothing more is said about them."""
    incomplete: bool = False
    """A file could not be read: a name that nothing declares may well be in there."""
    hints_left: int = 100
    """Looking for the nearest name is slow; a file full of unknown names gets no more hints."""

    def report(
        self,
        name: str,
        span: Span,
        message: str,
        label: str = "",
        *,
        other: tuple[Span, str] | None = None,
        notes: tuple[str, ...] = (),
        help: str | None = None,  # noqa: A002 - the field's name, and what users see
    ) -> None:
        self.problems.append(
            diagnose(name, span, message, label, other=other, notes=notes, help=help)
        )

    @property
    def doubtful(self) -> bool:
        """Names are missing, so that what is worked out from what they mean may be wrong."""
        return self.incomplete or any(
            d.name in ("unknown-name", "recursive-saga") for d in self.problems
        )

    def find(self, name: str, file: str, kinds: Iterable[str]) -> Named | None:
        """The declaration of a name if it is of one of the kinds and visible; marks it used."""
        found = self.declared.get(name)
        if found is None or kind_of(found) not in kinds:
            return None
        if found.span.file not in self.visible.get(file, frozenset((file,))):
            return None
        self.used.add(name)
        return found

    def unknown(
        self,
        name: ast.Name,
        kinds: tuple[str, ...],
        what: str,
        help: str | None = None,  # noqa: A002 - the field's name, and what users see
    ) -> None:
        """Say that a name of the wanted kinds is not declared, or is something else."""
        found = self.declared.get(name.text)
        seen = self.visible.get(name.span.file, frozenset((name.span.file,)))
        if found is not None and found.span.file not in seen:
            self.report(
                "unknown-name",
                name.span,
                f"`{name.text}` is declared in a file that this one does not import",
                other=(found.name.span, "declared here"),
                help="import that file",
            )
            return
        if found is not None:
            self.report(
                "unknown-name",
                name.span,
                f"`{name.text}` is {article(kind_of(found))}, and {what} is needed here",
                other=(found.name.span, "declared here"),
                help=hint(name.text, self.names(kinds)),
            )
            return
        if self.incomplete:
            return
        self.report(
            "unknown-name",
            name.span,
            f"there is no {what.removeprefix('a ').removeprefix('an ')} `{name.text}`",
            help=help
            or self.hint(name.text, self.names(kinds))
            or "declare it, or import the file that does",
        )

    def hint(self, word: str, known: Iterable[str]) -> str | None:
        """Did you mean; None where there is nothing near, or after very many hints."""
        self.hints_left -= 1
        return hint(word, known) if self.hints_left >= 0 else None

    def hidden(self, name: str, file: str) -> Named | None:
        """The declaration of a name in a file that `file` does not import."""
        found = self.declared.get(name)
        visible = self.visible.get(file, frozenset((file,)))
        return found if found is not None and found.span.file not in visible else None

    def names(self, kinds: Iterable[str]) -> list[str]:
        wanted = set(kinds)
        names = [name for name, found in self.declared.items() if kind_of(found) in wanted]
        if "type" in wanted:
            names += PRIMITIVES
        if "error" in wanted:
            names += sorted(BUILT_IN_ERRORS)
        return names

    def operation(self, service: str, name: str) -> Operation | None:
        found = self.services.get(service)
        return found.operations.get(name) if found else None

    def fields_of(self, name: str) -> Record | None:
        """The record behind a `RecordRef`: a record, or the fields of an error or event."""
        return self.records.get(name) or self.errors.get(name) or self.events.get(name)


def article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
