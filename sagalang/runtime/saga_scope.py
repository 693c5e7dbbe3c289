"""What a compiled saga awaits: `Saga`, one object for the saga and one for each branch and
iteration, which knows the identities of the loops around it.

Everything that is awaited is a request to the run (`saga_run`), which drives the coroutines by
hand: a saga awaits nothing else, so that the same events always lead it the same way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from msgspec import Struct

from sagalang.machine import keys
from sagalang.machine.evaluate import instant
from sagalang.machine.events import Place
from sagalang.model.program import RELENTLESS, Policy
from sagalang.runtime.saga_calls import Call, Escalate, SagaCall
from sagalang.runtime.saga_errors import SagaError, translated
from sagalang.runtime.saga_values import identity

if TYPE_CHECKING:
    from sagalang.runtime.saga_run import Run
    from sagalang.runtime.saga_strands import Strand

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
Item = TypeVar("Item")
Result = TypeVar("Result")

Undo = Call[Any] | Callable[[T], Call[Any]] | None
"""A compensation: a call, or a function that makes it from the step's result."""


class Request(Struct, Generic[T], eq=False):
    """Something a saga awaits; the run answers it."""

    def __await__(self) -> Generator[Any, Any, T]:
        answer: T = yield self
        return answer


class StepRequest(Request[T], eq=False):
    place: Place
    call: Callable[[], Call[Any]] | Call[Any]
    undo: Any
    policy: Policy | None
    undo_policy: Policy | None
    escalate: Escalate | None
    pivot: bool = False
    best_effort: bool = False


class ChildRequest(Request[T], eq=False):
    place: Place
    call: Callable[[], SagaCall[Any]] | SagaCall[Any]
    escalate: Escalate | None
    pivot: bool
    best_effort: bool


class SleepRequest(Request[None], eq=False):
    place: Place
    until: timedelta | datetime


class WaitRequest(Request[T], eq=False):
    place: Place
    event: type
    within: timedelta
    where: Callable[[Any], bool] | None
    otherwise: Escalate | None


class PollRequest(Request[T], eq=False):
    place: Place
    call: Callable[[], Call[Any]] | Call[Any]
    until: Callable[[Any], bool]
    every: timedelta
    within: timedelta
    policy: Policy | None
    otherwise: Escalate | Callable[[], SagaError] | None


class ParallelRequest(Request[Any], eq=False):
    branches: tuple[tuple[Saga, Callable[[Saga], Coroutine[Any, Any, Any]]], ...]
    at_once: int | None
    """Of a loop: how many run at the same time; None for the branches of a `parallel`."""


class UndoRequest(Request[None], eq=False):
    """An exception leaves the body of an attempt that catches it."""

    attempt: Attempt
    error: SagaError


class Saga:
    """What a saga may do and await. Paths are the identity of what happens, so they stay the same
    when the text around them changes: keys are made from them."""

    __slots__ = ("_loops", "_run", "_strand")

    def __init__(
        self, run: Run, strand: Strand | None, loops: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self._run = run
        self._strand = strand
        self._loops = loops

    def _place(self, path: str) -> Place:
        return Place(path, self._loops)

    # --- Values --------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self._run.saga_id

    def now(self) -> datetime:
        """The instant of what happened last: the same when the run is repeated."""
        return instant(self._run.now)

    def key(self, path: str, loops: int | None = None) -> str:
        """The idempotency key of the step at `path`. `loops`: how many of the loops around this
        place are also around that step, if not all."""
        return self._run.key(Place(path, self._loops[:loops]))

    # --- Steps ---------------------------------------------------------------------------------

    def step(
        self,
        path: str,
        call: Call[T],
        *,
        undo: Undo[T] = None,
        no_undo: str = "",
        policy: Policy | None = None,
        undo_policy: Policy | None = None,
        escalate: Escalate | None = None,
    ) -> Awaitable[T]:
        """Make a call, and give its answer.

        `undo` compensates it if the saga goes back; a function is given the answer. `no_undo` says
        why there is none. `policy`: that of the call, unless given. `escalate`: hand a failure to
        people instead of raising it. Raises the declared errors, and those of the language.
        """
        return StepRequest(self._place(path), call, undo, policy, undo_policy, escalate)

    def pivot(
        self,
        path: str,
        call: Call[T],
        *,
        policy: Policy = RELENTLESS,
        escalate: Escalate | None = None,
    ) -> Awaitable[T]:
        """The point of no return: from here on the saga is completed, never undone."""
        return StepRequest(self._place(path), call, None, policy, None, escalate, pivot=True)

    def best_effort(
        self, path: str, call: Call[T] | Callable[[], Call[T]], *, policy: Policy | None = None
    ) -> Awaitable[T | None]:
        """Make a call whose failure does not matter: None where it failed."""
        return StepRequest(self._place(path), call, None, policy, None, None, best_effort=True)

    @overload
    def child(
        self,
        path: str,
        call: SagaCall[T],
        *,
        pivot: bool = ...,
        best_effort: Literal[False] = ...,
        escalate: Escalate | None = ...,
    ) -> Awaitable[T]: ...
    @overload
    def child(
        self,
        path: str,
        call: SagaCall[T] | Callable[[], SagaCall[T]],
        *,
        best_effort: Literal[True],
    ) -> Awaitable[T | None]: ...
    def child(
        self,
        path: str,
        call: SagaCall[T] | Callable[[], SagaCall[T]],
        *,
        pivot: bool = False,
        best_effort: bool = False,
        escalate: Escalate | None = None,
    ) -> Awaitable[Any]:
        """Run a saga as a step; it is undone by its own compensations."""
        return ChildRequest(self._place(path), call, escalate, pivot, best_effort)

    # --- Time and events -----------------------------------------------------------------------

    def sleep(self, path: str, until: timedelta | datetime) -> Awaitable[None]:
        """Wait for a duration, or until an instant."""
        return SleepRequest(self._place(path), until)

    @overload
    def wait(
        self,
        path: str,
        event: type[T],
        *,
        within: timedelta,
        where: Callable[[T], bool] | None = ...,
    ) -> Awaitable[T | None]: ...
    @overload
    def wait(
        self,
        path: str,
        event: type[T],
        *,
        within: timedelta,
        where: Callable[[T], bool] | None = ...,
        otherwise: Escalate,
    ) -> Awaitable[T]: ...
    def wait(
        self,
        path: str,
        event: type[T],
        *,
        within: timedelta,
        where: Callable[[T], bool] | None = None,
        otherwise: Escalate | None = None,
    ) -> Awaitable[Any]:
        """The first event of this type, sent to this saga, for which `where` holds.

        One that came early is not lost. If none comes in time: None, or people are told.
        """
        return WaitRequest(self._place(path), event, within, where, otherwise)

    @overload
    def poll(
        self,
        path: str,
        call: Call[T] | Callable[[], Call[T]],
        *,
        until: Callable[[T], bool],
        every: timedelta,
        within: timedelta,
        policy: Policy | None = ...,
    ) -> Awaitable[T | None]: ...
    @overload
    def poll(
        self,
        path: str,
        call: Call[T] | Callable[[], Call[T]],
        *,
        until: Callable[[T], bool],
        every: timedelta,
        within: timedelta,
        policy: Policy | None = ...,
        otherwise: Escalate | Callable[[], SagaError],
    ) -> Awaitable[T]: ...
    def poll(
        self,
        path: str,
        call: Call[T] | Callable[[], Call[T]],
        *,
        until: Callable[[T], bool],
        every: timedelta,
        within: timedelta,
        policy: Policy | None = None,
        otherwise: Escalate | Callable[[], SagaError] | None = None,
    ) -> Awaitable[Any]:
        """Ask until the answer meets `until`. If it does not in time: None, or people are told,
        or the error is raised that `otherwise` makes: for an answer that may be None itself."""
        return PollRequest(self._place(path), call, until, every, within, policy, otherwise)

    # --- Parts ---------------------------------------------------------------------------------

    @overload
    def parallel(self, a: Branch[A], b: Branch[B], /) -> Awaitable[tuple[A, B]]: ...
    @overload
    def parallel(
        self, a: Branch[A], b: Branch[B], c: Branch[C], /
    ) -> Awaitable[tuple[A, B, C]]: ...
    @overload
    def parallel(
        self, a: Branch[A], b: Branch[B], c: Branch[C], d: Branch[D], /
    ) -> Awaitable[tuple[A, B, C, D]]: ...
    @overload
    def parallel(
        self, a: Branch[A], b: Branch[B], c: Branch[C], d: Branch[D], e: Branch[E], /
    ) -> Awaitable[tuple[A, B, C, D, E]]: ...
    @overload
    def parallel(self, *branches: Branch[Any]) -> Awaitable[tuple[Any, ...]]: ...
    def parallel(self, *branches: Branch[Any]) -> Awaitable[tuple[Any, ...]]:
        """Run the branches side by side and give their results.

        If one fails, nothing new starts in the others, and their calls in flight are awaited.
        """
        made = tuple((Saga(self._run, None, self._loops), branch) for branch in branches)
        return ParallelRequest(made, None)

    def for_each(
        self,
        path: str,
        items: Iterable[Item],
        body: Callable[[Saga, Item], Coroutine[Any, Any, Result]],
        *,
        by: Callable[[Item], object] | None = None,
        at_once: int,
    ) -> Awaitable[tuple[Result, ...]]:
        """Run `body` for every item, `at_once` at a time, and give the results in order.

        `by` gives each iteration its identity, by default its index.
        """

        def iteration(item: Item) -> Branch[Result]:
            return lambda saga: body(saga, item)

        made = tuple(
            (Saga(self._run, None, (*self._loops, (path, name))), iteration(item))
            for item, name in self._named(items, by)
        )
        return ParallelRequest(made, at_once)

    def loop(
        self, path: str, items: Iterable[Item], *, by: Callable[[Item], object] | None = None
    ) -> Iterator[tuple[Saga, Item]]:
        """The items one after the other, each with the saga as it is in that iteration."""
        return iter(
            [
                (Saga(self._run, self._strand, (*self._loops, (path, name))), item)
                for item, name in self._named(items, by)
            ]
        )

    def _named(
        self, items: Iterable[Item], by: Callable[[Item], object] | None
    ) -> Iterator[tuple[Item, str]]:
        every = list(items)
        if by is None:
            names: Iterable[str] = (str(index) for index in range(len(every)))
        else:
            names = keys.identities([identity(by(item)) for item in every])
        return zip(every, names, strict=True)

    def attempt(self, path: str, *catches: type[SagaError]) -> Attempt:
        """A scope: before one of these errors leaves it, its steps are compensated, all the way.

        Stands directly inside a `try` whose `except` clauses name the same errors.
        """
        assert self._strand is not None
        return Attempt(self._place(path), self._strand, catches)


Branch = Callable[[Saga], Coroutine[Any, Any, T]]
"""A branch of a parallel part; the saga it is given is its own."""


class Attempt:
    """The body of an `attempt`, as a context manager."""

    __slots__ = ("catches", "has_pivot", "place", "start", "strand", "undone")

    def __init__(self, place: Place, strand: Strand, catches: tuple[type[SagaError], ...]) -> None:
        self.place = place
        self.strand = strand
        self.catches = catches
        self.start = 0
        self.has_pivot = False
        self.undone = False

    def handles(self, name: str) -> bool:
        return any(cls.__error_name__ == name for cls in self.catches)

    async def __aenter__(self) -> None:
        self.start = len(self.strand.undo)
        self.strand.attempts.append(self)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.strand.attempts.remove(self)
        if raised is None or self.undone:
            return
        error = translated(raised)
        if error is None or not self.handles(error.__error_name__):
            return
        # Raised by the saga's own text (`raise`, an expression without a value).
        await UndoRequest(self, error)
        if error is not raised:
            raise error
