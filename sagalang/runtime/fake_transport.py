"""Calls into a fake world within the process: for scenarios, and for services without HTTP."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from sagalang.machine.outcomes import (
    CONTRACT_MISMATCH,
    NOT_SENT,
    UNAVAILABLE,
    Failure,
    NotSent,
    Ok,
    Outcome,
    Rejected,
    Unknown,
)
from sagalang.runtime.clock import Clock
from sagalang.runtime.codec import decode, encode
from sagalang.runtime.contract import Contract, Request
from sagalang.runtime.fakes import Args, FakeWorld, Kind, Reply

Latency = int | tuple[int, int]
"""Milliseconds: always the same, or between two bounds (both included)."""


def draw_latency(latency: Latency, random: Random) -> int:
    return latency if isinstance(latency, int) else random.randint(*latency)


class FakeTransport:
    """A transport that is answered by the world. A call that is never answered waits until its
    caller gives up. Half of the latency passes before the call arrives, half after."""

    def __init__(self, world: FakeWorld, clock: Clock, latency: Latency = 0) -> None:
        self._world = world
        self._clock = clock
        self._latency = latency
        self._random = Random(world.seed)

    async def call(self, request: Request) -> Outcome:
        contract = request.contract
        latency = draw_latency(self._latency, self._random)
        if latency:
            await self._clock.sleep_until(self._clock.now() + latency // 2)
        world, values = self._world, self._world.values
        operation = world.program.services[contract.service].operations[contract.operation]
        own = values.contract(operation)
        args = world_args(world, request)
        key = request.key if operation.promises.keyed else None
        reply = world.deliver(operation.label, args, key, self._clock.now())
        if reply.kind is Kind.SILENT:
            await asyncio.get_running_loop().create_future()
        if latency:
            await self._clock.sleep_until(self._clock.now() + latency - latency // 2)
        return _outcome(contract, own, reply)

    async def aclose(self) -> None:
        """Nothing to close."""


def world_args(world: FakeWorld, request: Request) -> Args:
    """The arguments of a request in the values of the world."""
    contract = request.contract
    own = world.values.contract(
        world.program.services[contract.service].operations[contract.operation]
    )
    if contract is own:
        return request.args
    return tuple(
        _moved(arg, spec.type, mine.type)
        for arg, spec, mine in zip(request.args, contract.params, own.params, strict=True)
    )


def _moved(value: Any, source: Any, target: Any) -> Any:
    """The value in the classes of another set of types; most often they are the same."""
    if value is None or source is target or source == target:
        return value
    return decode(encode(value, source), target)


def _outcome(contract: Contract, own: Contract, reply: Reply) -> Outcome:
    match reply.kind:
        case Kind.ANSWER:
            return Ok(_moved(reply.value, own.result, contract.result), reply.replayed)
        case Kind.REJECTED:
            mine = next((r.type for r in own.rejects if r.error == reply.error), None)
            theirs = next((r.type for r in contract.rejects if r.error == reply.error), None)
            value = _moved(reply.value, mine, theirs)
            failure = Failure(reply.error, value, f"{contract.label} rejected")
            return Rejected(failure, reply.replayed)
        case Kind.NOT_SENT:
            what = f"{contract.label} did not reach the service"
            return NotSent(Failure(NOT_SENT, None, what))
        case Kind.UNAVAILABLE:
            return Unknown(Failure(UNAVAILABLE, None, f"{contract.label} is unavailable"))
        case kind:
            what = f"{contract.label} answered {kind.value}"
            return Unknown(Failure(CONTRACT_MISMATCH, None, what), repeat=False)
