"""What the middleware tells the log: names and keys, never bodies, headers or callers."""

from __future__ import annotations

import logging
from typing import Final

from sagalang.idempotency import core
from sagalang.idempotency.core import Id

logger: Final = logging.getLogger("sagalang.idempotency")


def say(
    level: int, event: str, identity: Id, text: str, error: BaseException | None = None
) -> None:
    """One record; `event`, `operation` and `key` are attributes of it."""
    extra = {"event": event, "operation": identity.operation, "key": identity.key}
    # A traceback may show what the handler was given, so the server's own log has it, not this one.
    kind = f": {type(error).__name__}" if error else ""
    logger.log(level, f"%s, key %s: {text}{kind}", identity.operation, identity.key, extra=extra)


def told(identity: Id, decision: core.Standing | core.Mismatch) -> None:
    match decision:
        case core.Replay():
            say(logging.INFO, "replayed", identity, "replayed the stored answer")
        case core.InFlight():
            say(logging.INFO, "in-progress", identity, "refused, an earlier run is not over")
        case core.Mismatch():
            say(logging.WARNING, "key-reused", identity, "refused, the key is another request's")
        case core.Fenced():
            say(logging.INFO, "fenced", identity, "refused, it has been undone")
        case core.Abandoned():
            say(logging.ERROR, "abandoned", identity, "refused, an earlier run broke off")
