"""What an HTTP answer means: it happened, it did not, or nobody knows. Pure.

The order of the questions is the meaning: an idempotency answer comes before a declared
rejection, a declared rejection before what its status means in general.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from sagalang.machine.outcomes import (
    CONTRACT_MISMATCH,
    THROTTLED,
    UNAVAILABLE,
    Failure,
    NotSent,
    Ok,
    Outcome,
    Rejected,
    Unknown,
)
from sagalang.runtime.codec import DecodeError, Mode, decode, parse, read
from sagalang.runtime.contract import Contract, RejectionSpec, Request

IN_PROGRESS: Final = "idempotency/in-progress"
KEY_REUSED: Final = "idempotency/key-reused"
KEY_MISSING: Final = "idempotency/key-missing"
FENCED: Final = "idempotency/fenced"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`retry_after`: the header as it came. `body` is None where it broke off."""

    status: int
    retry_after: str | None = None
    body: bytes | None = b""


def classify(request: Request, answer: HttpAnswer, now: int) -> Outcome:
    """The outcome of the attempt. `now`: ms since the Unix epoch, for a Retry-After date."""
    contract, status = request.contract, answer.status
    if 200 <= status < 300:
        return _success(contract, answer)
    wait = retry_after(answer.retry_after, now)
    if status < 400:
        return mismatch(contract, f"answered {status}, which is not declared")
    problem = _problem(answer.body)
    return (
        _idempotency(request, status, problem, wait)
        or _rejection(contract, status, problem, answer.body is None)
        or _absent(contract, status)
        or _general(contract, status, wait)
    )


def mismatch(contract: Contract, what: str, *, replayed: bool = False) -> Unknown:
    """The service did not keep to the contract; `what` completes a sentence, without values.
    `replayed`: it had met the key before."""
    failure = Failure(CONTRACT_MISMATCH, None, f"{where(contract)} {what}")
    return Unknown(failure, repeat=False, replayed=replayed)


def unavailable(contract: Contract, what: str, wait: int | None = None) -> Unknown:
    """Sent, without an answer that says what came of it."""
    return Unknown(Failure(UNAVAILABLE, None, f"{where(contract)} {what}"), wait)


def where(contract: Contract) -> str:
    """Method and route template: never the path as sent, which holds arguments."""
    route = contract.route
    return f"{route.method} {route.path}" if route else contract.label


def retry_after(header: str | None, now: int) -> int | None:
    """The milliseconds that a Retry-After header (seconds or an HTTP date) asks to wait, or None.

    A date in the past is 0; what is neither is ignored.
    """
    if header is None:
        return None
    header = header.strip()
    try:
        if header.isascii() and header.isdigit():
            return int(header) * 1_000
        moment = parsedate_to_datetime(header)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, round(moment.timestamp() * 1_000) - now)
    except (ValueError, OverflowError):
        return None


def _success(contract: Contract, answer: HttpAnswer) -> Outcome:
    if contract.result is None:
        return Ok(None)
    if answer.body is None:
        return unavailable(contract, "broke off in the middle of its answer")
    if answer.status == 204 and _takes_null(contract):
        return Ok(None)
    try:
        return Ok(decode(answer.body, contract.result))
    except DecodeError as error:
        at = f" at {error.shape}" if error.parts else ""
        return mismatch(
            contract, f"answered {answer.status} with a body that does not fit{at}: {error.message}"
        )


def _takes_null(contract: Contract) -> bool:
    try:
        return read(None, contract.result) is None
    except DecodeError:
        return False


def _problem(body: bytes | None) -> dict[str, Any]:
    """The JSON object in the body, whatever its content type says; empty where there is none."""
    try:
        found = parse(body or b"{}")
    except DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(problem: dict[str, Any], member: str) -> str:
    found = problem.get(member)
    return found if isinstance(found, str) else ""


def _idempotency(
    request: Request, status: int, problem: dict[str, Any], wait: int | None
) -> Outcome | None:
    contract, kind = request.contract, _text(problem, "type")
    if kind.endswith(IN_PROGRESS):
        return unavailable(contract, "is still busy with the first attempt", wait)
    if kind.endswith(KEY_REUSED):
        return mismatch(contract, "says that the key was used for another input", replayed=True)
    if kind.endswith(KEY_MISSING):
        return mismatch(contract, "says that the key is missing")
    if kind.endswith(FENCED):
        return mismatch(contract, "says that the key was compensated before", replayed=True)
    # Only a body can name an error here: a bare 409 to a repeat may just as well mean that the
    # first attempt is still running, and taking that for a refusal would lose its effect.
    repeat = request.attempt > 1 and contract.promises.keyed
    if status == 409 and repeat and _named(contract, problem) is None:
        return unavailable(contract, "answered 409 to a repeat: still busy", wait)
    return None


def _named(contract: Contract, problem: dict[str, Any]) -> RejectionSpec | None:
    kinds = (_text(problem, "type"), _text(problem, "title"))
    fits = [spec for spec in contract.rejects if any(_ends_in(k, spec.error) for k in kinds)]
    return max(fits, key=lambda spec: len(spec.error), default=None)


def _ends_in(kind: str, name: str) -> bool:
    """Whether the name stands at the end, as a word of its own: `NotDeclined` is not `Declined`."""
    before = kind[: -len(name)] if kind.endswith(name) else None
    return before is not None and not (before and (before[-1].isalnum() or before[-1] == "_"))


def _rejection(
    contract: Contract, status: int, problem: dict[str, Any], broken: bool
) -> Outcome | None:
    spec = _named(contract, problem) or next(
        (spec for spec in contract.rejects if spec.status == status), None
    )
    if spec is None:
        return None
    if broken:
        return unavailable(contract, "broke off in the middle of its answer")
    if spec.type is None:
        return Rejected(Failure(spec.error, None, f"{where(contract)} answered {status}"))
    try:
        value = read(problem, spec.type, Mode.ANSWER)
    except DecodeError as error:
        at = f" at {error.shape}" if error.parts else ""
        return mismatch(
            contract,
            f"answered {status} with a {spec.error} that does not fit{at}: {error.message}",
        )
    return Rejected(Failure(spec.error, value, f"{where(contract)} answered {status}"))


def _absent(contract: Contract, status: int) -> Outcome | None:
    if contract.is_query and status == 404 and contract.result is not None:
        return Ok(None) if _takes_null(contract) else None
    silent = contract.result is None or _takes_null(contract)
    return Ok(None) if contract.promises.absent_ok and status in (404, 410) and silent else None


def _general(contract: Contract, status: int, wait: int | None) -> Outcome:
    if status == 429 or (status == 503 and wait is not None):
        return NotSent(
            Failure(THROTTLED, None, f"{where(contract)} answered {status}: come back later"), wait
        )
    if status in (408, 425) or status >= 500:
        return unavailable(contract, f"answered {status}", wait)
    return mismatch(contract, f"answered {status}, which is not declared")
