"""What a saga is made of, as immutable values: calls of services, and definitions of sagas.

Making a call sends nothing; only a step does (`saga.step(path, call)`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    TypeVar,
    final,
    get_type_hints,
)

from msgspec import Struct

from sagalang.machine.calls import CallConfig, endless
from sagalang.machine.evaluate import milliseconds
from sagalang.model import program as p
from sagalang.model.program import DEFAULT_TIMEOUT, RELENTLESS, Ms, Policy
from sagalang.runtime import contract as c
from sagalang.runtime.data import field_name
from sagalang.runtime.saga_errors import SagaError
from sagalang.runtime.saga_operations import NOWHERE

if TYPE_CHECKING:
    from sagalang.runtime.saga_scope import Saga

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

DEFAULT: Final = Policy(timeout=DEFAULT_TIMEOUT)
"""Where no policy is given: ten seconds for an attempt, and no retry."""


@final
class Call(Struct, Generic[T_co], frozen=True):
    """A call as it would be made: nothing is sent until a step makes it.

    `args` in the order of the contract's parameters; one left out is None. `probe` is the query
    that tells whether the call happened, or a function that makes it from the step's key.
    """

    contract: c.Contract
    args: tuple[Any, ...]
    policy: Policy = DEFAULT
    probe: Call[Any] | Callable[[str], Call[Any]] | None = None

    @staticmethod
    def to(
        operation: Callable[..., Coroutine[Any, Any, T]],
        args: tuple[Any, ...],
        policy: Policy = DEFAULT,
        probe: Call[Any] | Callable[[str], Call[Any]] | None = None,
    ) -> Call[T]:
        """A call of a method of a service's Protocol."""
        # Once for each step: nothing but an attribute between the method and its contract.
        return Call(operation.__saga_contract__, args, policy, probe)  # type: ignore[attr-defined]

    def asking(self, key: str) -> Call[Any] | None:
        """The probe of this call, made with this key."""
        return self.probe(key) if callable(self.probe) else self.probe

    def config(
        self,
        policy: Policy,
        *,
        deadline: Ms | None = None,
        resolve: bool = False,
        patient: bool = False,
    ) -> CallConfig:
        promises = self.contract.promises
        return CallConfig(
            timeout=DEFAULT_TIMEOUT if policy.timeout is None else policy.timeout,
            total=policy.total,
            retry=policy.retry,
            deadline=deadline,
            is_query=self.contract.is_query,
            keyed=promises.keyed,
            key_for=promises.key_for,
            records_rejections=promises.records_rejections,
            idempotent=promises.idempotent,
            has_probe=self.probe is not None,
            lands_within=promises.lands_within,
            resolve=resolve,
            patient=patient or endless(policy.retry),
        )


@dataclass(frozen=True, slots=True)
class Escalate:
    """Hand a failure to people. `after`: how long endless retries go on before they are told."""

    team: str
    after: timedelta = timedelta(hours=1)

    @property
    def escalation(self) -> p.Escalation:
        return p.Escalation(self.team, milliseconds(self.after), NOWHERE)


# --- Sagas --------------------------------------------------------------------------------------


class SagaDefinition(Generic[P, T]):
    """A saga that can be run: `run(PLACE_ORDER(order), engine=engine)`.

    `id` gives a run's id from the saga's arguments. `names`: those of parameters in the language,
    where they differ from those of the function. `errors`: those it can end with. `version`: of
    its meaning; a run that is kept goes on with the version that it began with.
    """

    def __init__(
        self,
        name: str,
        function: Callable[Concatenate[Saga, P], Coroutine[Any, Any, T]],
        *,
        id: Callable[P, object] | None = None,  # noqa: A002 - the word of the language
        deadline: timedelta | None = None,
        compensate_with: Policy = RELENTLESS,
        escalate: Escalate | None = None,
        when_compensated: Callable[Concatenate[Saga, SagaError, P], Coroutine[Any, Any, None]]
        | None = None,
        errors: tuple[type[SagaError], ...] = (),
        names: Mapping[str, str] | None = None,
        version: str | None = None,
    ) -> None:
        self.name = name
        self.function = function
        self.id = id
        self.deadline = None if deadline is None else milliseconds(deadline)
        self.compensate_with = compensate_with
        self.escalate = escalate
        self.when_compensated = when_compensated
        self.errors = errors
        self.version = version
        self._signature = _without_first(inspect.signature(function))
        given = names or {}
        self._names = {
            name: given.get(name, field_name(name)) for name in self._signature.parameters
        }

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> SagaCall[T]:
        """The saga with these arguments; nothing runs yet."""
        if not args and kwargs.keys() == self._names.keys():
            return SagaCall(self, {name: kwargs[name] for name in self._names})
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return SagaCall(self, dict(bound.arguments))

    def named(self, parameter: str) -> str:
        """The name of a parameter in the language, and in JSON."""
        return self._names[parameter]

    @property
    def params(self) -> tuple[tuple[str, str, Any, bool], ...]:
        """(parameter, its name in JSON, its type, whether it may be left out), in order."""
        hints = get_type_hints(self.function, include_extras=True)
        return tuple(
            (
                name,
                self.named(name),
                hints[name],
                parameter.default is not inspect.Parameter.empty,
            )
            for name, parameter in self._signature.parameters.items()
        )

    @property
    def result(self) -> Any:
        """The type of its value."""
        return get_type_hints(self.function, include_extras=True)["return"]


def _without_first(signature: inspect.Signature) -> inspect.Signature:
    return signature.replace(parameters=list(signature.parameters.values())[1:])


@dataclass(frozen=True, slots=True)
class SagaCall(Generic[T_co]):
    """A saga with its arguments, by the names of the function's parameters."""

    definition: SagaDefinition[..., Any]
    args: Mapping[str, Any]

    @property
    def recorded(self) -> dict[str, Any]:
        """The arguments under the names they have in the language."""
        named = self.definition.named
        return {named(name): value for name, value in self.args.items()}
