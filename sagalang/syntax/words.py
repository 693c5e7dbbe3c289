"""Words that later versions will need."""

from __future__ import annotations

from typing import Final

RESERVED: Final = {
    "race": "run the branches in `parallel`, or `poll` for the first that is ready",
    "emit": "send the event from a service, as an operation of its own",
    "match": "use `if … else if …`",
    "while": "use `poll`, or a `for` over a list",
    "lock": "take the lock by a step whose compensation gives it back",
    "touches": "say it in a `///` comment",
    "choreograph": "run the saga as it is; `saga render` can draw it",
}
"""The word, and what to do until it is there."""
