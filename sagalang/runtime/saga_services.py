"""The services of a compiled module, and transports to them as they are bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sagalang.model import program as p
from sagalang.model.program import Header as DeclaredHeader
from sagalang.model.program import HttpBinding, PythonBinding
from sagalang.runtime.contract import Contract
from sagalang.runtime.problems import BindingError
from sagalang.runtime.saga_calls import NOWHERE
from sagalang.runtime.transport import Router, Transport
from sagalang.runtime.transport import connect as connect_program


@dataclass(frozen=True, slots=True)
class Header:
    """A header sent with every call: a text, or the (secret) value of an environment variable."""

    name: str
    text: str | None = None
    env: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A service: how it is reached, and the contracts of its operations."""

    name: str
    binding: HttpBinding | PythonBinding | None
    contracts: tuple[Contract, ...]
    headers: tuple[Header, ...] = ()


def http(url: str, *, env: str | None = None) -> HttpBinding:
    """Reached over HTTP; the environment variable `env` overrides the URL."""
    return HttpBinding(url, env)


def python(module: str) -> PythonBinding:
    """Functions of a Python module, of the names of the operations."""
    return PythonBinding(module)


def connect(
    services: Iterable[Service],
    environ: Mapping[str, str],
    *,
    own: Mapping[str, Transport] | None = None,
    folder: str = "",
) -> Router:
    """Transports to the services. Sends nothing.

    `own`: transports of your own, by the name of the service. `folder`: where Python modules are
    looked for first. Raises `EnvironmentProblem`, naming every variable that is missing or not
    usable, or `BindingError`.
    """
    transports: dict[str, Transport] = {}
    web: dict[str, p.Service] = {}
    for service in services:
        if own is not None and service.name in own:
            transports[service.name] = own[service.name]
            continue
        match service.binding:
            case HttpBinding():
                web[service.name] = _declared(service)
            case PythonBinding(module):
                from sagalang.runtime.python_binding import PythonTransport

                transports[service.name] = PythonTransport(module, folder, service.contracts)
            case None:
                raise BindingError(
                    f"the service {service.name} has no binding: give a transport of your own"
                )
    if web:
        reached = connect_program(p.Program("", {}, services=web), environ)
        transports |= dict.fromkeys(web, reached)
    return Router(transports)


def _declared(service: Service) -> p.Service:
    headers = tuple(DeclaredHeader(h.name, h.env, h.text) for h in service.headers)
    return p.Service(service.name, service.binding, headers, {}, p.Policy(), "", "", NOWHERE)
