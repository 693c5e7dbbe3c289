"""Sagas for the conformance suite, each interpreted and compiled from one text."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any

from compile.twin import checked, compile_to_module, event_class

from sagalang.interpret import run as interpret
from sagalang.model.types import RecordRef
from sagalang.runtime import saga as compiled
from sagalang.runtime.codec import decode
from sagalang.runtime.engine import Engine
from sagalang.runtime.entry_types import ModuleTypes, ProgramTypes, Types
from sagalang.runtime.saga_main import decode_arguments
from sagalang.runtime.values import Values, decode_input

HOWS = ("interpreted", "compiled")

COMMON = """
error No
event Go { n: int }
record Line { sku: string }
policy firm { timeout 1s  retry 3 times backoff 100ms * 2 jitter full }

service S {
  with firm
  command do(name: string) -> { at: string }
    keyed, records rejections
    rejects No
    compensate undo(key)
  command undo(of: key) idempotent, absent ok, fences late
  command pay(name: string, card: secret string) -> { token: secret string }
    keyed, records rejections
    compensate undo(key)
  command send(name: string, token: secret string) keyed, records rejections
}
"""


def main(body: str, head: str = "", params: str = "", clauses: str = "") -> str:
    """The text of a saga `Main` around this body; `head`: what stands before it."""
    return f'{COMMON}{head}\nsaga Main({params}) {{\n  id "o-1"\n  {clauses}\n{body}\n}}\n'


class Definition:
    """A text, and how its sagas run. `hash` and `text`: as an engine may keep them."""

    def __init__(self, text: str, how: str) -> None:
        self.text, self.how = text, how
        self.hash = sha256(f"{how} {text}".encode()).hexdigest()
        self.program = checked(text)
        self._values = Values(self.program)
        self._module: Any = None
        self.types: Types = ProgramTypes(self.program, self._values)
        if how == "compiled":
            self._module = compile_to_module(self.program)
            sagas = [f for f in vars(self._module).values() if _is_saga(f)]
            self._sagas = {found.name: found for found in sagas}
            self.types = ModuleTypes.around(*sagas)

    def begin(self, engine: Engine, saga_id: str, args: str = "{}", saga: str = "Main") -> Any:
        """A `Run` or `Running`. `args`: as JSON."""
        if self.how == "compiled":
            call = decode_arguments(self._sagas[saga], args)
            return compiled.begin(call, engine=engine, saga_id=saga_id)
        given = decode_input(self._values, self.program.sagas[saga], args)
        return interpret.begin(
            self.program, saga, given, engine=engine, saga_id=saga_id, values=self._values
        )

    def event(self, name: str, fields: str) -> Any:
        if self.how == "compiled":
            return decode(fields, event_class(self._module, name))
        return decode(fields, self._values.python_type(RecordRef(name)))

    def answer(self, operation: str, fields: str) -> Any:
        return decode(fields, self.types.contract(operation).result)


def _is_saga(found: Any) -> bool:
    return isinstance(found, compiled.SagaDefinition)


defined = lru_cache(maxsize=None)(Definition)
"""Compiled once, however many tests go by it."""
