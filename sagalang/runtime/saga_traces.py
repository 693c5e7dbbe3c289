"""Where a compiled saga is in its `.saga` text: for tracebacks, messages and results.

A compiled module says so itself, in the comments above its statements (`# order.saga:59`). They are
read only when something went wrong. Where there is no source to read, a place is one in the module.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Coroutine, Iterator
from types import FrameType
from typing import Any, Final

from sagalang.runtime.saga_calls import SagaDefinition

_PLACE: Final = re.compile(r"# (\S.*:\d+)\Z")
_SEAL: Final = "# Made by `saga compile`"
_NOTE: Final = "in the saga at "


def raised_at(raised: BaseException) -> str:
    """The place in a saga's text where an exception came out of it; empty if it did not."""
    found = ""
    traceback = raised.__traceback__
    while traceback is not None:
        # The last one is the innermost.
        found = _place(traceback.tb_frame, traceback.tb_lineno) or found
        traceback = traceback.tb_next
    return found


def standing_at(coroutine: Coroutine[Any, Any, Any] | None) -> str:
    """The place in a saga's text at which a coroutine of it waits; empty if it is over."""
    frame: FrameType | None = getattr(coroutine, "cr_frame", None)
    return _place(frame, frame.f_lineno) if frame is not None else ""


def tell(raised: BaseException, *places: str) -> None:
    """Note on an exception where the saga was, unless it says so already."""
    at = raised_at(raised) or ", ".join(dict.fromkeys(filter(None, places)))
    if at and not any(note.startswith(_NOTE) for note in getattr(raised, "__notes__", ())):
        raised.add_note(_NOTE + at)


def _place(frame: FrameType, line: int) -> str:
    """The place that stands above a line of a compiled module; empty for other code."""
    name = frame.f_code.co_filename
    lines = linecache.getlines(name, frame.f_globals)
    if not lines:
        compiled = any(isinstance(found, SagaDefinition) for found in frame.f_globals.values())
        return f"{name}:{line}" if compiled else ""
    if not lines[0].startswith(_SEAL):
        return ""
    return next(_above(lines, line), "")


def _above(lines: list[str], line: int) -> Iterator[str]:
    """The places above a line, of the statements that it is in: none deeper than the line."""
    deepest = None
    for text in reversed(lines[:line]):
        stripped = text.strip()
        if not stripped:
            continue
        depth = len(text) - len(text.lstrip())
        found = _PLACE.match(stripped)
        if found is not None and depth and (deepest is None or depth <= deepest):
            yield found[1]
        if found is None:
            deepest = depth if deepest is None else min(deepest, depth)
        if deepest == 0:
            return
