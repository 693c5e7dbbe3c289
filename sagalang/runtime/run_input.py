"""Whether a run that is started again is given the input that it had before."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from sagalang.runtime.codec import EncodeError
from sagalang.runtime.entry_types import Types
from sagalang.runtime.exact_values import (
    CANONICAL,
    MISFITS,
    Form,
    Forms,
    dump_canonical,
    open_forms,
    placeholder,
)


class RunInput:
    """Compares the arguments of runs of one definition, as the language does: `2` is `2.0`, an
    instant is the same in every zone, a map has no order.

    First `fingerprint`, which is kept with a run; where it is equal and `has_secrets`, then
    `same`, with the arguments from the run's first entry.
    """

    def __init__(self, types: Types) -> None:
        self._types = types
        self._params: dict[str, Mapping[str, Any]] = {}
        self._covered = Forms(CANONICAL, placeholder)
        self._open = open_forms(CANONICAL)

    def fingerprint(self, saga: str, args: Mapping[str, Any]) -> str:
        """Equal for equal input, interpreted or compiled, on any machine; hexadecimal.

        Of a secret it holds only whether it is there: the hash of a card number can be guessed,
        and one under a key would be another when the key is. Raises `EncodeError`.
        """
        return sha256(
            saga.encode() + b"\0" + self._canonical(self._covered, saga, args)
        ).hexdigest()

    def has_secrets(self, saga: str) -> bool:
        """Whether the input may hold any: if not, equal fingerprints say all."""
        secrets: list[Any] = []

        def hidden(type_: Any) -> Form:
            secrets.append(type_)
            return placeholder(type_)

        forms = Forms(CANONICAL, hidden)
        for type_ in self._types.params(saga).values():
            forms.of(type_)
        return bool(secrets)

    def same(self, saga: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether two inputs are equal, their secrets included. Raises `EncodeError`."""
        return self.canonical(saga, one) == self.canonical(saga, other)

    def canonical(self, saga: str, args: Mapping[str, Any]) -> bytes:
        """Equal for equal input, also of another definition. It holds secrets: never keep it."""
        return self._canonical(self._open, saga, args)

    def _canonical(self, forms: Forms, saga: str, args: Mapping[str, Any]) -> bytes:
        types = self._params.get(saga)
        if types is None:
            types = self._params[saga] = self._types.params(saga)
        try:
            return dump_canonical({name: forms.of(types[name]).write(args[name]) for name in args})
        except MISFITS:
            pass
        raise EncodeError(f"an argument of {saga} is not of its declared type")
