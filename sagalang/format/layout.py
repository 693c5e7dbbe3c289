"""A whole file: its declarations, the blank lines between them, and records in columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sagalang.format import documents as d
from sagalang.format.declarations import DECLARATIONS, WIDTH
from sagalang.format.expressions import EXPRESSIONS
from sagalang.format.pieces import Layout, Part, above, blank_before, first, row, spaced, word
from sagalang.format.statements import STATEMENTS
from sagalang.syntax.concrete import Node, Word, Written

_LAYOUTS: Final[dict[str, Layout]] = {**EXPRESSIONS, **STATEMENTS, **DECLARATIONS}
_IN_COLUMNS: Final = ("record_decl", "event_decl")


def lay(part: Part) -> d.Doc:
    """The layout of a part: its kind's own, or else its words in a row."""
    if isinstance(part, Word):
        return word(part, lay)
    layout = _LAYOUTS.get(part.kind)
    return layout(part, lay) if layout else row(part.parts, lay)


def lay_out(written: Written) -> str:
    """The text of a file; it ends with a line break unless it is empty."""
    declarations = written.declarations
    made = [d.group(lay(declaration)) for declaration in declarations]
    for run in _column_runs(declarations, made):
        made[run.start : run.stop] = _in_column(declarations[run.start : run.stop])
    docs: list[d.Doc] = []
    for i, declaration in enumerate(declarations):
        if i:
            stands_apart = _many_lines(made[i - 1]) or _many_lines(made[i])
            docs.append(d.BLANK if stands_apart and not _spaced(declaration) else _gap(declaration))
        docs.append(made[i])
    end = written.end
    if end.above:
        docs += (_gap(end), *above(end, closes=True))
    text = d.render(d.cat(*docs), WIDTH)
    return text + "\n" if text else ""


def _gap(part: Part) -> d.Doc:
    return d.BLANK if blank_before(part) else d.HARD


def _spaced(part: Part) -> bool:
    """Whether a blank line stands anywhere between this and what is before it."""
    begin = first(part)
    return begin.spaced or any(remark.spaced for remark in begin.above)


def _many_lines(doc: d.Doc) -> bool:
    """Whether a declaration takes more than one line, comments around it aside."""
    width = d.code_width(doc)
    return width is None or width > WIDTH


def _column_runs(declarations: Sequence[Node], made: Sequence[d.Doc]) -> list[range]:
    """Neighbours on one line each whose braces stood in one column, by more than one blank."""
    runs: list[range] = []
    start = 0
    for i in range(1, len(declarations) + 1):
        if i < len(declarations) and _same_column(declarations[i - 1 : i + 1], made[i - 1 : i + 1]):
            continue
        run = declarations[start:i]
        if len(run) > 1 and any(_pad(declaration) > 1 for declaration in run):
            widest = max(_head_width(declaration) for declaration in run)
            tails = max(
                (d.code_width(doc) or 0) - _head_width(declaration)
                for doc, declaration in zip(made[start:i], run, strict=True)
            )
            if widest + tails <= WIDTH:
                runs.append(range(start, i))
        start = i
    return runs


def _same_column(pair: Sequence[Node], made: Sequence[d.Doc]) -> bool:
    upper, lower = pair
    if any(len(node.parts) < 3 or node.kind not in _IN_COLUMNS for node in pair):
        return False
    if any(_many_lines(doc) for doc in made):
        return False
    begin = first(lower)
    return (
        begin.fresh
        and not begin.above
        and not begin.spaced
        and not any(first(node.parts[2]).fresh for node in pair)
        and first(upper.parts[2]).column == first(lower.parts[2]).column
    )


def _pad(declaration: Node) -> int:
    return first(declaration.parts[2]).start - first(declaration.parts[1]).end


def _head_width(declaration: Node) -> int:
    return len(f"{first(declaration).text} {first(declaration.parts[1]).text}")


def _in_column(run: Sequence[Node]) -> list[d.Doc]:
    widest = max(_head_width(declaration) for declaration in run)
    return [
        d.cat(
            spaced(declaration.parts[:2], lay),
            d.text(" " * (widest - _head_width(declaration) + 1)),
            lay(declaration.parts[2]),
        )
        for declaration in run
    ]
