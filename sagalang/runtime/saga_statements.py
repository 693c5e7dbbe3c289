"""What the text of a compiled saga says of its statements, read from its code: what each gives, and
whether anything uses that.

A statement names its path and what it awaits, `saga.step("pay", Payment.charge(...))`, and the
types of both stand in the contracts, so the text need not say them again. It is read from the code
and not from the source, which need not be there.
"""

from __future__ import annotations

import dis
from collections.abc import Coroutine, Iterator, Mapping
from itertools import pairwise
from types import CodeType, FrameType
from typing import Any, Final

from sagalang.runtime.contract import Contract
from sagalang.runtime.saga_calls import Call, SagaDefinition

_AWAITED: Final = frozenset({"step", "pivot", "best_effort", "child", "wait", "poll"})
"""The methods of `Saga` whose first argument is a path."""

_ATTRIBUTE: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})

_WAITING: Final = frozenset(
    {"SEND", "YIELD_VALUE", "RESUME", "JUMP_BACKWARD_NO_INTERRUPT", "END_SEND", "CLEANUP_THROW"}
)
"""What an `await` goes through until its answer is there."""


def given(saga: SagaDefinition[..., Any]) -> dict[str, Any]:
    """By the path of each statement: its operation's contract, the saga it runs or the event it
    waits for."""
    return dict(_statements(saga.function.__code__, saga.function.__globals__))


def contract_of(function: Any) -> Contract | None:
    """The contract of the call that a function makes; None: it makes none."""
    code: CodeType | None = getattr(function, "__code__", None)
    if code is None:
        return None
    return _contract(code, function.__globals__)


def answer_is_used(coroutine: Coroutine[Any, Any, Any] | None) -> bool:
    """Whether a coroutine does anything with the answer that it awaits."""
    frame: FrameType | None = getattr(coroutine, "cr_frame", None)
    if frame is None:
        return False
    after = (i for i in dis.get_instructions(frame.f_code) if i.offset > frame.f_lasti)
    return next(i.opname for i in after if i.opname not in _WAITING) != "POP_TOP"


def _statements(code: CodeType, names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    loads = [each for each in dis.get_instructions(code) if each.opname.startswith("LOAD_")]
    inside = {each.co_name: each for each in code.co_consts if isinstance(each, CodeType)}
    for at, method in enumerate(loads[:-1]):
        path = loads[at + 1]
        if method.opname not in _ATTRIBUTE or method.argval not in _AWAITED:
            continue
        # A service may have an operation of this name; its class is a global, a `saga` is not.
        if loads[at - 1].opname == "LOAD_GLOBAL" or not isinstance(path.argval, str):
            continue
        found = _given(loads[at + 2 :], inside, names)
        if found is not None:
            yield path.argval, found
    for each in inside.values():
        yield from _statements(each, names)


def _given(
    loads: list[dis.Instruction], inside: Mapping[str, CodeType], names: Mapping[str, Any]
) -> Any:
    """What the second argument is, or makes: it begins with these."""
    for at, load in enumerate(loads):
        if load.opname == "LOAD_GLOBAL":
            found = names.get(load.argval)
            if isinstance(found, Call):
                return found.contract
            if isinstance(found, SagaDefinition):
                return found
            after = loads[at + 1] if at + 1 < len(loads) else None
            if after is not None and after.opname in _ATTRIBUTE:
                return contract_of(getattr(found, after.argval, None))
            return found if isinstance(found, type) else None
        made = load.argval if isinstance(load.argval, CodeType) else inside.get(str(load.argval))
        if made is not None:
            return _made(made, names)
    return None


def _made(code: CodeType, names: Mapping[str, Any]) -> Any:
    """Of what a function makes a call."""
    globals_ = (
        names.get(i.argval) for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"
    )
    saga = next((found for found in globals_ if isinstance(found, SagaDefinition)), None)
    return saga or _contract(code, names)


def _contract(code: CodeType, names: Mapping[str, Any]) -> Contract | None:
    """Of the method of a Protocol, or of what makes calls of it, that comes first in the code."""
    for found in _attributes(code, names):
        inner = getattr(found, "__code__", None)
        inside = () if inner is None else _attributes(inner, found.__globals__)
        for method in (found, *inside):
            told = getattr(method, "__saga_contract__", None)
            if isinstance(told, Contract):
                return told
    return None


def _attributes(code: CodeType, names: Mapping[str, Any]) -> Iterator[Any]:
    """The attributes of globals that the code reads, in its order."""
    loads = [each for each in dis.get_instructions(code) if each.opname.startswith("LOAD_")]
    for load, after in pairwise(loads):
        if load.opname == "LOAD_GLOBAL" and after.opname in _ATTRIBUTE:
            yield getattr(names.get(load.argval), after.argval, None)
