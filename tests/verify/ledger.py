"""What services do with the messages of one step, by the promises of language.md, section 5.

A second opinion beside `sagalang.verify.service`, which is not looked at here: replies are kept by
the real key and the time at which it was first seen, copies in the network are messages of their
own, and time is counted.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from sagalang.model.program import Ms, Operation


class Ledger(Struct, frozen=True):
    """`kept`: what the service answers to a key it has seen, and since when. `undone`: whether the
    compensation was carried out, which is what the compensation's own probe tells."""

    effects: int = 0
    kept: tuple[tuple[str, bool, Ms], ...] = ()
    fenced: bool = False
    undone: bool = False


class Message(Struct, frozen=True):
    """A request under way. After `dies` it never arrives."""

    operation: Operation
    key: str
    undoes: bool
    dies: Ms


OK, REFUSED, STRANGE = "ok", "refused", "strange"


def _replied(ledger: Ledger, operation: Operation, key: str, now: Ms) -> bool | None:
    """Whether the key is remembered with success, with a refusal, or not at all."""
    if operation.promises.keyed:
        for known, success, since in ledger.kept:
            if known == key and now <= since + operation.promises.key_for:
                return success
    return None


def receive(
    ledger: Ledger, message: Message, now: Ms, *, there: bool = False
) -> tuple[Ledger, str]:
    """The service carries the request out, as far as it has not done so already: else the ledger
    is the very same. `there`: another step put there what the request undoes."""
    operation = message.operation
    promises = operation.promises
    success = _replied(ledger, operation, message.key, now)
    if success is not None and not (message.undoes and promises.idempotent):
        return ledger, STRANGE if _shut(ledger, message) else OK if success else REFUSED
    if _shut(ledger, message):
        return ledger, STRANGE
    kept = (*ledger.kept, (message.key, True, now)) if promises.keyed else ledger.kept
    if not message.undoes:
        again = promises.idempotent and ledger.effects > 0
        return replace(ledger, effects=ledger.effects + (not again), kept=kept), OK
    if not (ledger.effects or there or promises.absent_ok):
        return ledger, STRANGE
    fenced = ledger.fenced or promises.fences_late
    return replace(ledger, effects=0, kept=kept, fenced=fenced, undone=True), OK


def _shut(ledger: Ledger, message: Message) -> bool:
    return ledger.fenced and not message.undoes


def refuse(ledger: Ledger, message: Message, now: Ms) -> Ledger | None:
    """The service refuses the request and does nothing; None where its promises forbid that."""
    promises = message.operation.promises
    if _shut(ledger, message) or _replied(ledger, message.operation, message.key, now) is not None:
        return None
    if promises.keyed and promises.records_rejections:
        return replace(ledger, kept=(*ledger.kept, (message.key, False, now)))
    return ledger
