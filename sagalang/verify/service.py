"""The other side: what a service does with the calls of one step, as its contract says.

A `Unit` is all that a service knows of one step: it changes when a message arrives, and only by
the rules below. They are a value (`Rules`), so that a test can plant a service that lies.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine.frozen import Choice
from sagalang.model.program import Operation


class Memory(Choice):
    """What the service keeps under the step's idempotency key."""

    NOTHING = "nothing"
    DONE = "done"
    REFUSED = "refused"


class Belief(Choice):
    """What the orchestrator holds to be true of the step."""

    OPEN = "in flight"
    DONE = "done"
    NOT_DONE = "not done"
    UNKNOWN = "unknown"
    UNDOING = "being undone"
    UNDONE = "undone"


class Unit(Struct, frozen=True, gc=False):
    """`effects`: how often it happened and was not undone. `late`: a copy of the request is under
    way. `fenced`: what still comes is refused. `expired`: the key is forgotten. `sealed`: it was
    done when the saga passed its pivot. `undo_kept`: the compensation's key is remembered, and
    `undone`: the compensation happened. `beside`: while it is compensated by inputs that
    others may have, whether one of these has an effect; `undo_late`: a copy of that compensation is
    under way."""

    effects: int = 0
    late: bool = False
    memory: Memory = Memory.NOTHING
    fenced: bool = False
    expired: bool = False
    undo_kept: bool = False
    undone: bool = False
    belief: Belief = Belief.OPEN
    sealed: bool = False
    beside: bool | None = None
    undo_late: bool = False


class Reply(Choice):
    OK = "ok"
    REFUSED = "refused"
    """The answer that is kept under the key."""
    STRANGE = "strange"
    """An answer that the contract does not know: 404 without `absent ok`, `fenced`."""


Arrived = tuple[Unit, Reply]


def request(operation: Operation, unit: Unit, *, keyed: bool) -> Arrived:
    """A request of the command arrives. `keyed`: under the step's key."""
    if unit.fenced:
        return unit, Reply.STRANGE
    keyed = keyed and operation.promises.keyed and not unit.expired
    if keyed and unit.memory is Memory.DONE:
        return unit, Reply.OK
    if keyed and unit.memory is Memory.REFUSED:
        return unit, Reply.REFUSED
    effects = unit.effects
    if not (operation.promises.idempotent and effects >= 1):
        effects = min(effects + 1, 2)
    memory = Memory.DONE if keyed else unit.memory
    return replace(unit, effects=effects, memory=memory), Reply.OK


def refusal(operation: Operation, unit: Unit) -> Unit | None:
    """The service refuses the request, doing nothing; None where it may not refuse it."""
    keyed = operation.promises.keyed and not unit.expired
    if unit.fenced or (keyed and unit.memory is not Memory.NOTHING):
        return None
    if keyed and operation.promises.records_rejections:
        return replace(unit, memory=Memory.REFUSED)
    return unit


def undo(operation: Operation, unit: Unit) -> Arrived:
    """A request of the compensation arrives."""
    promises = operation.promises
    if promises.keyed and not promises.idempotent and unit.undo_kept:
        return unit, Reply.OK
    if not (unit.effects or unit.beside or promises.absent_ok):
        return unit, Reply.STRANGE
    fenced = unit.fenced or promises.fences_late
    kept = promises.keyed and not promises.idempotent
    # Whether it happened is told to nobody but a probe.
    undone = operation.probe is not None
    left = replace(unit, effects=0, fenced=fenced, undo_kept=kept, undone=undone)
    if unit.beside:
        left = replace(left, beside=False)
    return left, Reply.OK


class Rules(Struct, frozen=True):
    """What services do, and what the orchestrator does around the machine. The defaults are the
    truth; the tests replace one at a time, to see that the explorer finds each lie."""

    request: Callable[..., Arrived] = request
    refusal: Callable[[Operation, Unit], Unit | None] = refusal
    undo: Callable[[Operation, Unit], Arrived] = undo
    keyed: Callable[[int, bool], bool] = lambda attempt, recovered: True
    """Whether an attempt carries the step's key."""
    believes: Callable[..., object] = lambda state, outcome: outcome
    """The outcome of a call as the saga hears it (`calls.CallState`, `Outcome`)."""
    recovers: bool = True
    """Whether a call that was under way at a crash is known to have been."""
    awaits: bool = True
    """Whether a call in flight is awaited when its saga aborts."""


def lands(operation: Operation, unit: Unit, rules: Rules) -> Unit:
    """The late copy arrives."""
    after, _ = rules.request(operation, replace(unit, late=False), keyed=True)
    return after


def threatens(operation: Operation, unit: Unit, rules: Rules) -> bool:
    """Whether a late copy is under way that would still do something."""
    return unit.late and lands(operation, unit, rules).effects != unit.effects


def inert(operation: Operation, unit: Unit) -> bool:
    """Whether the late copy can never do anything any more."""
    keyed = operation.promises.keyed and not unit.expired
    return unit.fenced or (keyed and unit.memory is not Memory.NOTHING)


def undoes_again(operation: Operation, unit: Unit) -> bool:
    """Whether a late copy of the compensation may undo what another step does after it."""
    remembered = operation.promises.keyed and not operation.promises.idempotent
    return unit.beside is not None and not (remembered or operation.promises.fences_late)
