"""Random small sagas: two or three commands of random contracts, put together at random."""

from __future__ import annotations

from random import Random

from .sagas import EVER, ONCE

PLAIN = "timeout 1s"
AGAIN = 0.3
"""How often a step calls a command that was called before, often with the same inputs."""


def random_saga(seed: int) -> str:
    """The text of a saga; the same seed gives the same one. It may well be wrong, but it parses."""
    return _Maker(Random(seed)).saga()


class _Maker:
    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.services: list[str] = []
        self.steps = 0
        self.params: list[str] = []

    def pick(self, *options: str) -> str:
        return self.chance.choice(options)

    def maybe(self, text: str, share: float = 0.5) -> str:
        return text if self.chance.random() < share else ""

    def saga(self) -> str:
        size = self.chance.choice((1, 2, 2, 3))
        body = self.block(size, 0)
        if self.chance.random() < 0.25:
            body += " pivot step After.confirm(x)" if self.steps < 3 else ""
        elif self.chance.random() < 0.3:
            body += " abort Gone"
        if self.chance.random() < 0.15:
            child = f"saga Child(k: string) {{ {self.step('k')} }}"
            body = f'step saga Child("k") {body}'
        else:
            child = ""
        params = ", ".join(["x: string", *self.params])
        tail = " when compensated { step After.tell(x) best effort }"
        return f"""
error No, Gone, Late
event Word {{ yes: bool }}
policy back {{ {self.pick(PLAIN, PLAIN, PLAIN, ONCE, EVER)} }}
service After {{
  command confirm(a: string) idempotent
  command tell(a: string)
}}
{"".join(self.services)}
saga Main({params}) {{
  id x
  {self.maybe("deadline 6h", 0.1)}
  compensate with back
  {body}
  {self.maybe(tail, 0.05)}
}}
{child}
"""

    def block(self, size: int, depth: int) -> str:
        """So many steps, in a row or otherwise."""
        if size == 1:
            return self.one(depth)
        how = self.chance.random()
        first = self.chance.randint(1, size - 1)
        one, other = self.block(first, depth + 1), self.block(size - first, depth + 1)
        if how < 0.55:
            return f"{one} {other}"
        if how < 0.7:
            return f"parallel {{ branch {{ {one} }} branch {{ {other} }} }}"
        if how < 0.85:
            caught = self.pick("No", "Gone", "Timeout", "NotSent")
            return f"attempt {{ {one} }} on {caught} {{ {other} }}"
        flag = f"flag{len(self.params)}"
        self.params.append(f"{flag}: bool")
        return f"if {flag} {{ {one} {self.maybe('abort Late', 0.3)} }} else {{ {other} }}"

    def one(self, depth: int) -> str:
        how = self.chance.random()
        step = self.step("x")
        if how < 0.72:
            return step
        if how < 0.78:
            return f"{step} sleep 1h"
        if how < 0.84:
            otherwise = self.pick("abort Late", "null", 'escalate "team"')
            return f"{step} wait word{self.steps}: Word within 1h else {otherwise}"
        if how < 0.9:
            items = f"list{len(self.params)}"
            self.params.append(f"{items}: list<string>")
            return f"for item in {items}{self.maybe(', 2 at once', 0.3)} {{ {self.step('item')} }}"
        caught = self.pick("No", "Timeout", "NotSent", "Gone")
        return f"attempt {{ {step} }} on {caught} {{ {self.maybe('abort Gone')} }}"

    def step(self, arg: str) -> str:
        self.steps += 1
        if self.services and self.chance.random() < AGAIN:
            service = f"S{self.chance.randint(1, len(self.services))}"
        else:
            service = self.service()
        tail = self.pick(
            "", "", "", "", "", " best effort", ' compensate none "why"', ' else escalate "team"'
        )
        return f"step s{self.steps} = {service}.do({arg}){tail}"

    def service(self) -> str:
        """A new service, by name."""
        service = f"S{len(self.services) + 1}"
        result = self.chance.random() < 0.35
        keyed = self.chance.random() < 0.6
        promises = ["keyed"] if keyed else self.chance.choice(([], [], ["idempotent"]))
        if keyed and self.chance.random() < 0.5:
            promises = [*promises, "records rejections"]
        lands = self.chance.random() < 0.3
        if lands:
            promises = [*promises, "lands within 5m"]
        text = ", ".join(promises)
        text += self.pick("", " rejects No", " rejects No", " rejects No, Gone")
        probe = result and self.chance.random() < 0.5
        if probe:
            text += " probe find(a)"
        given = self.chance.random()
        argument, of = ("key", "key") if keyed and given < 0.6 else ("a", "string")
        if result and given > 0.8:
            argument, of = "result.id", "string"
        if self.chance.random() < 0.93:
            text += f" compensate undo({argument})"
        undo = [word for word in ("absent ok", "fences late") if self.chance.random() < 0.6]
        repeat = self.pick("idempotent", "idempotent", "keyed", "")
        undo = [repeat, *undo] if repeat else undo
        rejects = self.maybe(" rejects Gone", 0.1)
        self.services.append(f"""
service {service} {{
  with p{service}
  command do(a: string) {"-> { id: string }" if result else ""} {text}
  command undo(of: {of}) {", ".join(undo)}{rejects}
  {"query find(a: string) -> { id: string }?" if probe else ""}
}}
policy p{service} {{ {self.pick(PLAIN, PLAIN, ONCE, ONCE, EVER)} }}
""")
        return service
