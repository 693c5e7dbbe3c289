"""The machine's tables as state diagrams: `python -m sagalang.machine.pictures`.

What it prints stands in ARCHITECTURE.md, so that the pictures there are what the code goes by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sagalang.machine import calls, state, undo

BEGIN: Final = "<!-- state diagrams: python -m sagalang.machine.pictures -->"
END: Final = "<!-- end of state diagrams -->"

_START: Final = "[*]"


def diagram(arrows: Iterable[tuple[str, str, str]]) -> str:
    """A Mermaid state diagram; `arrows`: from, to, why. `[*]` is the beginning and the end."""
    lines = [f"  {before} --> {after}: {why}" for before, after, why in arrows]
    return "\n".join(["stateDiagram-v2", *lines])


def saga() -> str:
    """The phases of a saga."""
    steps = ((before, turning, after) for (before, turning), after in state.NEXT.items())
    return diagram(
        [
            (_START, state.Phase.FORWARD.value, "it starts"),
            *((before.value, after.value, turning.value) for before, turning, after in steps),
        ]
    )


def undoing() -> str:
    """What may have to be undone: a step, or a child saga."""
    return diagram(
        [
            (_START, undo.Status.SETTLING.value, "its intent is on record"),
            *(
                (before.value, _START if after is None else after.value, fate.value)
                for (before, fate), after in undo.LIFE.items()
            ),
        ]
    )


def call() -> str:
    """What follows an attempt of a call."""
    return diagram(
        [
            (_START, "attempt", "its intent is on record"),
            *(("attempt", action.value, why) for action, why in _reasons(calls.AFTER)),
            (
                calls.Action.REPEAT.value,
                "attempt",
                "after a back-off, if time and retries are left",
            ),
            (calls.Action.ASK.value, "attempt", "it certainly did not happen"),
            (calls.Action.ASK.value, calls.Action.FINISH.value, "it happened, or nobody knows"),
            (calls.Action.FINISH.value, _START, "its outcome is on record"),
        ]
    )


def _reasons(
    table: Mapping[tuple[calls.Kind, calls.Standing], calls.Action],
) -> Iterable[tuple[calls.Action, str]]:
    """Each action with an outcome after which it comes, whatever may have happened before or (the
    standing) where that makes a difference."""
    for kind in calls.Kind:
        actions = {table[kind, standing] for standing in calls.Standing}
        if len(actions) == 1:
            yield actions.pop(), kind.value
            continue
        for standing in calls.Standing:
            yield table[kind, standing], f"{kind.value}, and {standing.value}"


def blocks() -> str:
    """All diagrams as they stand in ARCHITECTURE.md."""
    parts: list[tuple[str, str]] = [
        ("A saga (`machine/state.py`, `NEXT`)", saga()),
        ("What may have to be undone (`machine/undo.py`, `LIFE`)", undoing()),
        ("A call, after an attempt (`machine/calls.py`, `AFTER`)", call()),
    ]
    return "\n\n".join(f"### {title}\n\n```mermaid\n{text}\n```" for title, text in parts)


if __name__ == "__main__":
    print(blocks())
