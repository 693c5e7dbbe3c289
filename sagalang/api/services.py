"""The services of a definition: objects of the program, fakes, or what the file says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sagalang.diagnostics.suggest import hint
from sagalang.host.definitions import Definition
from sagalang.model.program import Program, Service
from sagalang.runtime.clock import Clock
from sagalang.runtime.problems import BindingError
from sagalang.runtime.python_binding import OwnTransport
from sagalang.runtime.transport import Router, Transport, connect
from sagalang.runtime.values import Values


def check(program: Program, own: Mapping[str, object]) -> None:
    """Raises `BindingError` where an object is given for a service that the file does not have."""
    for name in own:
        if name not in program.services:
            advice = hint(name, program.services) or "there are " + ", ".join(program.services)
            raise BindingError(f"there is no service {name} in {program.main}: {advice}")


@asynccontextmanager
async def reached(
    definition: Definition, own: Mapping[str, object], environ: Mapping[str, str], clock: Clock
) -> AsyncIterator[Transport]:
    """Its services. Transports in `own` belong to the program, which closes them.
    Raises `ConnectProblem`."""
    program, values = definition.program, definition.values
    served: dict[str, Transport] = {
        service.name: _served(own[service.name], service, values)
        for service in program.services.values()
        if service.name in own
    }
    rest = program.services.keys() - served.keys()
    others: Transport
    if definition.fakes:
        from sagalang.runtime.fake_transport import FakeTransport
        from sagalang.runtime.fakes import FakeWorld

        others = FakeTransport(FakeWorld(program, values=values), clock)
    else:
        _check_bound(program, rest)
        others = connect(program, environ, values=values, services=rest)
    try:
        yield Router({**dict.fromkeys(rest, others), **served})
    finally:
        await others.aclose()


def _check_bound(program: Program, wanted: Collection[str]) -> None:
    unbound = [each for each in wanted if program.services[each].binding is None]
    if unbound:
        names = ", ".join(sorted(unbound))
        raise BindingError(
            f"nothing serves {names}: the file does not say how it is reached;"
            " give objects, services={…}, or take fakes, mock=True"
        )


def _served(given: Any, service: Service, values: Values) -> Transport:
    if "call" not in service.operations and hasattr(given, "call") and hasattr(given, "aclose"):
        transport: Transport = given
        return transport
    contracts = {each.name: values.contract(each) for each in service.operations.values()}
    return OwnTransport(given, contracts)
