"""What the picture of a failure path says is undone, and whether that agrees with what was undone.

An expression over the compensations, as regular ones are, with shuffles for what is parallel;
`after` takes one compensation off its beginning (Brzozowski's derivative).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pictured import notes

from sagalang.render import diagram as d

Expr = tuple[Any, ...]
EMPTY: Expr = ("seq",)


def undoing(diagram: d.SequenceDiagram) -> Expr:
    names = _Names(who.name for who in diagram.participants)
    names.partly = frozenset(_as_far_as_begun(diagram.items))
    return _sequence(diagram.items, names, False, False)


class _Names(list[str]):
    """Of the participants. `partly`: the steps that may not have begun when another one failed."""

    partly: frozenset[str | None] = frozenset()


def _as_far_as_begun(items: tuple[d.Item, ...]) -> Iterator[str | None]:
    for item in items:
        if isinstance(item, d.Fragment):
            for arm in item.arms:
                if arm.label == "as far as begun":
                    yield from (message.path for message in d.messages(arm.items))
                else:
                    yield from _as_far_as_begun(arm.items)


def _sequence(items: tuple[d.Item, ...], names: _Names, partly: bool, inside: bool) -> Expr:
    parts = [e for item in items if (e := _item(item, names, partly, inside)) != EMPTY]
    return ("seq", *parts)


def _item(item: d.Item, names: _Names, partly: bool, inside: bool) -> Expr:
    match item:
        case d.Phase(items=inner):
            return _sequence(inner, names, partly, True)
        case d.Message(kind=d.MessageKind.COMPENSATION, text=text, target=to):
            if text.endswith((" again", "a second time")):
                return EMPTY
            name = names[to]
            label = name if name.startswith("saga ") else f"{name}.{text.partition('(')[0]}"
            lax = partly or item.path in names.partly
            return ("maybe", ("one", label)) if lax else ("one", label)
        case d.Fragment(kind=kind, arms=arms):
            lax = partly or (inside and arms[0].label == "as far as begun")
            lax = lax or (inside and kind is d.FragmentKind.LOOP)
            found = [_sequence(arm.items, names, lax, inside) for arm in arms]
            if all(e == EMPTY for e in found):
                return EMPTY
            if kind is d.FragmentKind.PAR:
                return ("together", *found)
            if kind is d.FragmentKind.LOOP and inside:
                return ("each", found[0], "last first" in arms[0].label)
            if kind in (d.FragmentKind.ALT, d.FragmentKind.OPT) and inside:
                return ("either", EMPTY, *found)
            return ("seq", *found)
        case _:
            return EMPTY


def agrees(expr: Expr, words: Sequence[str]) -> bool:
    """Whether these compensations, in this order, are what the picture says."""
    states = {expr}
    for word in words:
        states = {after for state in states for after in _after(state, word)}
    return any(_ends(state) for state in states)


def _ends(e: Expr) -> bool:
    match e[0]:
        case "one":
            return False
        case "maybe" | "each":
            return True
        case "either":
            return any(_ends(arm) for arm in e[1:])
        case _:
            return all(_ends(part) for part in e[1:])


def _after(e: Expr, word: str) -> set[Expr]:
    match e:
        case ("one", label):
            return {EMPTY} if label == word else set()
        case ("maybe", inner):
            return _after(inner, word)
        case ("either", *arms):
            return {after for arm in arms for after in _after(arm, word)}
        case ("seq",):
            return set()
        case ("seq", first, *rest):
            found: set[Expr] = {("seq", after, *rest) for after in _after(first, word)}
            return found | (_after(("seq", *rest), word) if _ends(first) else set())
        case ("together", *parts):
            return {
                ("together", *parts[:at], after, *parts[at + 1 :])
                for at, part in enumerate(parts)
                for after in _after(part, word)
            }
        case ("each", body, in_turn):
            how = "seq" if in_turn else "together"
            return {(how, after, e) for after in _after(body, word)}
        case _:
            raise AssertionError(e)


def aborted(diagram: d.SequenceDiagram) -> frozenset[str]:
    """The errors with which statements of the saga abort in the picture."""
    return frozenset(
        line.removeprefix("abort ")
        for note in notes(diagram.items)
        for line in note.lines
        if line.startswith("abort ")
    )


def takes_long(diagram: d.SequenceDiagram) -> bool:
    """Whether the picture has a call that is repeated again and again."""
    lines = [line for note in notes(diagram.items) for line in note.lines]
    return any("again and again" in line or "for ever" in line for line in lines)
