"""The one diagnostic value. Renderers read it, nothing changes it."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from sagalang.diagnostics.registry import BY_NAME, Severity
from sagalang.text import Span


class Label(NamedTuple):
    """A place and what is to be said about it (may be empty)."""

    span: Span
    text: str = ""


class Diagnostic(Struct, frozen=True):
    """`message` says what is wrong in the user's words and is enough if nothing else is shown.

    `primary` says why here; `secondary` shows the other place; `help` says what to type.
    """

    code: str
    name: str
    severity: Severity
    message: str
    primary: Label
    secondary: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None

    @property
    def span(self) -> Span:
        return self.primary.span

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR


def diagnose(
    name: str,
    span: Span,
    message: str,
    label: str = "",
    *,
    other: tuple[Span, str] | None = None,
    others: tuple[tuple[Span, str], ...] = (),
    notes: tuple[str, ...] = (),
    help: str | None = None,  # noqa: A002 - the field's name, and what users see
) -> Diagnostic:
    """A diagnostic of the registered `name`.

    Raises KeyError if the name is not registered, which is a bug of ours.
    """
    code = BY_NAME[name]
    places = ((other,) if other else ()) + others
    return Diagnostic(
        code.code,
        name,
        code.severity,
        message,
        Label(span, label),
        tuple(Label(*place) for place in places),
        notes,
        help,
    )
