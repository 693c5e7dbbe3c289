"""Policies as named constants: each written once, under the name it has in the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sagalang.compile import naming
from sagalang.compile.context import Module
from sagalang.compile.layout import Doc, Prefix, Text, call
from sagalang.compile.literals import decimal, string
from sagalang.model import program as p
from sagalang.model.program import RELENTLESS

DEFAULT: Final = p.Policy(timeout=p.DEFAULT_TIMEOUT)
"""What the runtime does where no policy is given."""


def name_of(module: Module, policy: p.Policy) -> str:
    """The constant of a policy; `name_all` has met it."""
    usual = {RELENTLESS: "RELENTLESS", DEFAULT: "DEFAULT"}.get(policy)
    return module.policies[policy] if usual is None else module.use(usual)


def name_all(module: Module, used: Mapping[p.Policy, str]) -> None:
    """Give every policy in use a constant: one that is seen, or one of the module's own.

    `used`: policies with a name to fall back on.
    """
    declared: dict[p.Policy, str] = {}
    for name, policy in module.own.policies.items():
        declared.setdefault(policy, name)
    known = [*declared.items(), (RELENTLESS, "relentless")]
    for other in module.sees:
        for policy, constant in other.policies.items():
            if other.declares(constant) and policy not in declared:
                module.policies.setdefault(policy, module.borrow(other, constant))
        known += [(policy, name) for name, policy in other.own.policies.items()]
    for policy, otherwise in used.items():
        if policy in (RELENTLESS, DEFAULT) or policy in module.policies:
            continue
        wanted = declared.get(policy) or _merged(policy, known) or otherwise
        module.policies[policy] = module.taken.claim(naming.constant(wanted))


def _merged(policy: p.Policy, known: list[tuple[p.Policy, str]]) -> str | None:
    """A name for the pace of one policy with the shared protections of another."""
    pace = [name for found, name in known if _pace(found) == _pace(policy)]
    shared = [name for found, name in known if _shared(found) == _shared(policy)]
    if not pace or not shared:
        return None
    return f"{pace[0]}_{shared[0]}" if pace[0] != shared[0] else pace[0]


def _pace(policy: p.Policy) -> tuple[object, ...]:
    return policy.timeout, policy.total, policy.retry


def _shared(policy: p.Policy) -> tuple[object, ...]:
    return policy.budget, policy.breaker, policy.bulkhead, policy.rate


def literal(module: Module, policy: p.Policy) -> Doc:
    """`Policy(timeout=2_000, retry=Retry(...))`"""
    return _struct(module, "Policy", policy)


_CLASSES = {
    p.Retry: "Retry",
    p.RetryBudget: "RetryBudget",
    p.Breaker: "Breaker",
    p.Bulkhead: "Bulkhead",
    p.Rate: "Rate",
}


def _struct(module: Module, name: str, value: object) -> Doc:
    parts = tuple(Prefix(f"{field}=", _value(module, item)) for field, item in _changed(value))
    return call(module.use(name), *parts)


def _changed(value: object) -> Iterator[tuple[str, object]]:
    """The fields that differ from their defaults."""
    import msgspec

    for found in msgspec.structs.fields(type(value)):  # type: ignore[arg-type]
        item = getattr(value, found.name)
        if found.default is msgspec.NODEFAULT or item != found.default:
            yield found.name, item


def _value(module: Module, value: object) -> Doc:
    from decimal import Decimal

    match value:
        case p.Jitter():
            return Text(f"{module.use('Jitter')}.{value.name}")
        case Decimal():
            return Text(decimal(module, value))
        case bool() | None:
            return Text(repr(value))
        case int():
            return Text(f"{value:_}")
        case str():
            return Text(string(value))
        case _:
            return _struct(module, _CLASSES[type(value)], value)  # type: ignore[index]
