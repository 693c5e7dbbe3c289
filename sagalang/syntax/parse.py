"""`parse`: text to `Module` and diagnostics. It never raises on a user's text."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from lark import Token, Tree, UnexpectedInput, UnexpectedToken
from msgspec import Struct

from sagalang.diagnostics import Diagnostic, diagnose
from sagalang.syntax import ast
from sagalang.syntax.build import BadText, Builder
from sagalang.syntax.mistakes import explain
from sagalang.syntax.split import split
from sagalang.syntax.tables import load_parser
from sagalang.text import Source, Span

if TYPE_CHECKING:
    from lark import Lark


_SERIOUS: Final = ("bad-character", "unclosed-string", "bad-literal")
_COMMENT: Final = re.compile(r'^(?:[^"/]|"(?:\\.|[^"\\])*"|/(?!/))*//')


class Parsed(Struct, frozen=True):
    module: ast.Module
    diagnostics: tuple[Diagnostic, ...]


OnTree = Callable[[int, Tree[Token]], None]
"""Is given the offset of a declaration and the parser's own tree of it."""


def parse(source: Source) -> Parsed:
    """The declarations of a file; each mistake spoils only the declaration it stands in."""
    return parse_with(source, lambda start, tree: None)


def parse_with(source: Source, on_tree: OnTree) -> Parsed:
    """`parse`, for who needs the words as well: `on_tree` sees each declaration that is right."""
    cut = split(source)
    declarations: list[Any] = []
    problems = list(cut.diagnostics)
    for start, end, told in cut.ended_early:
        inside: list[Diagnostic] = []
        _parse_piece(source, start, end, cut.docs, on_tree, declarations, inside)
        if inside and inside[0].span.end < len(source.text[:end].rstrip()):
            problems.remove(told)
            problems += inside
    for start, end in cut.pieces:
        _parse_piece(source, start, end, cut.docs, on_tree, declarations, problems)
    module = ast.Module(source, tuple(declarations), cut.comments)
    problems.sort(key=lambda d: d.span.start)
    return Parsed(module, tuple(problems))


def parse_fault(source: Source) -> tuple[ast.Fault | None, tuple[Diagnostic, ...]]:
    """The text of `--fault`: what stands behind `when` in a scenario."""
    found, problems = _parse_alone(source, "planted")
    return found, problems


def parse_send(source: Source) -> tuple[ast.Send | None, tuple[Diagnostic, ...]]:
    """The text of `--send`: what stands behind `send` in a scenario."""
    found, problems = _parse_alone(source, "sent_event")
    return found, problems


def _parse_alone(source: Source, start: str) -> tuple[Any, tuple[Diagnostic, ...]]:
    cut = split(source)
    serious = [d for d in cut.diagnostics if d.name in _SERIOUS]
    if serious:
        return None, tuple(serious)
    problems: list[Diagnostic] = []
    found = _attempt(source, 0, len(source.text), start, {}, lambda at, tree: None, problems)
    return found, tuple(problems)


def _parse_piece(
    source: Source,
    start: int,
    end: int,
    docs: dict[int, str],
    on_tree: OnTree,
    declarations: list[Any],
    problems: list[Diagnostic],
) -> None:
    found = _attempt(source, start, end, "declaration", docs, on_tree, problems)
    if isinstance(found, tuple):
        declarations.extend(found)
    elif found is not None:
        declarations.append(found)


def _attempt(
    source: Source,
    start: int,
    end: int,
    rule: str,
    docs: dict[int, str],
    on_tree: OnTree,
    problems: list[Diagnostic],
) -> Any:
    """Parse one piece. After a complete declaration, what follows may be wrong on its own."""
    parser = _parser()

    def parse_inner(inner_start: int, inner_end: int) -> ast.Expr:
        place = Span(source.name, inner_start - 2, min(inner_end + 1, end))
        if _COMMENT.search(text_of := source.text[inner_start:inner_end]):
            raise BadText("syntax-error", place, "no comment can stand in `${…}`", "remove it")
        try:
            tree = parser.parse(text_of, start="expr")
        except UnexpectedToken as error:
            if error.token.type != "$END":
                told = explain(source, error, inner_start, inner_end)
                raise BadText(told.name, told.span, told.message, told.help or "") from None
            if not text_of.strip():
                message, advice = "`${}` holds no value", 'write one, as in `"${order.id}"`'
            elif "{" in text_of:
                message = "the first `}` ends a `${…}`, so no braces can stand in it"
                advice = "give the value a name with `let`, and write the name here"
            else:
                message, advice = "the value in this `${…}` is not complete", "complete it"
            raise BadText("syntax-error", place, message, advice) from None
        except UnexpectedInput as error:
            told = explain(source, error, inner_start, inner_end)
            raise BadText(told.name, told.span, told.message, told.help or "") from None
        inner: ast.Expr = Builder(source.name, inner_start, docs, parse_inner).build(tree)
        return inner

    builder = Builder(source.name, start, docs, parse_inner)
    try:
        # A copy of the piece, not a `TextSlice`: that counts the lines before it each time, which
        # makes a long file quadratic.
        tree = parser.parse(source.text[start:end], start=rule)
        built = builder.build(tree)
    except UnexpectedInput as error:
        problems.append(explain(source, error, start, end))
        if isinstance(error, UnexpectedToken) and "$END" in (error.accepts or ()):
            stop = start + (error.token.start_pos or 0)
            if start < stop < end and "\n" in source.text[_last(source.text, stop) : stop]:
                return _attempt(source, start, stop, rule, docs, on_tree, problems)
        return None
    except BadText as bad:
        problems.append(diagnose(bad.name, bad.span, bad.message, help=bad.help))
        return None
    on_tree(start, tree)
    return built


def parse_expression(text: str) -> Tree[Token]:
    """The parser's own tree of one expression. Raises lark.UnexpectedInput."""
    return _parser().parse(text, start="expr")


def _last(text: str, at: int) -> int:
    """Where the blank space that ends at `at` begins."""
    return len(text[:at].rstrip())


@cache
def _parser() -> Lark:
    return load_parser()
