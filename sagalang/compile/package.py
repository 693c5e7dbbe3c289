"""A program as modules: all in one, or one for each file, which import from each other."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from sagalang.compile import naming
from sagalang.compile.context import Module
from sagalang.model import program as p

_TABLES = ("records", "enums", "errors", "events", "services", "constants", "sagas")


def whole(program: p.Program) -> Module:
    """One module for everything."""
    return Module(program, program, (naming.module(program.main),))


def split(program: p.Program) -> Iterator[Module]:
    """A module for each file that declares something, and for the main one; the imported first.

    Each has to be made before the next one is asked for: it sees their names.
    """
    paths = _paths(program)
    made: dict[str, Module] = {}
    for file, path in paths.items():
        own = _of_file(program, file)
        if file != program.main and not any(getattr(own, t) for t in (*_TABLES, "policies")):
            continue
        seen = program.sees.get(file, frozenset())
        sees = tuple(module for other, module in made.items() if other in seen)
        made[file] = Module(program, own, path, sees)
        yield made[file]


def _of_file(program: p.Program, file: str) -> p.Program:
    changes: dict[str, Any] = {
        table: {name: found for name, found in getattr(program, table).items() if _in(found, file)}
        for table in _TABLES
    }
    policies = {
        name: policy
        for name, policy in program.policies.items()
        if program.policy_files[name] == file
    }
    sources = {file: program.sources[file]}
    return replace(program, main=file, sources=sources, policies=policies, **changes)


def _in(declaration: Any, file: str) -> bool:
    found: str = declaration.span.file
    return found == file


def root(program: p.Program) -> str:
    """The innermost folder that holds all files of the program."""
    folders = [os.path.dirname(os.path.abspath(file)) for file in program.sources]
    try:
        return os.path.commonpath(folders)
    except ValueError:  # drives of Windows
        return folders[-1]


def _paths(program: p.Program) -> dict[str, tuple[str, ...]]:
    """Where the module of each file lies; folders keep their shape."""
    above = root(program)
    found: dict[str, tuple[str, ...]] = {}
    taken: set[tuple[str, ...]] = set()
    folders = {file: _folder(file, above) for file in program.sources}
    for folder in folders.values():  # a folder hides a module of its name
        taken |= {folder[:n] for n in range(1, len(folder) + 1)}
    for file, folder in folders.items():
        name = naming.module(file)
        while (*folder, name) in taken:
            name += "_saga"
        taken.add((*folder, name))
        found[file] = (*folder, name)
    return found


def _folder(file: str, above: str) -> tuple[str, ...]:
    inside = os.path.relpath(os.path.dirname(os.path.abspath(file)), above)
    return () if inside == os.curdir else tuple(map(naming.safe, inside.split(os.sep)))


# --- What a module takes from others -----------------------------------------------------------


def names_read(text: str) -> set[str]:
    """The names that a text of Python reads."""
    return {
        node.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def taken_from(
    foreign: Mapping[str, tuple[Module, str]], read: Iterable[str]
) -> dict[tuple[str, ...], dict[str, str]]:
    """The foreign names that are read: by the path of their module, (name there: name here)."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for local in sorted(set(read) & foreign.keys()):
        other, name = foreign[local]
        found.setdefault(other.path, {})[name] = local
    return found


def relative(path: tuple[str, ...], other: tuple[str, ...]) -> str:
    """The other module as this one imports it: `.policies`, `..common.money`."""
    here, there = path[:-1], other[:-1]
    common = 0
    while common < min(len(here), len(there)) and here[common] == there[common]:
        common += 1
    return "." * (len(here) - common + 1) + ".".join(other[common:])
