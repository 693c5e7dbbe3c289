"""From a checked program to the text of Python modules; nothing is written here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from msgspec import Struct

from sagalang.compile.context import CannotCompile, Module
from sagalang.compile.imports import all_imports
from sagalang.compile.package import names_read, root, split, whole
from sagalang.compile.scenario_tests import tests_view
from sagalang.compile.seal import seal
from sagalang.compile.templating import printed
from sagalang.compile.views import module_view
from sagalang.model.program import Program
from sagalang.text import Span


class GeneratedFile(Struct, frozen=True):
    """`path` is relative to the folder that the user names. `source`: what its seal calls the
    file that it is made from; empty where it has no seal, and only has to be there."""

    path: str
    text: str
    source: str


class NotCompilable(Struct, frozen=True):
    """A part of the program that cannot be written as Python yet; `what` names it."""

    span: Span
    what: str


class Compiled(Struct, frozen=True):
    """Either files or problems: a module that lacks something is not given at all.

    `main`: the path of the main file's module.
    """

    files: tuple[GeneratedFile, ...]
    problems: tuple[NotCompilable, ...] = ()
    main: str = ""

    @property
    def is_package(self) -> bool:
        """Whether the modules import each other, so that they are run with `python -m`."""
        return any(not file.source for file in self.files)


def compile_program(
    program: Program, *, tests: bool = False, templates: Path | None = None
) -> Compiled:
    """The Python of a program without errors: one module, what it imports included, and with
    `tests` a pytest file of its scenarios if it has any.

    `templates`: a folder of templates that replace blocks of ours. The same program and templates
    give the same bytes. Raises `TemplateProblem`.
    """
    return _compiled(program, (whole(program),), tests, templates)


def compile_package(
    program: Program, *, tests: bool = False, templates: Path | None = None
) -> Compiled:
    """The same as one module for each file, which import each other as the files do. A program of
    one file is one module, without a package around it."""
    if len(program.sources) == 1:
        return compile_program(program, tests=tests, templates=templates)
    return _compiled(program, split(program), tests, templates)


INIT: Final = "# Makes this folder a package: its modules import each other.\n"
"""What `__init__.py` holds."""


def package_files(program: Program) -> dict[str, str]:
    """The files that `compile_package` and its tests would have, and what their seals call the
    files that they are made from; empty for `__init__.py`."""
    made = tuple(split(program))
    found = {_file(module.path): _source(module) for module in made}
    found[_tests_file(made[-1])] = _source(made[-1])
    return found | dict.fromkeys(_inits(made), "")


def _compiled(
    program: Program, modules: Iterable[Module], tests: bool, templates: Path | None
) -> Compiled:
    made: list[Module] = []
    files: dict[str, tuple[str, str]] = {}
    try:
        for module in modules:
            made.append(module)
            files[_file(module.path)] = _source(module), _text(module, templates)
    except CannotCompile as found:
        return Compiled((), (NotCompilable(found.span, found.what),))
    main = made[-1]
    if tests and program.scenarios:
        text = printed("tests.py.jinja", tests_view(tuple(made)), templates)
        files[_tests_file(main)] = _source(main), text
    sealed = [GeneratedFile(path, seal(text, name), name) for path, (name, text) in files.items()]
    sealed += [GeneratedFile(path, INIT, "") for path in _inits(made)]
    return Compiled(tuple(sealed), main=_file(main.path))


def _tests_file(main: Module) -> str:
    return _file((*main.path[:-1], f"test_{main.path[-1]}"))


def _inits(made: Sequence[Module]) -> list[str]:
    """What makes folders packages, where modules import each other."""
    if len(made) == 1:
        return []
    folders = sorted({path[:n] for path in (m.path for m in made) for n in range(len(path))})
    return [_file((*folder, "__init__")) for folder in folders]


def _file(path: tuple[str, ...]) -> str:
    return "/".join(path) + ".py"


def _text(module: Module, templates: Path | None) -> str:
    view = module_view(module)
    if module.sees:
        read = names_read(printed("module.py.jinja", view))
        view = replace(view, imports=all_imports(module, read))
    return printed("module.py.jinja", view, templates)


def _source(module: Module) -> str:
    """What the seal calls the file that a module is made from."""
    file = module.own.main
    if file in ("-", ""):
        return "standard input"
    if len(module.own.sources) == len(module.program.sources):
        return os.path.basename(file)
    return os.path.relpath(os.path.abspath(file), root(module.program)).replace(os.sep, "/")
