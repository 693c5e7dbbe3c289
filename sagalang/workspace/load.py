"""`load`: a file and everything it imports, parsed and checked.

The only place that reads `.saga` files. What cannot be read is a diagnostic like any other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from sagalang.diagnostics import Diagnostic, diagnose
from sagalang.graph import deadline_findings, lower
from sagalang.model import program as p
from sagalang.model.check import check, silence
from sagalang.model.context import Context
from sagalang.syntax import ast
from sagalang.syntax.parse import parse
from sagalang.text import Source, Span

STDIN = "<stdin>"
MAX_BYTES = 32 * 1024 * 1024
MAX_CHAIN = 100


class Loaded(Struct, frozen=True):
    """`program` is complete only where `has_errors` is false."""

    program: p.Program
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, Source]
    context: Context

    @property
    def has_errors(self) -> bool:
        return any(d.is_error for d in self.diagnostics)


class Unreadable(Exception):  # noqa: N818 - told to the user, not an error of ours
    """A file that cannot be read; the text is a plain sentence."""


@dataclass
class _Files:
    """What has been read so far; `modules` in the order of their imports, imported first."""

    read: Callable[[str], str]
    sources: dict[str, Source] = field(default_factory=dict)
    modules: list[ast.Module] = field(default_factory=list)
    imports: dict[str, list[str]] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)


def load(path: str) -> Loaded:
    """Read, parse and check a file. Its name in messages is the path as given."""
    if path == "-":
        return _load(STDIN, lambda name: read_text("-" if name == STDIN else name))
    return _load(os.path.normpath(path), read_text)


def load_text(text: str, name: str = "<text>", others: Mapping[str, str] | None = None) -> Loaded:
    """The same for a text in memory; `others` are the files it may import, by path."""
    files = {name: text, **(others or {})}

    def read(path: str) -> str:
        if path not in files:
            raise Unreadable("there is no such file")
        return files[path]

    return _load(name, read)


def _load(main: str, read: Callable[[str], str]) -> Loaded:
    files = _Files(read)
    try:
        text = read(main)
    except Unreadable as error:
        source = Source(main, "")
        files.sources[main] = source
        files.problems.append(
            diagnose("unreadable-file", Span(main, 0, 0), f"cannot read {main}: {error}")
        )
    else:
        _add(files, main, text, ())
    visible = {name: _reachable(files, name) for name in files.sources}
    try:
        checked = check(files.modules, main, visible, files.problems)
    except RecursionError:
        files.problems.append(
            diagnose(
                "nested-too-deeply",
                Span(main, 0, 0),
                "these declarations lead from one to the next too many times",
                help="shorten the longest chain of types, constants, policies or sagas",
            )
        )
        checked = check((), main, visible)
    problems = [*files.problems, *checked.diagnostics]
    if not any(problem.is_error for problem in problems):
        for name in checked.program.sagas:
            problems += deadline_findings(lower(checked.program, name))
    found = silence(problems, files.modules)
    if any(problem.is_error for problem in files.problems):
        # What could not be read may be just what a warning misses.
        found = tuple(problem for problem in found if problem.is_error)
    order = {name: i for i, name in enumerate([main, *reversed(list(files.sources))])}
    ordered = sorted(found, key=lambda d: (order.get(d.span.file, 0), d.span.start, d.code))
    return Loaded(checked.program, tuple(ordered), files.sources, checked.context)


def read_text(path: str) -> str:
    """The text of a file, UTF-8 with or without a BOM. Raises Unreadable."""
    try:
        if path == "-":
            import sys

            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise Unreadable("it is a directory; name a .saga file in it") from None
    except FileNotFoundError:
        raise Unreadable("there is no such file") from None
    except PermissionError:
        raise Unreadable("no permission to read it") from None
    except (OSError, ValueError) as error:
        raise Unreadable(getattr(error, "strerror", None) or str(error)) from None
    if len(data) > MAX_BYTES:
        raise Unreadable(f"it is larger than {MAX_BYTES // 1024 // 1024} MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Unreadable(f"line {line} is not UTF-8; save it as UTF-8 text") from None


def _add(files: _Files, name: str, text: str, chain: tuple[str, ...]) -> None:
    source = Source(name, text)
    files.sources[name] = source
    parsed = parse(source)
    files.problems += parsed.diagnostics
    files.imports[name] = []
    seen: dict[str, Span] = {}
    for declaration in parsed.module.declarations:
        if isinstance(declaration, ast.Import):
            _follow(files, name, declaration, (*chain, name), seen)
    files.modules.append(parsed.module)


def _follow(
    files: _Files,
    name: str,
    declaration: ast.Import,
    chain: tuple[str, ...],
    seen: dict[str, Span],
) -> None:
    written = declaration.path.value
    folder = os.path.dirname(name)
    target = os.path.normpath(os.path.join(folder, written))
    span = declaration.path.span
    if target in chain:
        ring = [*chain[chain.index(target) :], target]
        first = _import_of(files, target, ring[1]) if len(ring) > 2 else None
        files.problems.append(
            diagnose(
                "import-cycle",
                span,
                "these files import each other: " + " → ".join(ring)
                if len(ring) > 2
                else "this file imports itself",
                other=(first, "the first import of the circle") if first else None,
                help="move what both need into a third file",
            )
        )
        return
    if len(chain) > MAX_CHAIN:
        files.problems.append(
            diagnose(
                "nested-too-deeply",
                span,
                f"this is the end of a chain of more than {MAX_CHAIN} imports",
                help="import what you need directly",
            )
        )
        return
    if target in seen:
        files.problems.append(
            diagnose(
                "duplicate-name",
                span,
                f'"{written}" is imported twice',
                other=(seen[target], "first here"),
                help="remove one",
            )
        )
        return
    seen[target] = span
    files.imports[name].append(target)
    if target in files.sources:
        return
    try:
        text = files.read(target)
    except Unreadable as error:
        files.imports[name].remove(target)
        files.problems.append(
            diagnose(
                "import-not-found",
                span,
                f'cannot import "{written}": {error}',
                help=_nearby(target, written) or "the path is relative to this file",
            )
        )
        return
    _add(files, target, text, chain)


def _import_of(files: _Files, name: str, target: str) -> Span | None:
    """Where `name` imports `target`; its module is not complete yet, so its text is asked."""
    source = files.sources[name]
    for declaration in parse(source).module.declarations:
        if isinstance(declaration, ast.Import):
            folder = os.path.dirname(name)
            if os.path.normpath(os.path.join(folder, declaration.path.value)) == target:
                return declaration.path.span
    return None


def _nearby(target: str, written: str) -> str | None:
    from sagalang.diagnostics.suggest import nearest

    folder = os.path.dirname(target) or "."
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".saga")]
    except OSError:
        return None
    found = nearest(os.path.basename(target), names)
    if found is None:
        return None
    head = written[: len(written) - len(os.path.basename(written))]
    return f'did you mean `"{head}{found}"`?'


def _reachable(files: _Files, name: str) -> frozenset[str]:
    found = {name}
    waiting = [name]
    while waiting:
        for target in files.imports.get(waiting.pop(), ()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return frozenset(found)
