"""Errors of sagas as Python exceptions, and their passage to and from a `Failure`.

A compiled module declares each of its errors as a dataclass that derives from `SagaError`; the
errors of the language itself are declared here, under the names they have there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from sagalang.machine.evaluate import BadValueError
from sagalang.machine.outcomes import Failure

__all__ = [
    "BadValue",
    "BulkheadFull",
    "Cancelled",
    "CircuitOpen",
    "ContractMismatch",
    "DeadlineExceeded",
    "NotDone",
    "NotSent",
    "RateLimited",
    "SagaError",
    "Throttled",
    "Timeout",
    "Unavailable",
    "error_name",
    "exception",
    "failure_of",
    "translated",
]


class SagaError(Exception):
    """An error of the language: what a step fails with and what a saga ends with.

    Its name is that of the class, unless the class says otherwise in `__error_name__`.
    """

    __error_name__: ClassVar[str] = "SagaError"
    _failure: Failure | None = None
    """What it was made from, where the runtime raised it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__error_name__" not in cls.__dict__:
            cls.__error_name__ = cls.__name__

    def __str__(self) -> str:
        if self._failure is not None and self._failure.detail:
            return self._failure.detail
        return repr(self) if _fields(self) else self.__error_name__


class Timeout(SagaError):  # noqa: N818
    """No answer in time: it may have happened."""


class Unavailable(SagaError):  # noqa: N818
    """The connection broke or the service failed: it may have happened."""


class ContractMismatch(SagaError):  # noqa: N818
    """The service did not keep to its contract: it may have happened."""


class NotSent(SagaError):  # noqa: N818
    """The call never left."""


class CircuitOpen(SagaError):  # noqa: N818
    """Not sent: the breaker is open."""


class BulkheadFull(SagaError):  # noqa: N818
    """Not sent: too many calls are in flight."""


class RateLimited(SagaError):  # noqa: N818
    """Not sent: our own rate limit."""


class Throttled(SagaError):  # noqa: N818
    """Not sent: the service asks to come back later."""


class BadValue(SagaError):  # noqa: N818
    """An expression has no value: a missing index, a division by zero."""


class DeadlineExceeded(SagaError):  # noqa: N818
    """The saga's deadline passed before its point of no return."""


class Cancelled(SagaError):  # noqa: N818
    """The saga was cancelled before its point of no return."""


class NotDone(SagaError):  # noqa: N818
    """A person said that the step did not happen."""


_BUILT_IN: Final[dict[str, type[SagaError]]] = {
    cls.__error_name__: cls
    for cls in (
        Timeout,
        Unavailable,
        ContractMismatch,
        NotSent,
        CircuitOpen,
        BulkheadFull,
        RateLimited,
        Throttled,
        BadValue,
        DeadlineExceeded,
        Cancelled,
        NotDone,
    )
}


def _fields(error: SagaError) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(error) if dataclasses.is_dataclass(error) else ()


def error_name(error: SagaError) -> str:
    """The name of the error in the language."""
    # A saga that is undone for an error of its parent may have no class for it.
    return error.__error_name__ if error._failure is None else error._failure.name


def failure_of(error: SagaError) -> Failure:
    """The error as plain data, for the journal and the outcome."""
    if error._failure is not None:
        return error._failure
    # A copy: the exception itself holds its traceback, and with it the frames of the saga.
    value = dataclasses.replace(error) if _fields(error) else None  # type: ignore[type-var]
    detail = str(error.args[0]) if error.args and not _fields(error) else ""
    return Failure(error.__error_name__, value, detail)


def exception(failure: Failure, declared: Iterable[Any] = ()) -> SagaError:
    """A fresh exception for a failure; `declared` are the classes that may be meant."""
    error: SagaError
    if isinstance(failure.value, SagaError):
        error = dataclasses.replace(failure.value)  # type: ignore[type-var]
    else:
        error = _blank(_class(failure.name, declared))
    error._failure = failure
    return error


def _class(name: str, declared: Iterable[Any]) -> type[SagaError]:
    for cls in declared:
        if isinstance(cls, type) and issubclass(cls, SagaError) and cls.__error_name__ == name:
            return cls
    return _BUILT_IN.get(name, SagaError)


def _blank(cls: type[SagaError]) -> SagaError:
    """An instance without values for its fields: the service named the error and told no more."""
    error = cls.__new__(cls)
    for field in _fields(error):
        setattr(error, field.name, None)
    return error


def translated(error: BaseException) -> SagaError | None:
    """What an exception raised by an expression means in the language; None for a bug."""
    match error:
        case SagaError():
            return error
        case BadValueError() | ArithmeticError():
            bad = BadValue(str(error) or type(error).__name__)
            bad.__cause__ = error
            return bad
        case _:
            return None
