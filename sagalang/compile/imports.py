"""The import lines of modules and of their tests, in the order in which linters want them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sagalang.compile.context import IMPORTABLE, RUNTIME, Module
from sagalang.compile.layout import WIDTH, Bracket, Text, joined, statement, width
from sagalang.compile.package import relative, taken_from


def group(name: str) -> tuple[int, list[tuple[int, int]]]:
    """Constants, then classes, then the rest, numbers by their value: how linters sort names that
    are imported."""
    runs = re.findall("[0-9]+|.", name)
    natural = [(ord("0"), int(run)) if run.isdecimal() else (ord(run), 0) for run in runs]
    if name.isupper() and len(name.encode()) > 1:
        return 0, natural
    return (1, natural) if name[:1].isupper() else (2, natural)


def used_imports(module: Module, has_main: bool) -> tuple[str, ...]:
    """The imports of the standard library and of the runtime, in blocks."""
    runtime = joined(_used(module, of_runtime=True))
    standard = joined(["import sys"] * has_main + _used(module, of_runtime=False))
    run_main = f"from {RUNTIME} import main as run_main" if has_main else ""
    ours = joined([line for line in (runtime, run_main) if line])
    return tuple(block for block in (standard, ours) if block)


def _used(module: Module, *, of_runtime: bool) -> list[str]:
    by_source: dict[str, dict[str, str]] = {}
    for name in module.imports:
        if (IMPORTABLE[name] == RUNTIME) == of_runtime:
            by_source.setdefault(IMPORTABLE[name], {})[name] = name
    return [line for key in sorted(by_source) for line in from_lines(key, by_source[key])]


def all_imports(module: Module, read: set[str]) -> tuple[str, ...]:
    """The imports of a module that sees others, once it is known what it reads: what has a type
    of another module may have asked for more."""
    module.imports &= read
    theirs = import_lines(module, read)
    return (*used_imports(module, bool(module.own.sagas)), *([theirs] if theirs else []))


def imports_of_tests(
    module: Module, read: set[str], testing: Mapping[str, str], pytest: bool
) -> tuple[str, ...]:
    """Those of the tests; `testing`: what they use of `saga_testing`, and its name there."""
    theirs = import_lines(module, read)
    ours = _used(module, of_runtime=True) + from_lines(f"{RUNTIME}_testing", testing)
    standard = joined(_used(module, of_runtime=False))
    blocks = [standard, "import pytest" if pytest else ""]
    blocks += [joined(ours), theirs] if theirs.startswith("from .") else [joined([theirs, *ours])]
    return tuple(filter(None, blocks))


def import_lines(module: Module, read: set[str]) -> str:
    """The lines that import what a module reads of others; empty where it reads nothing."""
    taken = taken_from(module.foreign, read)
    lone = len(module.sees) == 1 and not module.own.sources  # tests beside one plain module
    by_source = {
        path[-1] if lone else relative(module.path, path): names for path, names in taken.items()
    }
    lines: list[str] = []
    for source in sorted(by_source, key=lambda name: (-_dots(name), group(name)[1])):
        lines += from_lines(source, by_source[source])
    return joined(lines)


def _dots(name: str) -> int:
    return len(name) - len(name.lstrip("."))


def from_lines(source: str, names: Mapping[str, str]) -> list[str]:
    """`from source import name`, and a line for each name that is called otherwise here."""
    plain = sorted((there for there, here in names.items() if there == here), key=group)
    lines: list[str] = []
    if plain:
        line = f"from {source} import {', '.join(plain)}"
        doc = Bracket(Text(""), tuple(map(Text, plain)))
        lines += [line] if width(line) <= WIDTH else statement(f"from {source} import ", doc, 0)
    renamed = {there: here for there, here in names.items() if there != here}
    lines += [f"from {source} import {n} as {renamed[n]}" for n in sorted(renamed, key=group)]
    return lines
