"""The contracts of operations, read from the methods of a Protocol.

    class PaymentService(Protocol):
        @command("Payment.charge", "POST /charges", keyed=True, rejects={Declined: 402})
        async def charge(self, order: str, amount: Decimal, *, key: str) -> ChargeResult: ...

Parameters and result are stated once, in the signature; the decorator adds what it cannot say.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from types import NoneType
from typing import Any, Final, TypeVar, get_type_hints

from sagalang.machine.evaluate import milliseconds
from sagalang.model.program import HttpRoute, Promises
from sagalang.runtime.contract import Contract, ParamSpec, RejectionSpec
from sagalang.runtime.data import field_name
from sagalang.runtime.saga_errors import SagaError
from sagalang.text import Span

NOWHERE: Final = Span("", 0, 0)

Operation = Callable[..., Coroutine[Any, Any, Any]]
"""A method of a service's Protocol."""

O = TypeVar("O", bound=Operation)  # noqa: E741

_CONTRACT: Final = "__saga_contract__"
"""The attribute of a method that holds its contract; `Call.to` reads it."""


def command(
    label: str,
    route: str = "",
    *,
    keyed: bool = False,
    key_header: str = "Idempotency-Key",
    key_field: str | None = None,
    key_for: timedelta = timedelta(hours=24),
    records_rejections: bool = False,
    idempotent: bool = False,
    absent_ok: bool = False,
    fences_late: bool = False,
    lands_within: timedelta | None = None,
    rejects: Mapping[type[SagaError], int | None] | None = None,
    names: Mapping[str, str] | None = None,
    wire: Mapping[str, str] | None = None,
) -> Callable[[O], O]:
    """An operation that changes the world.

    `label` is `Service.operation`, `route` is `POST /path/{parameter}`. `rejects`: the errors by
    which the service says that it did nothing, with their HTTP status. `names`: those that
    parameters have in the language, `wire`: those that they have in JSON, where they differ.
    The method's keyword parameter `key`, if it has one, is the idempotency key.

    What the service promises:

    - `keyed`: the same key twice has the effect of once, for `key_for` after the first attempt;
      the key is sent in the header `key_header`, or in the field `key_field` of the body;
    - `records_rejections`: a refusal is stored under the key, and given again;
    - `idempotent`: the same input twice has the effect of once;
    - `absent_ok`: undoing what never happened succeeds;
    - `fences_late`: once it undid a command, a late request of that command is refused;
    - `lands_within`: a request that had no effect this long after it was sent never has one.
    """
    promises = Promises(
        keyed=keyed,
        key_header=key_header,
        key_field=key_field,
        key_for=milliseconds(key_for),
        records_rejections=records_rejections,
        idempotent=idempotent,
        absent_ok=absent_ok,
        fences_late=fences_late,
        lands_within=None if lands_within is None else milliseconds(lands_within),
    )
    return _declaring(label, route, False, promises, rejects or {}, names or {}, wire or {})


def query(
    label: str,
    route: str = "",
    *,
    rejects: Mapping[type[SagaError], int | None] | None = None,
    names: Mapping[str, str] | None = None,
    wire: Mapping[str, str] | None = None,
) -> Callable[[O], O]:
    """An operation that changes nothing and may be repeated; arguments as for `command`."""
    return _declaring(label, route, True, Promises(), rejects or {}, names or {}, wire or {})


def operations_of(interface: object) -> dict[str, Contract]:
    """The operations of a Protocol: their contracts by the names of their methods, in order."""
    return {
        name: method.__dict__[_CONTRACT]
        for name, method in vars(interface).items()
        if inspect.isfunction(method) and _CONTRACT in method.__dict__
    }


def _declaring(
    label: str,
    route: str,
    is_query: bool,
    promises: Promises,
    rejects: Mapping[type[SagaError], int | None],
    names: Mapping[str, str],
    wire: Mapping[str, str],
) -> Callable[[O], O]:
    service, _, name = label.partition(".")
    verb, _, path = route.partition(" ")

    def declare(method: O) -> O:
        types = get_type_hints(method, include_extras=True)
        params = []
        for parameter in list(inspect.signature(method).parameters.values())[1:]:
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                continue  # the idempotency key
            meant = names.get(parameter.name) or parameter_name(parameter.name)
            kind = types[parameter.name]
            params.append(ParamSpec(meant, wire.get(parameter.name, meant), kind))
        answer = types["return"]
        contract = Contract(
            service,
            name,
            is_query,
            tuple(params),
            None if answer is NoneType else answer,
            promises,
            tuple(RejectionSpec(e.__error_name__, status, e) for e, status in rejects.items()),
            HttpRoute(verb, path, NOWHERE) if route else None,
        )
        setattr(method, _CONTRACT, contract)
        return method

    return declare


def parameter_name(parameter: str) -> str:
    """The name in the language of a Python parameter that `names` does not list: `id` of `id_`."""
    meant = field_name(parameter)
    return meant[:-1] if meant == parameter and meant.endswith("_") else meant
