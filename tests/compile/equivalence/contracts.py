"""Random services: policies, and operations that keep the rules for where they are called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from sagalang.model import types as t

from .choices import Choices
from .expressions import CARD, COLOUR, INT_OR_NOT, PART, PARTS, TEXT_OR_NOT, VALUES

Role = Literal["undoable", "bare", "query", "repeatable", "refusable", "pivot", "told pivot"]
"""Where an operation can be called. `undoable`: it declares its compensation. `bare`: it declares
none, and the step does. `repeatable`: after the pivot as it is. `refusable`: after the pivot with
somebody to tell, or in an attempt. `told pivot`: it rejects, and nothing clears the doubt."""

ERRORS: Final = ("No", "Missing", "Gone")
SERVICES: Final = ("Pay", "Stock", "Mail")
RESULTS: Final[tuple[t.Type, ...]] = (
    t.STRING,
    t.INT,
    t.BOOL,
    t.DECIMAL,
    TEXT_OR_NOT,
    PARTS,
    PART,
    COLOUR,
    t.DURATION,
    t.JSON,
    CARD,
    INT_OR_NOT,
)


@dataclass(frozen=True)
class Operation:
    service: str
    name: str
    params: tuple[tuple[str, t.Type], ...]
    result: t.Type
    rejects: tuple[str, ...] = ()
    keyed: bool = False
    undoable: bool = False
    by_result: bool = False
    """Whether a step may give a compensation that needs the result."""
    text: str = ""
    roles: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        return f"{self.service}.{self.name}"


@dataclass
class Contracts:
    """The services and policies of one program in the making."""

    choices: Choices
    policies: dict[str, str] = field(default_factory=dict)
    """(kind, name): text"""
    kinds: dict[str, str] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    with_: dict[str, str] = field(default_factory=dict)
    """Service: its policy."""

    # --- Policies ------------------------------------------------------------------------------

    def policy(self, kind: Literal["pace", "shared", "undo"]) -> str:
        """The name of a policy. `pace`: for a step. `shared`: for a service or an operation.
        `undo`: for compensations, which may be retried for ever."""
        known = [name for name, which in self.kinds.items() if which == kind]
        if known and self.choices.chance(50):
            return self.choices.of(known)
        name = f"{kind}{len(self.policies) + 1}"
        self.kinds[name] = kind
        clauses = [self._pace(kind == "undo")]
        if kind == "shared":
            clauses += self._shared()
        bases = [name for name in known if "forever" not in self.policies[name]]
        base = f" extends {self.choices.of(bases)}" if bases and self.choices.chance(25) else ""
        self.policies[name] = f"policy {name}{base} {{ {' '.join(clauses)} }}"
        return name

    def _pace(self, undo: bool) -> str:
        pick = self.choices.pick
        text = f"timeout {pick('1s', '200ms', '3s')}"
        times = pick("", "1 times", "2 times", "3 times", "forever")
        if times == "forever" and not undo:
            text += f" total {pick('20s', '5s')}"
        elif self.choices.chance(15):
            text += f" total {pick('10s', '5s')}"
        if not times:
            return text
        text += f" retry {times} backoff {pick('100ms', '50ms', '1s')}"
        cap = pick("", " * 2", " * 2 up to 2s", " * 1.5 up to 1s")
        jitter = pick("full", "equal", "decorrelated", "25%", 'none "alone"')
        return f"{text}{cap} jitter {jitter}"

    def _shared(self) -> list[str]:
        chance, pick = self.choices.chance, self.choices.pick
        per = " per operation" if chance(30) else ""
        found = []
        if chance(25):
            up = pick("", " up to 8s")
            slow = pick("", ", slow after 100ms")
            opens = f"breaker opens at 50% of at least {pick(2, 3)} calls in 5s"
            found.append(f"{opens}, probes after {pick('2s', '300ms')}{up}{slow}{per}")
        if chance(25):
            found.append(f"bulkhead {pick('1', '1 queue 2', '2 queue 1 wait 40ms')}{per}")
        if chance(15):
            found.append(f"rate {pick('3 per 200ms', '2 per 1s')}{per}")
        if chance(15):
            found.append(f"retry budget {pick('20%', '50% of the last 5s')}{per}")
        return found

    # --- Operations ----------------------------------------------------------------------------

    def operation(self, role: Role) -> Operation:
        """An operation for this role: one that is there, or a new one."""
        known = [found for found in self.operations if role in found.roles]
        if known and self.choices.chance(40):
            return self.choices.of(known)
        name = f"{'ask' if role == 'query' else 'do'}{len(self.operations) + 1}"
        made = self._command(role, name) if role != "query" else self._query(name)
        self.operations.append(made)
        return made

    def _service(self) -> str:
        name = self.choices.pick(*SERVICES)
        if name not in self.with_:
            self.with_[name] = self.policy("shared") if self.choices.chance(60) else ""
        return name

    def _params(self) -> tuple[tuple[str, t.Type], ...]:
        found = []
        for name in ("a", "key_", "class")[: self.choices.weighted((6, 1), (4, 2), (1, 3))]:
            kind = t.STRING if self.choices.chance(45) else self.choices.of(VALUES)
            found.append((name, kind))
        return tuple(found)

    def _result(self, wanted: bool) -> t.Type:
        """`{ id: string, … }`, or nothing, or a scalar, or a record."""
        how = self.choices.weighted((0 if wanted else 3, "none"), (6, "inline"), (1, "plain"))
        if how == "none":
            return t.NULL
        if how == "plain" and not wanted:
            return self.choices.pick(t.STRING, PART, t.INT, PARTS)
        extra = [self.choices.of(RESULTS) for _ in range(self.choices.pick(0, 1, 2))]
        more = tuple((name, kind, name) for name, kind in zip("xyz", extra, strict=False))
        return t.InlineRecord((("id", t.STRING, "id"), *more))

    def _head(self, kind: str, name: str, params: tuple[tuple[str, t.Type], ...]) -> str:
        listed = ", ".join(f"{n}: {t.show(k)}" for n, k in params)
        return f"{kind} {name}({listed})"

    def _with(self) -> str:
        return f" with {self.policy('shared')}" if self.choices.chance(20) else ""

    def _rejects(self) -> tuple[str, ...]:
        return self.choices.pick((), ("No",), ("Missing",), ("No", "Missing"), ("Gone", "No"))

    def _query(self, name: str) -> Operation:
        params, service = self._params(), self._service()
        result = self._result(True)
        if self.choices.chance(30):
            result = t.Optional(result)
        rejects = ("No",) if self.choices.chance(15) else ()
        text = f"{self._head('query', name, params)} -> {t.show(result)}"
        text += f" rejects {', '.join(rejects)}" if rejects else ""
        roles = frozenset({"query"}) if not rejects else frozenset({"query", "refusing query"})
        return Operation(
            service, name, params, result, rejects, text=text + self._with(), roles=roles
        )

    def _command(self, role: Role, name: str) -> Operation:
        choices, params, service = self.choices, self._params(), self._service()
        must_repeat = role in ("repeatable", "refusable", "pivot", "told pivot")
        promise = choices.weighted(
            (5, "keyed"),
            (2, "idempotent"),
            (2, "probed"),
            (0 if must_repeat or role == "bare" else 1, ""),
        )
        rejects = () if role == "repeatable" else self._rejects()
        if role in ("refusable", "told pivot") and not rejects:
            rejects = ("No",)
        if role == "pivot" and promise == "idempotent":
            rejects = ()
        records = promise == "keyed" and choices.chance(50)
        if role == "pivot" and rejects and promise == "keyed":
            records = True
        if role == "told pivot":
            promise, records = "keyed", False
        probed, lands = promise == "probed", promise == "probed" or choices.chance(15)
        sure = probed or (promise == "keyed" and (records or not rejects))
        undo = ""
        if role in ("undoable", "refusable"):
            undo = choices.weighted(
                (4 if promise == "keyed" else 0, "key"),
                (3, "inputs"),
                (3 if sure else 0, "result"),
            )
        result = self._result(probed or undo == "result")
        promises = [promise] if promise in ("keyed", "idempotent") else []
        promises += ["records rejections"] if records else []
        promises += [f"lands within {choices.pick('1m', '2s')}"] if lands else []
        args = ", ".join(n for n, _ in params)
        text = self._head("command", name, params)
        text += f" -> {t.show(result)}" if result != t.NULL else ""
        text += f" {', '.join(promises)}" if promises else ""
        text += f" rejects {', '.join(rejects)}" if rejects else ""
        lines = []
        if probed:
            text += f" probe find_{name}({args})"
            lines.append(f"{self._head('query', f'find_{name}', params)} -> {t.show(result)}?")
        if undo:
            given, wanted = {
                "key": ("key", (("of", t.KEY),)),
                "inputs": (args, params),
                "result": ("result.id", (("id", t.STRING),)),
            }[undo]
            text += f" compensate undo_{name}({given})"
            fences = "" if lands and choices.chance(40) else ", fences late"
            again = choices.pick("idempotent", "keyed") if undo != "result" else "idempotent"
            lines.append(
                f"{self._head('command', f'undo_{name}', wanted)} {again}, absent ok{fences}"
            )
        roles: set[str] = {role}
        if not rejects and must_repeat and role != "told pivot":
            roles |= {"repeatable", "pivot"} if not undo else {"repeatable"}
        return Operation(
            service,
            name,
            params,
            result,
            rejects,
            promise == "keyed",
            bool(undo),
            sure and isinstance(result, t.InlineRecord),
            "\n  ".join([text + self._with(), *lines]),
            frozenset(roles),
        )

    def remedy(self, params: tuple[tuple[str, t.Type], ...]) -> str:
        """A command that undoes what a step of its own choice names."""
        for found in self.operations:
            if "remedy" in found.roles and [k for _, k in found.params] == [k for _, k in params]:
                return found.label
        name, service = f"fix{len(self.operations) + 1}", self._service()
        text = f"{self._head('command', name, params)} idempotent, absent ok, fences late"
        made = Operation(service, name, params, t.NULL, text=text, roles=frozenset({"remedy"}))
        self.operations.append(made)
        return made.label

    def texts(self) -> list[str]:
        """All declarations."""
        made = list(self.policies.values())
        for service, policy in self.with_.items():
            mine = [found.text for found in self.operations if found.service == service]
            head = [f"with {policy}"] if policy else []
            if mine:
                made.append("\n  ".join([f"service {service} {{", *head, *mine]) + "\n}")
        return made
