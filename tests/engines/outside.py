"""What stands outside of every process: services, and what was done there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected
from sagalang.runtime.codec import decode
from sagalang.runtime.contract import Request


@dataclass
class Services:
    """Keep the promises of `definitions.COMMON`. A command that begins with one of `refused` is
    rejected. `log`: the calls that arrived, as `label(first argument)`."""

    refused: set[str] = field(default_factory=set)
    lost: dict[str, int] = field(default_factory=dict)
    """How many answers about a name get lost, after the effect."""
    log: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """By key: what it is for."""
    _there: dict[str, str] = field(default_factory=dict)
    _fenced: set[str] = field(default_factory=set)
    _answers: dict[str, Outcome] = field(default_factory=dict)

    @property
    def effects(self) -> Counter[str]:
        """What is there, by name; a number above 1: it was done twice."""
        return Counter(self._there.values())

    def take(self, request: Request) -> Outcome | None:
        """A call arrives, takes effect, and is answered; None: the answer gets lost."""
        label, subject, key = request.contract.label, str(request.args[0]), request.key
        assert key is not None
        if label == "S.undo":
            self.log.append(f"undo({self.names.get(subject, subject)})")
            self._fenced.add(subject)
            self._there.pop(subject, None)
            return Ok(None)
        self.log.append(f"{label.removeprefix('S.')}({subject})")
        self.secrets += [str(arg) for arg in request.args[1:]]
        known = self.names.setdefault(key, subject)
        assert known == subject, f"the key of {known} was used for {subject}"
        if key not in self._answers:
            self._answers[key] = self._act(request, key, subject)
        left = self.lost.get(subject, 0)
        self.lost[subject] = max(0, left - 1)
        return None if left else self._answers[key]

    def _act(self, request: Request, key: str, subject: str) -> Outcome:
        if subject in self.refused or key in self._fenced:
            return Rejected(Failure("No"))
        self._there[key] = subject
        answer = {"S.do": '{"at": "there"}', "S.pay": f'{{"token": "{TOKEN}"}}'}
        text = answer.get(request.contract.label)
        return Ok(None if text is None else decode(text, request.contract.result))


TOKEN = "tok-8d5e1c"
"""A secret that a service answers."""

Latency = Callable[[str], int]
"""How many ms a call takes to its service, by its first argument."""
