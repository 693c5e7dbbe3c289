"""From a checked program to the text of Python modules; nothing is written here."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from sagalang.compile import naming
from sagalang.compile.context import CannotCompile
from sagalang.compile.scenario_tests import tests_view
from sagalang.compile.seal import seal
from sagalang.compile.templating import printed
from sagalang.compile.views import module_view
from sagalang.model.program import Program
from sagalang.text import Span


class GeneratedFile(Struct, frozen=True):
    """`path` is relative to the folder that the user names."""

    path: str
    text: str


class NotCompilable(Struct, frozen=True):
    """A part of the program that cannot be written as Python yet; `what` names it."""

    span: Span
    what: str


class Compiled(Struct, frozen=True):
    """Either files or problems: a module that lacks something is not given at all."""

    files: tuple[GeneratedFile, ...]
    problems: tuple[NotCompilable, ...] = ()


def compile_program(
    program: Program, *, tests: bool = False, templates: Path | None = None
) -> Compiled:
    """The Python of a program without errors: one module, what it imports included, and with
    `tests` a pytest file of its scenarios if it has any.

    `templates`: a folder of templates that replace blocks of ours. The same program and templates
    give the same bytes. Raises `TemplateProblem`.
    """
    name = naming.module(program.main)
    try:
        made = {f"{name}.py": printed("module.py.jinja", module_view(program), templates)}
    except CannotCompile as found:
        return Compiled((), (NotCompilable(found.span, found.what),))
    if tests and program.scenarios:
        made[f"test_{name}.py"] = printed("tests.py.jinja", tests_view(program, name), templates)
    source = source_name(program)
    return Compiled(tuple(GeneratedFile(path, seal(text, source)) for path, text in made.items()))


def source_name(program: Program) -> str:
    """What the seals of the program's files call it."""
    return os.path.basename(program.main) if program.main not in ("-", "") else "standard input"
