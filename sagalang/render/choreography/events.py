"""What the parts of a choreography have in common: who can tell how far the saga is.

An arrow from one participant to another is an event; an arrow to itself is what a service does
when it hears one. Nobody sends itself an event: it simply goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sagalang.render.diagram import Item, Message, MessageKind, Note, NoteKind
from sagalang.text import Span

STARTER = 0
"""Whoever starts the saga stands where the orchestrator would, and is told how it ended."""


@dataclass(frozen=True, slots=True)
class News:
    """The newest event: whose it is, and what it is called.

    `create ok`, not `OrderCreated`: what is made of the operation's name must be right for every
    verb there is.
    """

    source: int
    text: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A piece of a picture, and the event that comes after it."""

    items: tuple[Item, ...]
    news: News


def told(news: News, to: int, span: Span | None = None) -> tuple[Item, ...]:
    """The event on its way to somebody who acts on it, or waits for it."""
    if news.source == to:
        return ()
    return (Message(news.source, to, news.text, MessageKind.EVENT, None, span),)


def until(drawn: Drawn, to: int) -> tuple[Item, ...]:
    """A piece, and the event after it on its way."""
    return (*drawn.items, *told(drawn.news, to))


def duty(who: int, lines: Iterable[str], span: Span | None = None) -> Note:
    """What somebody has to see to because nobody else does."""
    return Note(tuple(lines), NoteKind.INFO, (who, who), span)
