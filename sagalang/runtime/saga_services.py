"""The services of a compiled module, and transports to them as they are bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sagalang.diagnostics.suggest import hint
from sagalang.model import program as p
from sagalang.model.program import Header as DeclaredHeader
from sagalang.model.program import HttpBinding, PythonBinding
from sagalang.runtime.contract import Contract
from sagalang.runtime.problems import BindingError
from sagalang.runtime.saga_operations import NOWHERE, operations_of
from sagalang.runtime.transport import Router, Transport
from sagalang.runtime.transport import connect as connect_program

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Header:
    """A header sent with every call: a text, or the (secret) value of an environment variable."""

    name: str
    text: str | None = None
    env: str | None = None


@dataclass(frozen=True, slots=True)
class Service(Generic[S]):
    """A service: how it is reached, and the Protocol that says what it does."""

    name: str
    binding: HttpBinding | PythonBinding | None
    interface: Callable[..., S]
    headers: tuple[Header, ...] = ()

    @property
    def contracts(self) -> tuple[Contract, ...]:
        return tuple(operations_of(self.interface).values())

    def by(self, implementation: S) -> dict[str, Transport]:
        """The service served by an object of yours, for `own=` of `connect`; several are joined
        by `|`. What its methods return and raise means the same as in a Python service: see
        `python_binding`. Raises `BindingError` where a method is missing.
        """
        from sagalang.runtime.python_binding import ObjectTransport

        return {self.name: ObjectTransport(implementation, operations_of(self.interface))}


def http(url: str, *, env: str | None = None) -> HttpBinding:
    """Reached over HTTP; the environment variable `env` overrides the URL."""
    return HttpBinding(url, env)


def python(module: str) -> PythonBinding:
    """Functions of a Python module, of the names of the operations."""
    return PythonBinding(module)


def connect(
    services: Iterable[Service[Any]],
    environ: Mapping[str, str],
    *,
    own: Mapping[str, Transport] | None = None,
    folder: str = "",
) -> Router:
    """Transports to the services. Sends nothing.

    `own`: transports of your own, by the name of the service; `Service.by` makes one of an object.
    `folder`: where Python modules are looked for first. Raises `EnvironmentProblem`, naming every
    variable that is missing or not usable, or `BindingError`.
    """
    transports: dict[str, Transport] = dict(own or {})
    web: dict[str, p.Service] = {}
    wanted = {service.name: service for service in services}
    for name in sorted(transports.keys() - wanted.keys()):
        advice = hint(name, wanted) or "there are " + ", ".join(wanted)
        raise BindingError(f"there is no service {name} to serve: {advice}")
    for service in wanted.values():
        if service.name in transports:
            continue
        match service.binding:
            case HttpBinding():
                web[service.name] = _declared(service)
            case PythonBinding(module):
                from sagalang.runtime.python_binding import PythonTransport

                transports[service.name] = PythonTransport(module, folder, service.contracts)
            case None:
                raise BindingError(
                    f"the service {service.name} has no binding: serve it by an object of your own"
                )
    if web:
        reached = connect_program(p.Program("", {}, services=web), environ)
        transports |= dict.fromkeys(web, reached)
    return Router(transports)


def _declared(service: Service[Any]) -> p.Service:
    headers = tuple(DeclaredHeader(h.name, h.env, h.text) for h in service.headers)
    return p.Service(service.name, service.binding, headers, {}, p.Policy(), "", "", NOWHERE)
