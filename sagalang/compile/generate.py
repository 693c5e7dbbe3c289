"""From a checked program to the text of Python modules; nothing is written here."""

from __future__ import annotations

from functools import lru_cache

import jinja2
from msgspec import Struct

from sagalang.compile import naming
from sagalang.compile.context import CannotCompile
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


def compile_program(program: Program) -> Compiled:
    """The Python of a program without errors: one module, what it imports included.

    The same program gives the same bytes.
    """
    try:
        view = module_view(program)
    except CannotCompile as found:
        return Compiled((), (NotCompilable(found.span, found.what),))
    text = _template().render(module=view)
    return Compiled((GeneratedFile(naming.module(program.main) + ".py", text),))


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sagalang.compile"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # what is made is Python; names are made safe by `naming`
    )
    return environment.get_template("module.py.jinja")
