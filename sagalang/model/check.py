"""`check`: modules to a program, with everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from sagalang.diagnostics import Diagnostic, diagnose
from sagalang.diagnostics.registry import BY_NAME, Severity
from sagalang.diagnostics.suggest import hint
from sagalang.model import program as p
from sagalang.model import scenarios
from sagalang.model.context import Context, kind_of
from sagalang.model.declare import declare, declare_types
from sagalang.model.expressions import Typing
from sagalang.model.policies import declare_policies
from sagalang.model.sagas import declare_sagas
from sagalang.model.scope import Scope
from sagalang.model.services import declare_services
from sagalang.syntax import ast
from sagalang.text import Span

_ALLOW: Final = re.compile(r"saga:\s*allow\(([^)]*)\)\s*(?:\"([^\"]*)\")?\s*$")


class Checked(Struct, frozen=True):
    """`context` answers later questions about the same program (faults of a command line)."""

    program: p.Program
    diagnostics: tuple[Diagnostic, ...]
    context: Context

    @property
    def has_errors(self) -> bool:
        return any(d.is_error for d in self.diagnostics)


def check(
    modules: Sequence[ast.Module],
    main: str,
    visible: Mapping[str, frozenset[str]],
    problems: Sequence[Diagnostic] = (),
) -> Checked:
    """Resolve, type and check all modules together.

    `modules` in the order in which they were imported, the imported first. `main` is the file
    that was asked for, `problems` what was found before (syntax, imports); while there are any,
    names that are nowhere else may stand in the broken parts, so that unknown names are told
    only if every file could be read.
    """
    context = Context(
        visible, incomplete=any(d.name in ("import-not-found", "unreadable-file") for d in problems)
    )
    declare(context, modules)
    for module in modules:
        _poison_broken(context, module, problems)
    declare_types(context)
    declare_policies(context)
    declare_services(context)
    _constants(context)
    declare_sagas(context)
    made = []
    for module in modules:
        for declaration in module.declarations:
            if isinstance(declaration, ast.ScenarioDecl):
                scenario = scenarios.scenario(context, declaration)
                if scenario is not None:
                    made.append(scenario)
    if not problems:
        _unused(context, main)
    program = p.Program(
        main,
        {module.source.name: module.source for module in modules},
        context.records,
        context.enums,
        context.errors,
        context.events,
        context.policies,
        context.services,
        context.constants,
        context.sagas,
        tuple(made),
        visible,
        {name: context.declared[name].span.file for name in context.policies},
    )
    return Checked(program, tuple(context.problems), context)


_BROKEN: Final = re.compile(
    r"^[ \t]*(?:record|enum|type|error|event|policy|service|saga|let)\s+(\w+)", re.MULTILINE
)


def _poison_broken(context: Context, module: ast.Module, problems: Sequence[Diagnostic]) -> None:
    """Names whose declarations have syntax errors: others may use them without a second report."""
    if not any(d.span.file == module.source.name for d in problems):
        return
    for match in _BROKEN.finditer(module.source.text):
        if match.group(1) not in context.declared:
            context.poisoned.add(match.group(1))


def _constants(context: Context) -> None:
    """Top-level `let`s, those that are used by others first."""
    waiting = {
        name: found for name, found in context.declared.items() if isinstance(found, ast.Let)
    }
    order: list[str] = []

    def visit(name: str, chain: tuple[str, ...]) -> None:
        if name in order or name in chain:
            return
        for other in references(waiting[name].value):
            if other in waiting:
                visit(other, (*chain, name))
        order.append(name)

    for name in waiting:
        visit(name, ())
    for name in order:
        found = waiting[name]
        made = Typing(context, Scope(constant=True)).infer(found.value)
        context.constants[name] = p.Constant(name, made, made.type, found.doc, found.name.span)
    context.constants = {name: context.constants[name] for name in waiting}


def references(value: object) -> set[str]:
    """The bare names in an expression."""
    if isinstance(value, ast.Reference):
        return {value.name}
    if isinstance(value, tuple) and not isinstance(value, Span):
        found: set[str] = set()
        for part in value:
            found |= references(part)
        return found
    slots = getattr(value, "__slots__", None)
    if slots is None or isinstance(value, ast.Name):
        return set()
    found = set()
    for slot in slots:
        found |= references(getattr(value, slot))
    return found


def _unused(context: Context, main: str) -> None:
    """Declarations of the asked-for file that nothing refers to.

    A file without a saga is a library: what it declares is for others. A service may offer more
    than is used, and a `let` is also for `saga run` and for scenarios.
    """
    has_saga = any(
        isinstance(found, ast.SagaDecl) and found.span.file == main
        for found in context.declared.values()
    )
    if not has_saga:
        return
    for name, found in context.declared.items():
        kind = kind_of(found)
        if (
            found.span.file != main
            or name in context.used
            or name.startswith("_")
            or kind in ("saga", "constant")
        ):
            continue
        context.report(
            "unused-name",
            found.name.span,
            f"the {kind} `{name}` is never used",
            help=f"remove it, or call it `_{name}`",
        )


def silence(
    diagnostics: Sequence[Diagnostic], modules: Sequence[ast.Module]
) -> tuple[Diagnostic, ...]:
    """Apply `// saga: allow(NAME) "why"`; report those that silence nothing."""
    silenced: set[int] = set()
    problems: list[Diagnostic] = []
    for module in modules:
        allows = [c for c in module.comments if not c.is_doc and c.text.startswith("saga:")]
        if not allows:
            continue
        source = module.source
        by_line: dict[tuple[str, int], list[Diagnostic]] = {}
        for found in diagnostics:
            if found.span.file == source.name:
                line = source.position(found.span.start).line
                by_line.setdefault((found.name, line), []).append(found)
        code_line = _next_code_line(module)
        for comment in allows:
            name, problem, advice = _read_allow(comment)
            if not problem:
                line = source.position(comment.span.start).line
                hit = [
                    found
                    for number in (line, code_line(line))
                    for found in by_line.get((name, number), ())
                    if id(found) not in silenced
                ]
                silenced |= {id(found) for found in hit}
                if hit:
                    continue
                problem, advice = f"there is no `{name}` on the next line", "remove it"
            problems.append(diagnose("unused-allow", comment.span, problem, help=advice))
    return (*(d for d in diagnostics if id(d) not in silenced), *problems)


def _read_allow(comment: ast.Comment) -> tuple[str, str, str]:
    """The name an allow comment gives; what is wrong with the comment, and the fix."""
    match = _ALLOW.match(comment.text)
    name = match.group(1).strip() if match else ""
    if match is None or not match.group(2):
        advice = 'write `// saga: allow(unused-name) "why"`'
        return name, "an allow names a warning and says why", advice
    if name not in BY_NAME:
        known = [code.name for code in BY_NAME.values() if code.severity is Severity.WARNING]
        return name, f"there is no warning `{name}`", hint(name, known) or "remove it"
    if BY_NAME[name].severity is Severity.ERROR:
        return name, f"`{name}` is an error, and errors cannot be silenced", "correct the error"
    return name, "", ""


def _next_code_line(module: ast.Module) -> Callable[[int], int]:
    """For a line, the first one after it that is not a comment of its own."""
    comment_lines = {
        position.line
        for comment in module.comments
        if (position := module.source.position(comment.span.start))
        and not module.source.line(position.line)[: position.column - 1].strip()
    }

    def following(line: int) -> int:
        line += 1
        while line in comment_lines:
            line += 1
        return line

    return following
