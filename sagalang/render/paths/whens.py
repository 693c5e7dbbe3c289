"""What `--when` says: one thing that goes wrong, as a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sagalang.graph.structure import bodies, statements
from sagalang.model import program as p

TIMES_OUT: Final = ("times out before effect", "times out after effect")
CRASHES: Final = ("crash before", "crash after")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a picture cannot be drawn, as a sentence, and what to do about it."""

    message: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Whose calls: of an operation (`Service.operation`) wherever it is called; or, where `path` is
    given, of that step alone, or (`undo`) what undoes it."""

    operation: str
    path: str | None = None
    undo: bool = False


@dataclass(frozen=True, slots=True)
class CallFault:
    """`kind` and the other fields are those of `model.program.Fault`."""

    text: str
    target: Target
    kind: str
    error: str | None = None
    after: p.Ms | None = None
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class NotInTime:
    """A wait or a poll runs out; `path` is its path."""

    text: str
    path: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """A cancel, or the saga's deadline, as a step of one of `paths` is over; or, `waiting`, while a
    wait or a poll is under way."""

    text: str
    error: str
    paths: tuple[str, ...]
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Aborted:
    """The n-th `abort` of this error in the saga's text is reached; `span` is that statement's."""

    text: str
    error: str
    at: p.Abort


@dataclass(frozen=True, slots=True)
class AllWell:
    """Nothing goes wrong."""

    text: str


When = CallFault | NotInTime | Stopped | Aborted | AllWell


# --- What a saga consists of ---------------------------------------------------------------------


def whole(saga: p.Saga) -> Iterator[p.Statement]:
    for body in bodies(saga):
        yield from statements(body)


def labels(program: p.Program, saga: p.Saga) -> dict[str, None]:
    """The operations that a saga and its child sagas may call, in order of first use."""
    found: dict[str, None] = {}

    def called(call: p.Call) -> None:
        found[call.label] = None
        probe = program.operation(call).probe
        if probe is not None:
            found[probe.label] = None

    for statement in whole(saga):
        match statement:
            case p.Step(call=call, compensation=compensation):
                called(call)
                if isinstance(compensation, p.Compensation):
                    called(compensation.call)
            case p.Poll(call=call):
                called(call)
            case p.ChildStep(saga=name):
                found.update(labels(program, program.sagas[name]))
            case _:
                pass
    return found


def worded(
    subject: str, kind: str, error: str | None, after: str | None = None, times: str | None = None
) -> str:
    """A fault as `parse` reads it."""
    if kind in CRASHES:
        text = f"{kind} {subject}"
    else:
        text = f"{subject} {kind}" + (f" {error}" if error else "")
    text += f" after {after}" if after else ""
    return text if times in (None, "once") else f"{text}, {times}"


def aborts(saga: p.Saga, error: str) -> list[p.Abort]:
    """The places at which a saga aborts with the error, in text order."""
    found = []
    for statement in statements(saga.body):
        match statement:
            case p.Abort() as at:
                pass
            case p.Wait(otherwise=p.Abort() as at) | p.Poll(otherwise=p.Abort() as at):
                pass
            case _:
                continue
        if at.error == error:
            found.append(at)
    return found
