"""All codes. A code and its name are for ever: never reused, never given a new meaning.

Bands: 0 syntax, 1 names, 2 types, 3 saga structure, 4 policies, 5 scenarios, 6 verification,
7 limits of a target, 9 internal and I/O. The page of each code is in `pages/NAME.md`.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Final, NamedTuple


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"


class Code(NamedTuple):
    code: str
    name: str
    severity: Severity
    title: str
    """One line: what it is about."""


_E, _W = Severity.ERROR, Severity.WARNING

CODES: Final[tuple[Code, ...]] = (
    # 0 syntax
    Code("SG001", "syntax-error", _E, "the text is not what the language expects here"),
    Code("SG002", "unclosed-brace", _E, "a bracket is never closed, or closed without being open"),
    Code("SG003", "unclosed-string", _E, "a string does not end on its line"),
    Code("SG004", "bad-literal", _E, "a number, duration or string that means nothing"),
    Code("SG005", "nested-too-deeply", _E, "nesting beyond 100 levels"),
    Code("SG006", "not-supported-yet", _E, "a word reserved for a later version"),
    Code("SG007", "bad-character", _E, "a character that no text may contain"),
    Code("SG008", "repeated-clause", _E, "a clause that may stand once stands twice"),
    Code("SG009", "misplaced-clause", _E, "a clause or statement where it cannot stand"),
    Code("SG010", "unused-allow", _W, "an allow comment that silences nothing"),
    # 1 names
    Code("SG101", "unknown-name", _E, "a name that nothing declares"),
    Code("SG102", "duplicate-name", _E, "a name declared twice"),
    Code("SG103", "unused-name", _W, "something declared and never used"),
    Code("SG104", "import-cycle", _E, "files that import each other"),
    Code("SG105", "import-clash", _E, "two files declare the same name"),
    Code("SG106", "import-not-found", _E, "an imported file that cannot be read"),
    Code("SG107", "recursive-type", _E, "a type that contains itself without end"),
    # 2 types
    Code("SG201", "type-mismatch", _E, "a value of another type than is needed"),
    Code("SG202", "missing-argument", _E, "a call without a needed argument"),
    Code("SG203", "unknown-argument", _E, "an argument or field that does not exist"),
    Code("SG204", "missing-field", _E, "a record built without a needed field"),
    Code("SG205", "possibly-unbound", _E, "a name that is not bound on every path"),
    Code("SG206", "secret-leak", _E, "a secret flows where it may be seen"),
    Code("SG207", "not-constant", _E, "a constant that is not known before the saga runs"),
    # 3 saga structure
    Code("SG301", "missing-compensation", _E, "a command before the pivot that nothing undoes"),
    Code("SG302", "unresolvable-outcome", _E, "a lost answer that nothing can resolve"),
    Code("SG303", "compensation-needs-result", _E, "a compensation waits for a lost answer"),
    Code("SG304", "key-without-keyed", _E, "the key of a command that is not keyed"),
    Code("SG305", "compensation-not-repeatable", _E, "a compensation that may not be repeated"),
    Code("SG306", "compensation-not-absent-ok", _E, "a compensation of what never happened fails"),
    Code("SG307", "compensation-not-fenced", _W, "a late original lands after its compensation"),
    Code("SG308", "second-pivot", _E, "two points of no return on one path"),
    Code("SG309", "misplaced-pivot", _E, "a pivot in a loop or a parallel part"),
    Code("SG310", "pivot-not-repeatable", _E, "a pivot whose outcome may stay unknown"),
    Code("SG311", "rejectable-after-pivot", _E, "a step after the pivot that may be rejected"),
    Code("SG312", "abort-after-pivot", _E, "an abort where nothing can be undone any more"),
    Code("SG313", "unreachable", _W, "statements that can never run"),
    Code("SG314", "needless-handler", _W, "a handler for an error that cannot come"),
    Code("SG315", "recursive-saga", _E, "a saga that runs itself"),
    Code("SG316", "missing-id", _E, "a saga started from outside needs an id"),
    Code("SG317", "missing-return", _E, "a path that ends without the promised value"),
    Code("SG318", "misplaced-return", _E, "a return where it cannot stand"),
    Code("SG319", "unserved-operation", _E, "an operation that its binding cannot call"),
    Code("SG320", "too-many-participants", _W, "a choreography of more than three services"),
    Code("SG321", "best-effort-kept", _W, "a best effort step that could be undone is not"),
    # 4 policies
    Code("SG401", "fixed-interval-retry", _E, "retries that synchronise all clients"),
    Code("SG402", "endless-retry", _E, "retrying for ever before the pivot"),
    Code("SG403", "retry-exceeds-deadline", _W, "retries that do not fit the deadline"),
    Code("SG404", "policy-conflict", _E, "numbers or clauses that contradict each other"),
    # 5 scenarios
    Code("SG501", "impossible-fault", _E, "a fault that the contract does not allow"),
    Code("SG502", "impossible-expectation", _E, "an expectation that can never hold"),
    Code("SG503", "expectation-not-met", _E, "a scenario that ended otherwise than expected"),
    Code("SG504", "no-verdict", _E, "a scenario that cannot be judged"),
    # 6 verification
    Code("SG601", "effect-left", _E, "a failure after which an effect stays"),
    Code("SG602", "promise-broken", _E, "a failure that breaks what the language promises"),
    Code("SG603", "undone-with-another", _E, "a compensation that undoes more than its own step"),
    # 7 limits of a target
    Code("SG701", "not-compilable", _E, "something that does not compile to Python yet"),
    # 9 internal and I/O
    Code("SG900", "internal-error", _E, "a bug in sagalang"),
    Code("SG901", "unreadable-file", _E, "a file that cannot be read"),
)

BY_NAME: Final = {code.name: code for code in CODES}
BY_CODE: Final = {code.code: code for code in CODES}


def find(word: str) -> Code | None:
    """The code a user means by `SG301`, `sg301` or `missing-compensation`."""
    code = word.upper().removeprefix("SG")
    return BY_CODE.get(f"SG{code}") or BY_NAME.get(word.lower())


@cache
def page(name: str) -> str:
    """The explain page of a code, as Markdown.

    Raises FileNotFoundError if it was not written; a test sees to it that it was.
    """
    from importlib.resources import files

    return files("sagalang.diagnostics").joinpath("pages", f"{name}.md").read_text("utf-8")
