"""Several observers of one journal. Whatever they do, the saga goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from sagalang.runtime.journal import Entry

Observer = Callable[[Entry], None]

logger: Final = logging.getLogger("sagalang.observer")


def observers(*each: Observer) -> Observer:
    """Tells all of them every entry, in this order.

    An exception of one of them is logged, once for each, and hurts neither the others nor the
    saga. (Who wants to stop a run must therefore stand outside.)
    """
    failed: set[int] = set()

    def tell(entry: Entry) -> None:
        for number, observer in enumerate(each):
            try:
                observer(entry)
            except Exception as error:
                if number not in failed:
                    failed.add(number)
                    _say(error)

    return tell


def _say(error: Exception) -> None:
    # Name and place only: the text of an exception may show what the saga works with.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}" if trace else ""
    name = type(error).__name__
    logger.error("an observer failed (%s%s); the saga goes on", name, where)
