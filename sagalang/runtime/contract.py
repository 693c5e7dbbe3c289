"""What a transport needs to know of an operation, with Python types instead of the program's.

The interpreter makes contracts from a checked program; compiled modules write them out. So both
send the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from sagalang.model.program import HttpRoute, Promises


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """A parameter: its name in the path template, its name on the wire, its Python type."""

    name: str
    wire: str
    type: Any


@dataclass(frozen=True, slots=True)
class RejectionSpec:
    """A declared rejection; `type` is the Python class of its fields, None if it has none."""

    error: str
    status: int | None
    type: Any = None


@dataclass(frozen=True, slots=True)
class Contract:
    service: str
    operation: str
    is_query: bool
    params: tuple[ParamSpec, ...]
    result: Any
    """A type msgspec can decode; None where nothing is answered."""
    promises: Promises
    rejects: tuple[RejectionSpec, ...] = ()
    route: HttpRoute | None = None
    label: str = field(init=False, compare=False, repr=False)
    """`Service.operation`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", f"{self.service}.{self.operation}")


class Request(Struct, frozen=True, gc=False):
    """One attempt. `args` in the order of the contract's params, None for one left out.

    `key` is None for queries. `attempt` counts from 1. `remaining` is what is left of the saga's
    deadline in milliseconds, None where there is none.
    """

    contract: Contract
    args: tuple[Any, ...]
    key: str | None
    attempt: int = 1
    remaining: int | None = None
