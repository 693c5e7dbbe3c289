"""How `saga diff` prints what it found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sagalang.cli.terminal import BOLD, DIM, GREEN, RED, YELLOW, paint
from sagalang.text import Source, Span
from sagalang.upgrade import Change, Kind, Position, SagaUpgrade, Verdict
from sagalang.workspace import Loaded

_COLOURS: Final = {Verdict.SAFE: GREEN, Verdict.DRAIN: YELLOW, Verdict.BREAKS: RED}
_UNDER_WAY: Final = {
    "wait": "waiting for",
    "poll": "polling",
    "sleep": "sleeping",
}
WIDTH: Final = 6
"""Of the longest verdict."""


def full(old: Loaded, new: Loaded, found: Sequence[SagaUpgrade], *, colour: bool = False) -> str:
    """Every saga with its changes and the positions that are not safe."""
    lines: list[str] = []
    for upgrade in found:
        lines += ["", *_saga(old, new, upgrade, colour)]
    worst = max(upgrade.verdict for upgrade in found)
    if worst is not Verdict.SAFE:
        lines += ["", "a run can always end under the definition that it began with"]
    return "\n".join(lines[1:])


def _saga(old: Loaded, new: Loaded, upgrade: SagaUpgrade, colour: bool) -> Iterator[str]:
    name = paint(BOLD, upgrade.saga, colour)
    mark = _mark(upgrade.verdict, colour)
    if upgrade.old is None:
        yield f"{mark}  {name}: is new, so nothing of it is running"
        return
    yield f"{mark}  {name}: {_counted(upgrade.positions)}"
    for number, change in enumerate(upgrade.changes, 1):
        yield ""
        yield f"  {_mark(change.verdict, colour)}  [{number}] {change.text}"
        places = _places(old, new, change)
        yield paint(DIM, f"  {'':{WIDTH}}  {places}", colour)
        yield f"  {'':{WIDTH}}  help: {change.advice}"
    concerned = [q for q in upgrade.positions if q.verdict is not Verdict.SAFE]
    if concerned:
        yield ""
    for position in concerned:
        numbers = "".join(f"[{number + 1}]" for number in position.changes)
        words = position_words(position, old.sources)
        yield f"  {_mark(position.verdict, colour)}  {words}  {paint(DIM, numbers, colour)}"


def _mark(verdict: Verdict, colour: bool) -> str:
    return paint(_COLOURS[verdict], f"{verdict.word:<{WIDTH}}", colour)


def _counted(positions: Sequence[Position]) -> str:
    count = {v: sum(q.verdict is v for q in positions) for v in Verdict}
    total = f"{len(positions)} position{'' if len(positions) == 1 else 's'}"
    if count[Verdict.SAFE] == len(positions):
        return f"all {total} are safe" if len(positions) > 1 else f"its {total} is safe"
    parts = [f"{count[Verdict.SAFE]} of {total} safe"]
    if count[Verdict.DRAIN]:
        parts.append(f"{count[Verdict.DRAIN]} to drain")
    if count[Verdict.BREAKS]:
        parts.append(f"{count[Verdict.BREAKS]} broken")
    return ", ".join(parts)


def position_words(position: Position, sources: Mapping[str, Source]) -> str:
    """`before Payment.charge (line 12)`, `waiting for Review (line 20)`."""
    what = position.what
    first, _, rest = what.partition(" ")
    if position.kind is Kind.IN and first in _UNDER_WAY:
        what = f"{_UNDER_WAY[first]} {rest}".rstrip()
    else:
        what = f"{position.kind.value} {what}"
    after = ", once compensated" if position.epilogue else ""
    return f"{what} (line {_line(sources, position.span)}{after})"


def _places(old: Loaded, new: Loaded, change: Change) -> str:
    was = None if change.old is None else _place(old, change.old)
    is_ = None if change.new is None else _place(new, change.new)
    if was is None:
        return f"not in {old.program.main}, {is_}"
    return f"{was}, not in {new.program.main}" if is_ is None else f"{was} -> {is_}"


def _place(loaded: Loaded, span: Span) -> str:
    return f"{span.file}:{_line(loaded.sources, span)}"


def _line(sources: Mapping[str, Source], span: Span) -> int:
    return sources[span.file].position(span.start).line


# --- For programs --------------------------------------------------------------------------------


def as_json(old: Loaded, new: Loaded, found: Sequence[SagaUpgrade]) -> str:
    """One object: `format_version` and every saga with all of its positions."""
    rows = [_data(old, new, upgrade) for upgrade in found]
    return json.dumps({"format_version": 1, "sagas": rows}, ensure_ascii=False, indent=2)


def _data(old: Loaded, new: Loaded, upgrade: SagaUpgrade) -> dict[str, Any]:
    return {
        "saga": upgrade.saga,
        "verdict": upgrade.verdict.word,
        "old": _spot(old, upgrade.old),
        "new": _spot(new, upgrade.new),
        "positions": [
            {
                "position": position_words(position, old.sources),
                "kind": position.kind.value,
                "statement": position.what,
                "path": position.path,
                "when_compensated": position.epilogue,
                "at": _spot(old, position.span),
                "verdict": position.verdict.word,
                "changes": list(position.changes),
            }
            for position in upgrade.positions
        ],
        "changes": [
            {
                "verdict": change.verdict.word,
                "text": change.text,
                "help": change.advice,
                "old": _spot(old, change.old),
                "new": _spot(new, change.new),
            }
            for change in upgrade.changes
        ],
    }


def _spot(loaded: Loaded, span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    at = loaded.sources[span.file].position(span.start)
    return {"file": span.file, "line": at.line, "column": at.column}
