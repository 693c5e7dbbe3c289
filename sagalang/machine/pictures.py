"""The machine's tables as state diagrams: `python -m sagalang.machine.pictures`.

What it prints stands in ARCHITECTURE.md, and the breaker in docs/resilience.md, so that the
pictures there are what the code goes by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, TypeVar

from sagalang.machine import breaker, calls, state, undo

BEGIN: Final = "<!-- state diagrams: python -m sagalang.machine.pictures -->"
END: Final = "<!-- end of state diagrams -->"

_START: Final = "[*]"

State = TypeVar("State", bound=Enum)
Cause = TypeVar("Cause", bound=Enum)


def diagram(arrows: Iterable[tuple[str, str, str]]) -> str:
    """A Mermaid state diagram; `arrows`: from, to, why. `[*]` is the beginning and the end."""
    drawn = tuple(arrows)
    names = dict.fromkeys(name for before, after, _ in drawn for name in (before, after))
    # Mermaid ends an id at a hyphen.
    ids = {name: name.replace("-", "_") for name in names}
    aliases = [f'  state "{name}" as {id_}' for name, id_ in ids.items() if name != id_]
    lines = [f"  {ids[before]} --> {ids[after]}: {why}" for before, after, why in drawn]
    return "\n".join(["stateDiagram-v2", *aliases, *lines])


def life(begin: State, why: str, table: Mapping[tuple[State, Cause], State | None]) -> str:
    """The diagram of a table: what each state becomes by which cause; None is the end."""
    steps = ((before, cause, after) for (before, cause), after in table.items())
    return diagram(
        [
            (_START, begin.value, why),
            *(
                (before.value, _START if after is None else after.value, cause.value)
                for before, cause, after in steps
            ),
        ]
    )


def saga() -> str:
    """The phases of a saga."""
    return life(state.Phase.FORWARD, "it starts", state.NEXT)


def undoing() -> str:
    """What may have to be undone: a step, or a child saga."""
    return life(undo.Status.SETTLING, "its intent is on record", undo.LIFE)


def circuit_breaker() -> str:
    """The phases of a breaker."""
    return life(breaker.CLOSED.phase, "no call yet", breaker.NEXT)


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
