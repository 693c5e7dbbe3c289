"""Reaching services: the seam that sends one attempt, and how a program's bindings become it."""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Mapping
from typing import Any, Final, Protocol

from sagalang.machine.outcomes import NOT_SENT, Failure, NotSent, Outcome
from sagalang.model.program import HttpBinding, Program, PythonBinding, Service
from sagalang.runtime.contract import Request
from sagalang.runtime.http_request import valid_header
from sagalang.runtime.problems import BindingError, EnvironmentProblem
from sagalang.runtime.values import Values


class Transport(Protocol):
    """Sends one attempt and says what came of it.

    `call` raises nothing but cancellation, by which its caller imposes timeouts.
    """

    async def call(self, request: Request) -> Outcome: ...

    async def aclose(self) -> None: ...


class Nobody:
    """Stands where no transport is."""

    async def call(self, request: Request) -> Outcome:
        what = f"nothing serves {request.contract.service}"
        return NotSent(Failure(NOT_SENT, None, what))

    async def aclose(self) -> None:
        """Nothing to close."""


NOBODY: Final = Nobody()


class Router:
    """One transport for all services: passes each call to that of its service."""

    def __init__(self, transports: Mapping[str, Transport]) -> None:
        self._transports = dict(transports)

    def call(self, request: Request) -> Coroutine[Any, Any, Outcome]:
        service = request.contract.service
        return self._transports.get(service, NOBODY).call(request)

    async def aclose(self) -> None:
        """Closes every transport once, also when closing another one fails."""
        failed: Exception | None = None
        for transport in {id(t): t for t in self._transports.values()}.values():
            try:
                await transport.aclose()
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed


def connect(
    program: Program,
    environ: Mapping[str, str],
    *,
    values: Values | None = None,
    services: Collection[str] | None = None,
    fakes: Transport | None = None,
) -> Router:
    """Transports for the program's services, as they are bound. Sends nothing.

    `services`: only these (default: all). `fakes` serves those without a binding.
    Python modules are imported. Raises `EnvironmentProblem`,
    naming every variable that is missing or not usable, or `BindingError`.
    """
    wanted = [s for s in program.services.values() if services is None or s.name in services]
    _check_environment(wanted, environ)
    values = values or Values(program)
    transports: dict[str, Transport] = {}
    web = [s for s in wanted if isinstance(s.binding, HttpBinding)]
    if web:
        from sagalang.runtime.http import HttpService, HttpTransport

        located = {s.name: HttpService(_url(s, environ), _headers(s, environ)) for s in web}
        try:
            shared = HttpTransport(located)
        except ModuleNotFoundError as error:
            if error.name != "httpx":
                raise
            raise BindingError(
                f"{web[0].name} is called over HTTP, which needs the package httpx. Install it:"
                " pip install httpx"
            ) from None
        except ValueError as error:
            raise BindingError(str(error)) from None
        transports |= dict.fromkeys(located, shared)
    for service in wanted:
        match service.binding:
            case PythonBinding(module):
                from sagalang.runtime.python_binding import PythonTransport

                contracts = [values.contract(o) for o in service.operations.values()]
                transports[service.name] = PythonTransport(module, service.folder, contracts)
            case None if fakes is not None:
                transports[service.name] = fakes
            case None:
                raise BindingError(
                    f"the service {service.name} has no binding: only a mock can serve it"
                )
    return Router(transports)


def _url(service: Service, environ: Mapping[str, str]) -> str:
    binding = service.binding
    assert isinstance(binding, HttpBinding)
    return (environ.get(binding.env, "") if binding.env else "") or binding.url


def _headers(service: Service, environ: Mapping[str, str]) -> tuple[tuple[str, str, bool], ...]:
    return tuple(
        (h.name, environ[h.env], True) if h.env else (h.name, h.text or "", False)
        for h in service.headers
    )


def _check_environment(services: list[Service], environ: Mapping[str, str]) -> None:
    missing: dict[str, None] = {}
    unusable: dict[str, None] = {}
    for service in services:
        for header in service.headers if isinstance(service.binding, HttpBinding) else ():
            if header.env is None:
                continue
            value = environ.get(header.env, "")
            if not value:
                missing[f"{header.env} (header {header.name} of {service.name})"] = None
            elif not valid_header(value):
                unusable[f"{header.env} (header {header.name} of {service.name})"] = None
    parts = []
    if missing:
        parts.append("these environment variables are not set: " + ", ".join(missing))
    if unusable:
        parts.append("these hold characters that cannot be sent: " + ", ".join(unusable))
    if parts:
        raise EnvironmentProblem("; ".join(parts))
