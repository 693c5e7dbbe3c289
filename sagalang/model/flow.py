"""What is known at a point of a saga while its statements are read in text order."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from sagalang.model import program as p
from sagalang.model.context import Context
from sagalang.model.expressions import Typing, may_fail
from sagalang.model.scope import Scope
from sagalang.model.types import Type
from sagalang.syntax import ast
from sagalang.text import Span


class Flow(Struct, frozen=True):
    """`clean`: this point may be reached without a pivot having happened; `past`: after one.

    Both can be true, where an arm of an `if` has a pivot and the other has none.
    """

    scope: Scope
    goes_on: bool = True
    clean: bool = True
    past: bool = False

    def with_scope(self, scope: Scope) -> Flow:
        return replace(self, scope=scope)


class Region(Struct, frozen=True):
    """What surrounds a statement.

    `caught`: errors that an `attempt` begun after the pivot handles. `guarded`: inside such an
    attempt, so that commands need compensations again.
    """

    loop: Span | None = None
    parallel: Span | None = None
    caught: frozenset[str] = frozenset()
    guarded: bool = False
    farewell: bool = False
    """Inside `when compensated`."""


@dataclass
class Frame:
    """One saga under check: what its statements share.

    `errors`: the errors raised so far in the innermost scope that could handle them, with the
    place of the first. `labels`: how often each step label was used.
    """

    context: Context
    declaration: ast.SagaDecl
    result: Type
    deadline: p.Ms | None = None
    compensate_with: p.Policy = field(default_factory=p.Policy)
    escalate: p.Escalation | None = None
    errors: dict[str, Span] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    bound: list[tuple[str, Span, str]] = field(default_factory=list)
    """Names that ought to be used: (name, place, what it is)."""
    pivots: list[Span] = field(default_factory=list)

    def label(self, text: str) -> str:
        """A stable path for a step: the label, with `#2`, `#3` for later ones of the same."""
        count = self.labels[text] = self.labels.get(text, 0) + 1
        return text if count == 1 else f"{text}#{count}"

    def raises(self, name: str, span: Span) -> None:
        self.errors.setdefault(name, span)

    def typing(self, flow: Flow) -> Typing:
        return Typing(self.context, flow.scope)

    def done(self, typing: Typing) -> None:
        self.used |= typing.used

    def bad_value(self, flow: Flow, region: Region, *values: p.Expr | None) -> None:
        """Note that evaluating these may abort the saga, and refuse it after the pivot."""
        for value in values:
            if value is None or not may_fail(value):
                continue
            self.raises("BadValue", value.span)
            if flow.past and "BadValue" not in region.caught:
                self.context.report(
                    "abort-after-pivot",
                    value.span,
                    "this can fail with `BadValue`, and after the pivot nothing can be undone",
                    other=(self.pivots[0], "the point of no return") if self.pivots else None,
                    help="guard it: `… ?? value`",
                )
            return

    def aborts(self, flow: Flow, region: Region, error: str, span: Span) -> None:
        """Note that the saga aborts here, and refuse it after the pivot."""
        self.raises(error, span)
        if flow.past and error not in region.caught:
            self.context.report(
                "abort-after-pivot",
                span,
                "the saga cannot abort here: the pivot is behind it",
                other=(self.pivots[0], "the point of no return") if self.pivots else None,
                help='abort before the pivot, or escalate to a person: `else escalate "team"`',
            )
