"""Amounts that depend on how long lists are, in closed form: sums, maxima, multiples, no limit.

A form is built by `plus`, `longest`, `each`, `times` and `at_most` only, which keep it short.
Every form is monotone: longer lists never make it smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

Data = dict[str, Any]


@dataclass(frozen=True)
class Fixed:
    amount: int


@dataclass(frozen=True)
class Named:
    """An amount that only a run can tell, such as `the sleep until start`."""

    name: str


@dataclass(frozen=True)
class Each:
    """`body` for every started `at_once` elements of the list `source`."""

    source: str
    body: Form
    at_once: int = 1


@dataclass(frozen=True)
class Sum:
    items: tuple[Form, ...]


@dataclass(frozen=True)
class Longest:
    items: tuple[Form, ...]


@dataclass(frozen=True)
class AtMost:
    form: Form
    limit: int


@dataclass(frozen=True)
class Endless:
    """No limit. `causes`: what is repeated for ever."""

    causes: tuple[str, ...]


Form = Fixed | Named | Each | Sum | Longest | AtMost | Endless

ZERO = Fixed(0)


# --- Building ----------------------------------------------------------------------------------


def plus(*forms: Form) -> Form:
    fixed = 0
    rest: list[Form] = []
    for form in forms:
        for item in form.items if isinstance(form, Sum) else (form,):
            if isinstance(item, Fixed):
                fixed += item.amount
            else:
                _add(rest, item)
    endless = _endless(rest)
    if endless is not None:
        return endless
    items = (Fixed(fixed), *rest) if fixed else tuple(rest)
    if not items:
        return ZERO
    return items[0] if len(items) == 1 else Sum(items)


def _add(items: list[Form], item: Form) -> None:
    """Two multiples per element of the same list are one."""
    if isinstance(item, Each):
        for index, known in enumerate(items):
            if isinstance(known, Each) and _same_list(known, item):
                items[index] = replace(known, body=plus(known.body, item.body))
                return
    items.append(item)


def _same_list(one: Each, two: Each) -> bool:
    return (one.source, one.at_once) == (two.source, two.at_once)


def _endless(forms: list[Form]) -> Endless | None:
    causes = [cause for form in forms if isinstance(form, Endless) for cause in form.causes]
    return Endless(tuple(dict.fromkeys(causes))) if causes else None


def longest(*forms: Form) -> Form:
    items: list[Form] = []
    for form in forms:
        for item in form.items if isinstance(form, Longest) else (form,):
            if not any(covers(known, item) for known in items):
                items = [known for known in items if not covers(item, known)]
                items.append(item)
    endless = _endless([*forms])
    if endless is not None:
        return endless
    if not items:
        return ZERO
    return items[0] if len(items) == 1 else Longest(tuple(items))


def each(source: str, body: Form, at_once: int = 1) -> Form:
    """`body` for every element, `at_once` of them side by side. An endless body is endless: how
    many elements there are is not known."""
    return body if body == ZERO or isinstance(body, Endless) else Each(source, body, at_once)


def times(count: int, form: Form) -> Form:
    """`count` times the form; a named amount is so many of its own."""
    if count == 0:
        return ZERO
    match form:
        case Fixed(amount):
            return Fixed(count * amount)
        case Named():
            return plus(*[form] * count)
        case Each(source, body, at_once):
            return Each(source, times(count, body), at_once)
        case Sum(items):
            return plus(*(times(count, item) for item in items))
        case Longest(items):
            return longest(*(times(count, item) for item in items))
        case AtMost(inner, limit):
            return at_most(times(count, inner), count * limit)
        case Endless():
            return form


def at_most(form: Form, limit: int) -> Form:
    if isinstance(form, Endless) or least(form) >= limit:
        return Fixed(limit)
    return form if isinstance(form, Fixed) else AtMost(form, limit)


# --- Asking ------------------------------------------------------------------------------------


def value(form: Form, sizes: Mapping[str, int]) -> int | None:
    """The amount for lists of these lengths (and named amounts); None: no limit. Raises KeyError
    where `sizes` lacks one."""
    match form:
        case Fixed(amount):
            return amount
        case Named(name):
            return sizes[name]
        case Each(source, body, at_once):
            one = value(body, sizes)
            return None if one is None else -(-sizes[source] // at_once) * one
        case Sum(items) | Longest(items):
            found = [value(item, sizes) for item in items]
            known = [amount for amount in found if amount is not None]
            if len(known) < len(found):
                return None
            return sum(known) if isinstance(form, Sum) else max(known)
        case AtMost(inner, limit):
            some = value(inner, sizes)
            return limit if some is None else min(some, limit)
        case Endless():
            return None


def least(form: Form) -> int:
    """The amount when every list is empty. An endless form must not be asked."""
    match form:
        case Fixed(amount):
            return amount
        case Sum(items):
            return sum(least(item) for item in items)
        case Longest(items):
            return max(least(item) for item in items)
        case AtMost(inner, limit):
            return min(least(inner), limit)
        case _:
            return 0


def covers(big: Form, small: Form) -> bool:
    """Whether `small` is certainly never above `big`; where that cannot be seen, False."""
    match big, small:
        case _ if big == small:
            return True
        case Endless(), _:
            return True
        case _, Endless():
            return False
        case _, Fixed(amount):
            return amount <= least(big)
        case _, Longest(items):
            return all(covers(big, item) for item in items)
        case _, AtMost(inner, limit) if covers(big, inner) or covers(big, Fixed(limit)):
            return True
        case Longest(items), _:
            return any(covers(item, small) for item in items)
        case AtMost(inner, limit), _:
            highest = small.limit if isinstance(small, AtMost) else None
            return covers(inner, small) and highest is not None and highest <= limit
        case Each(), Each() if _same_list(big, small):
            return covers(big.body, small.body)
        case Sum(items), _:
            return _sum_covers(list(items), small.items if isinstance(small, Sum) else (small,))
        case _:
            return False


def _sum_covers(big: list[Form], small: tuple[Form, ...]) -> bool:
    """Every part that varies must be covered by one of its own; what is left covers the rest."""
    fixed = 0
    for item in small:
        if isinstance(item, Fixed):
            fixed += item.amount
            continue
        found = next((one for one in big if covers(one, item)), None)
        if found is None:
            return False
        big.remove(found)
    return fixed <= sum(least(item) for item in big)


# --- Telling -----------------------------------------------------------------------------------


def text(form: Form, unit: Callable[[int], str] = str) -> str:
    """As people read it: `42s + 11s per element of order.lines`."""
    match form:
        case Fixed(amount):
            return unit(amount)
        case Named(name):
            return name
        case Each(source, body, at_once):
            many = "element" if at_once == 1 else f"started {at_once} elements"
            one = text(body, unit)
            return f"{f'({one})' if isinstance(body, Sum) else one} per {many} of {source}"
        case Sum(items):
            return " + ".join(text(item, unit) for item in items)
        case Longest(items):
            return f"max({', '.join(text(item, unit) for item in items)})"
        case AtMost(inner, limit):
            return f"min({text(inner, unit)}, {unit(limit)})"
        case Endless(causes):
            verb = "is" if len(causes) == 1 else "are"
            return f"no limit: {_listed(causes)} {verb} retried for ever"


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def as_json(form: Form) -> Data:
    match form:
        case Fixed(amount):
            return {"kind": "fixed", "amount": amount}
        case Named(name):
            return {"kind": "named", "name": name}
        case Each(source, body, at_once):
            return {"kind": "each", "of": source, "at_once": at_once, "body": as_json(body)}
        case Sum(items):
            return {"kind": "sum", "items": [as_json(item) for item in items]}
        case Longest(items):
            return {"kind": "max", "items": [as_json(item) for item in items]}
        case AtMost(inner, limit):
            return {"kind": "at most", "form": as_json(inner), "limit": limit}
        case Endless(causes):
            return {"kind": "no limit", "causes": list(causes)}
