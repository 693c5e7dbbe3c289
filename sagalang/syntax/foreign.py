"""What people write who know another language, and what it is called in this one.

Each rule looks at the place of a syntax error and gives a sentence and what to type, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sagalang.syntax.found import Found
from sagalang.syntax.words import FOREIGN_TYPES

Told = tuple[str, str]

_STATEMENTS: Final[dict[str, Told]] = {
    **dict.fromkeys(
        ("try", "begin"),
        ("what may fail stands in an `attempt`", "write `attempt { … } on Error { … }`"),
    ),
    **dict.fromkeys(
        ("catch", "except", "rescue"),
        ("an error is handled behind its `attempt` by `on`", "write `on Error { … }`"),
    ),
    **dict.fromkeys(
        ("finally", "ensure", "defer"),
        (
            "nothing runs at the end by itself but the compensations",
            "what has to happen in every case stands behind the `attempt`",
        ),
    ),
    **dict.fromkeys(
        ("elif", "elseif", "elsif"),
        ("another condition begins with two words", "write `else if`"),
    ),
    **dict.fromkeys(
        ("raise", "throw", "fail"),
        ("a saga gives up by `abort`, and undoes what it did", "write `abort Error`"),
    ),
    **dict.fromkeys(
        ("const", "var", "val"),
        ("a value gets its name by `let`, and keeps it", "write `let x = …`"),
    ),
    **dict.fromkeys(
        ("await", "call", "do", "run", "exec", "execute", "invoke", "perform", "yield"),
        (
            "a service is called by a `step`, which waits for the answer",
            "write `step Service.operation(…)`, or `step x = …` to keep the answer",
        ),
    ),
    **dict.fromkeys(
        ("foreach", "loop"),
        ("a loop goes over the elements of a list", "write `for x in xs { … }`"),
    ),
    **dict.fromkeys(
        ("switch", "case", "select"),
        ("cases are told apart by `if`", "write `if … { … } else if … { … }`"),
    ),
    **dict.fromkeys(
        ("def", "function", "fn", "func", "workflow", "process"),
        (
            "a saga cannot stand inside another",
            "declare it beside, and run it: `step saga Name(…)`",
        ),
    ),
    "pass": ("an empty block holds nothing", "write `{ }`"),
    "print": ("a saga prints nothing", "what each step did can be read from its history"),
}
_DECLARATIONS: Final[dict[str, Told]] = {
    **dict.fromkeys(
        ("def", "function", "fn", "func", "workflow", "process", "async", "export", "public"),
        ("what runs step by step is a `saga`", "write `saga Name(…) { … }`"),
    ),
    **dict.fromkeys(
        ("class", "struct", "interface", "message", "dataclass", "data"),
        ("data with fields is a `record`", "write `record Name { … }`"),
    ),
    **dict.fromkeys(
        ("const", "var", "val"), ("a constant is declared by `let`", "write `let x = …`")
    ),
    **dict.fromkeys(
        ("from", "include", "use", "require", "using", "package"),
        ("another file is imported as a whole, by its path", 'write `import "file.saga"`'),
    ),
    **dict.fromkeys(
        ("exception",), ("what may go wrong is declared as an `error`", "write `error Name`")
    ),
    **dict.fromkeys(
        ("test",),
        ("a test of a saga is a `scenario`", 'write `scenario "…" of Name(…) { … }`'),
    ),
}
_OPERATIONS: Final = frozenset(
    ("def", "function", "fn", "func", "rpc", "operation", "method", "endpoint", "async")
)
_UNITS: Final = {
    **dict.fromkeys(("ms", "milli", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
_LISTS: Final = frozenset(("list", "array", "seq", "sequence", "set", "vec", "iterable", "tuple"))
_MAPS: Final = frozenset(("map", "dict", "dictionary", "record", "hashmap", "object"))
_OPTIONS: Final = frozenset(("optional", "option", "maybe", "nullable"))
_FUNCTIONS: Final = ("len", "sum", "min", "max", "contains", "lower", "upper", "round")
_GENERIC: Final = re.compile(r"[\[<]\s*([^\[\]<>]*?)\s*[\]>]")
_THOUSANDS: Final = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w,])")


def foreign(found: Found) -> Told | None:
    """The sentence and the fix for a word or sign of another language."""
    for rule in _RULES:
        told = rule(found)
        if told is not None:
            return told
    return None


# --- words -------------------------------------------------------------------------------------


def _word(found: Found) -> Told | None:
    text = found.text
    if not text.isidentifier():
        return None
    if found.statement or found.accepts == {"ON"}:
        if found.behind.endswith("." + text):
            return None
        return _STATEMENTS.get(text)
    if "COMMAND" in found.accepts and text in _OPERATIONS:
        return (
            "a service has commands, which change something, and queries",
            "write `command name(…)` or `query name(…) -> …`",
        )
    return _DECLARATIONS.get(text) if found.declaration else None


def _import(found: Found) -> Told | None:
    if found.before == "import" and found.accepts == {"STRING"}:
        name = found.text if found.text.isidentifier() else "file"
        return "a file is imported by its path", f'write `import "{name}.saga"`'
    return None


def _assignment(found: Found) -> Told | None:
    if not found.statement or found.kind != "NAME":
        return None
    match = re.match(r"(\w+)\s*([-+*/]?)=(?!=)\s*(?:await\s+)?([A-Z]\w*\.\w+\s*\()?", found.ahead)
    if match is None:
        return None
    name, operator, call = match.groups()
    if operator:
        return f"`{name}` cannot be changed", "give the new value a name: `let y = …`"
    if call:
        return "every statement begins with a keyword", f"a call is a step: `step {name} = …`"
    return "every statement begins with a keyword", f"write `let {name} = …`"


def _pivot_after_step(found: Found) -> Told | None:
    if re.search(r"\bstep\s+pivot\s*\Z", found.behind) and found.kind == "NAME":
        return "`pivot` stands before `step`", "write `pivot step …`"
    return None


def _needless_before(found: Found) -> Told | None:
    if found.kind != "NAME":
        return None
    if found.before == "new":
        return "a record is built without `new`", f"write `{found.text}(…)`"
    if found.before in ("await", "call", "run", "do", "exec") and found.accepts <= {"DOT", "EQUAL"}:
        return (
            f"`{found.before}` is not needed: a `step` waits for the answer",
            f"write `step x = {found.text}.…(…)`",
        )
    if found.before in ("error", "exception") and re.search(r"\bon\s+\w+\s*\Z", found.behind):
        return "behind `on` stands the name of the error", f"write `on {found.text} {{ … }}`"
    return None


def _best_effort(found: Found) -> Told | None:
    if found.text in ("besteffort", "best_effort", "bestEffort") and found.statement:
        return "these are two words", "write `best effort`"
    if found.text == "-" and found.before == "best" and found.accepts == {"EFFORT"}:
        return "these are two words", "write `best effort`"
    return None


def _then(found: Found) -> Told | None:
    if found.text in ("then", "do") and "LBRACE" in found.accepts and "INT" not in found.accepts:
        return f"a block has no `{found.text}` before it", "leave it out: `if … { … }`"
    return None


def _clause(found: Found) -> Told | None:
    if found.before == "else" and found.text == "abort" and found.accepts == {"ESCALATE"}:
        return (
            "a step that fails aborts the saga by itself",
            'leave `else abort …` out, or write `else escalate "team"`',
        )
    if found.text == "on" and found.statement:
        return (
            "`on` handles the errors of an `attempt`",
            "write `attempt { step … } on Error { … }`",
        )
    if found.accepts == {"COLON"} and re.search(r"\bwait\s+\w+\s*\Z", found.behind):
        return "what is waited for gets a name", f"write `wait answer: {found.before} within …`"
    if found.text == "is" and found.accepts & {"AND", "WITH", "LBRACE"}:
        return "two values are compared with `==`", "write `==`, or `!=` for `is not`"
    if found.text == "in" and re.search(r"\bif\s[^\n{]*\Z", found.behind):
        return (
            "whether a list holds a value is asked by a function",
            "write `contains(list, value)`",
        )
    return None


# --- signs -------------------------------------------------------------------------------------


def _colon(found: Found) -> Told | None:
    if found.text != ":":
        return None
    if found.accepts == {"EQUAL"}:
        name = found.before
        if found.ahead.startswith(":="):
            return "a name and its value are joined by `=`", f"write `let {name} = …`"
        return "a `let` takes its type from its value", f"write `let {name} = …`"
    if "ARROW" in found.accepts and re.match(r":[ \t]*(\w|\{[ \t]*\w)", found.ahead):
        return "the result stands behind `->`", "write `-> …`"
    if "LBRACE" in found.accepts and "INT" not in found.accepts:
        return "a block stands in `{ }`", "write `{` here, and `}` behind its last statement"
    return None


def _returns(found: Found) -> Told | None:
    if "ARROW" in found.accepts and found.text in ("returns", "return", "=", "=>"):
        return "the result stands behind `->`", "write `-> …`"
    return None


def _equals(found: Found) -> Told | None:
    if found.text[:1] == "=" and found.before in ("==", "!="):
        return f"there is no `{found.before}=`", f"write `{found.before}`"
    return None


def _question(found: Found) -> Told | None:
    if found.text[:1] == "?" and "AND" in found.accepts:
        return "a value is chosen by words", "write `if … then … else …`"
    return None


def _prefixed_text(found: Found) -> Told | None:
    match = re.search(r"(?<![\w\"])([a-zA-Z]{1,2})\Z", found.behind)
    if found.kind == "STRING" and match and "STRING" not in found.accepts:
        return f"a text has no `{match.group(1)}` before it", 'values stand in a text as `"${…}"`'
    return None


def _method(found: Found) -> Told | None:
    match = re.search(r"(?:\blet\s+(\w+)\s*=\s*)?(?<![\w.])(\w+)\.(\w+)\s*\Z", found.behind)
    if found.text != "(" or match is None or "LPAR" in found.accepts:
        return None
    name, base, member = match.groups()
    if base[:1].isupper():
        step = f"step {name or 'x'} = {base}.{member}(…)"
        return "an expression cannot call a service", f"a call is a step of its own: `{step}`"
    if member in _FUNCTIONS:
        return "values have no methods", f"write `{member}({base})`"
    known = ", ".join(f"`{name}`" for name in _FUNCTIONS)
    return "values have no methods", f"the functions are {known}, as in `len({base})`"


def _bare_operation(found: Found) -> Told | None:
    if "LPAR" not in found.accepts or "INT" in found.accepts:
        return None
    match = re.search(r"\b(compensate|probe)\s+((?:\w+\.)?\w+)\s*\Z", found.behind)
    if match:
        word, name = match.groups()
        what = "compensation" if word == "compensate" else "probe"
        advice = f"write `{word} {name}(key)`, or the inputs it takes"
        return f"the call of the {what} has no arguments", advice
    match = re.search(r"\bstep\s+((?:\w+\s*=\s*)?\w+\.\w+)\s*\Z", found.behind)
    return ("a call has `( )`", f"write `step {match.group(1)}(…)`") if match else None


# --- types -------------------------------------------------------------------------------------


def _type(written: str) -> str:
    """A type as this language calls it."""
    return FOREIGN_TYPES.get(written.lower(), written) or "T"


def _generic(found: Found) -> Told | None:
    named = found.type or found.accepts == {"LESSTHAN"}
    if not named or found.text not in ("[", "<"):
        return None
    if re.match(r"\[\s*\]", found.ahead):
        return "a list is written with its element", f"write `list<{_type(found.before)}>`"
    match = _GENERIC.match(found.ahead)
    inner = match.group(1) if match else "T"
    last = _type(inner.rsplit(",", 1)[-1].strip())
    kind = found.before.lower()
    if kind in _LISTS:
        return "a list is written in lower case with `< >`", f"write `list<{last}>`"
    if kind in _MAPS:
        return "a map is written `map<…>`; its keys are always strings", f"write `map<{last}>`"
    if kind in _OPTIONS:
        return "a value that may be null has a type with `?`", f"write `{last}?`"
    return None


def _map_of_two(found: Found) -> Told | None:
    match = re.match(r",\s*(\w+)", found.ahead)
    if match and re.search(r"\bmap\s*<\s*\w+\s*\Z", found.behind):
        return "the keys of a map are always strings", f"write `map<{_type(match.group(1))}>`"
    return None


def _union(found: Found) -> Told | None:
    if found.text[:1] != "|":
        return None
    match = re.match(r"\|\s*(null|None|nil|undefined)\b", found.ahead)
    if match and re.search(r"(:|->)\s*(secret\s+)?[\w<>?]+\s*\Z", found.behind):
        what = "a value that may be null has a type with `?`"
        return what, f"write `{_type(found.before)}?`"
    if re.search(r"\benum\s+\w+\s*\{[^{}]*\Z", found.behind):
        return "the members of an enum are separated by `,`", "write `,`"
    return None


def _field(found: Found) -> Told | None:
    if found.text == "secret" and found.type:
        match = re.search(r"(\w+)\s*:\s*([\w<>?]+)\s*\Z", found.behind)
        if match:
            return (
                "`secret` stands before the type",
                f"write `{match.group(1)}: secret {match.group(2)}`",
            )
    if found.accepts != {"COLON"} or found.kind == "$END":
        return None
    if found.before == "secret" and found.text.isidentifier():
        match = re.match(r"\w+\s*:\s*([\w<>?]+)", found.ahead)
        kind = match.group(1) if match else "T"
        return "`secret` belongs to the type", f"write `{found.text}: secret {kind}`"
    if found.text == "<":
        return "the name stands first, then its type", "write `name: list<T>`"
    if found.text.isidentifier() and (_known_type(found.before) or found.before[:1].isupper()):
        name = f"{found.text}: {_type(found.before)}"
        return "the name stands first, then its type", f"write `{name}`"
    return None


def _known_type(word: str) -> bool:
    primitives = ("string", "int", "decimal", "bool", "duration", "datetime", "uuid", "json")
    return word in primitives or word.lower() in FOREIGN_TYPES


def _optional_field(found: Found) -> Told | None:
    if found.text[:1] == "?" and found.accepts == {"COLON"}:
        match = re.match(r"\?\s*:\s*(\w+)", found.ahead)
        kind = _type(match.group(1)) if match else "T"
        what = "a value that may be null has a type with `?`"
        return what, f"write `{found.before}: {kind}?`"
    if found.text == "=" and found.type and "COMMA" in found.accepts:
        return (
            "a field has no default value",
            "make its type optional, and use `??` where it is read",
        )
    return None


# --- numbers -----------------------------------------------------------------------------------


def _number(found: Found) -> Told | None:
    text = found.behind[-20:] + found.ahead[:20]
    place = len(found.behind[-20:])
    for match in _THOUSANDS.finditer(text):
        if match.start() < place < match.end():
            plain = match.group().replace(",", "")
            return "a number is written without separators", f"write `{plain}`"
    if re.fullmatch(r"(_\d+)+", found.text) and found.before.isdigit():
        plain = (found.before + found.text).replace("_", "")
        return "a number is written without separators", f"write `{plain}`"
    return None


def _status(found: Found) -> Told | None:
    if re.fullmatch(r'"\d{3}"', found.text) and re.search(r"\brejects\s[\w\s,]*\Z", found.behind):
        return "a status is a number", f"write `{found.text[1:-1]}`"
    return None


def _duration(found: Found) -> Told | None:
    wanted = "DURATION" in found.accepts and "INT" not in found.accepts
    amount, unit = "", ""
    if found.kind == "NAME":
        match = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)[ \t]*\Z", found.behind)
        amount, unit = (match.group(1), found.text) if match else ("", "")
    elif wanted and found.kind in ("INT", "DECIMAL"):
        match = re.match(r"(\d+(?:\.\d+)?)[ \t]*([a-z]*)", found.ahead)
        amount, unit = (match.group(1), match.group(2)) if match else ("", "")
    if not amount:
        return None
    short = _UNITS.get(unit.lower())
    if "." in amount and (short or wanted):
        return "the parts of a duration are whole numbers", "for example `1h30m` or `1500ms`"
    if short:
        return "a duration is a number and a short unit, together", f"write `{amount}{short}`"
    if unit.lower() in ("w", "week", "weeks", "month", "months", "year", "years"):
        days = {"w": 7, "m": 30, "y": 365}[unit[:1].lower()] * int(amount[:6])
        return "the units of a duration are `ms s m h d`", f"write it in days: `{days}d`"
    if wanted and found.kind == "INT":
        shown = f"`{amount}ms`, `{amount}s`, `{amount}m`, `{amount}h` or `{amount}d`"
        return "a duration needs a unit", f"write {shown}"
    return None


_RULES: Final[tuple[Callable[[Found], Told | None], ...]] = (
    _duration,
    _number,
    _status,
    _assignment,
    _pivot_after_step,
    _needless_before,
    _clause,
    _word,
    _import,
    _best_effort,
    _then,
    _colon,
    _returns,
    _equals,
    _question,
    _prefixed_text,
    _method,
    _bare_operation,
    _generic,
    _map_of_two,
    _union,
    _optional_field,
    _field,
)
