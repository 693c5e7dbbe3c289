"""A syntax error as a sentence with a fix, never as a list of terminals.

First the mistakes people really make, in a table; else what was expected in words of the
language, narrowed by the last words before the place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lark import UnexpectedInput

from sagalang.diagnostics import Diagnostic, diagnose
from sagalang.diagnostics.suggest import nearest
from sagalang.syntax.foreign import foreign
from sagalang.syntax.found import Found, find, is_word
from sagalang.syntax.split import DECLARATION_WORDS
from sagalang.syntax.words import RESERVED
from sagalang.text import Source

_EXPRESSION: Final = frozenset({"INT", "STRING", "LPAR", "LSQB"})
_STATEMENTS: Final = {
    *("step", "pivot", "parallel", "branch", "for", "if", "abort", "return", "sleep", "wait"),
    *("poll", "attempt", "on", "else", "command", "query", "id", "deadline"),
}
_HEAD_WORDS: Final = frozenset({"id", "deadline", "compensate"})
_CHARACTERS: Final = {
    ";": ("there are no semicolons in the language", "remove it; every statement ends by itself"),
    "'": ("a text is written with double quotes", 'write `"…"`'),
    "`": ("a text is written with double quotes", 'write `"…"`'),
    "#": ("a comment begins with `//`", "write `// …`"),
    "&": ("`and` is written as a word", "write `a and b`"),
    "|": ("`or` is written as a word", "write `a or b`"),
    "!": ("`not` is written as a word", "write `not a`, or `a != b`"),
    "%": ("there is no `%` operator", "percentages stand in policies only, as in `50%`"),
    "@": ("there are no annotations", "clauses stand behind what they belong to"),
    "$": ("`$` stands only inside a text", 'write `"${…}"`'),
}
_WORDS: Final = {
    "NAME": "a name",
    "INT": "a whole number",
    "STRING": "a text in double quotes",
    "DURATION": "a duration such as `200ms`, `2s` or `1h30m`",
    "PERCENT": "a percentage such as `50%`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "COLON": "`:`",
    "COMMA": "`,`",
    "EQUAL": "`=`",
    "DOT": "`.`",
    "LESSTHAN": "`<`",
    "MORETHAN": "`>`",
    "QMARK": "`?`",
    "DECIMAL": "a number such as `1.5`",
    "ARROW": "`->`",
    "STAR": "`*`",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "SLASH": "`/`",
    "SAME": "`==`",
    "DIFFERENT": "`!=`",
    "ATMOST": "`<=`",
    "ATLEAST": "`>=`",
    "OTHERWISE": "`??`",
    "$END": "the end of the declaration",
}


def explain(source: Source, error: UnexpectedInput, base: int, end: int) -> Diagnostic:
    """The diagnostic for a syntax error in the piece of `source` from `base` to `end`."""
    found = find(source, error, base, end)
    for rule in _RULES:
        diagnostic = rule(found)
        if diagnostic is not None:
            return diagnostic
    return _general(found)


def _syntax(found: Found, message: str, help: str | None, label: str = "") -> Diagnostic:  # noqa: A002
    return diagnose("syntax-error", found.span, message, label, help=help)


# --- the mistakes people make ------------------------------------------------------------------


def _reserved(found: Found) -> Diagnostic | None:
    statement = "STEP" in found.accepts or "COMMAND" in found.accepts or "$END" in found.accepts
    if found.text in RESERVED and (statement or found.text == "choreograph"):
        what, instead = f"`{found.text}`", RESERVED[found.text]
    elif found.text == "openapi" and found.before == "import":
        what, instead = "`import openapi`", "declare the operations you use in a `service`"
    elif found.text == "key" and "BEST" in found.accepts:
        what, instead = "`key` on a step", "leave it out; the key is derived from saga, id and step"
    else:
        return None
    message = f"{what} is reserved for a later version and not supported yet"
    return diagnose("not-supported-yet", found.span, message, help=f"for now: {instead}")


def _foreign(found: Found) -> Diagnostic | None:
    told = foreign(found)
    return _syntax(found, *told) if told else None


def _stray_character(found: Found) -> Diagnostic | None:
    if found.text[:1] == "/" and "SLASH" not in found.accepts:
        return _syntax(found, "a comment begins with `//`", "write `// …` on each line")
    told = _CHARACTERS.get(found.text[:1])
    return _syntax(found, *told) if told and found.kind in ("", "PERCENT") else None


def _assignment_in_expression(found: Found) -> Diagnostic | None:
    if found.text == "=" and "COLON" in found.accepts:
        return _syntax(found, "a name and its value are joined by `:`", "write `name: …`")
    if found.text == "=" and "AND" in found.accepts:
        return _syntax(found, "`=` does not compare", "two values are compared with `==`")
    return None


def _misplaced_head(found: Found) -> Diagnostic | None:
    if found.text in _HEAD_WORDS and "STEP" in found.accepts and "ID" not in found.accepts:
        return diagnose(
            "misplaced-clause",
            found.span,
            f"`{found.text}` belongs at the top of a saga, before its first statement",
            help="the order is: `id`, then `deadline`, then `compensate with`, then the statements",
        )
    return None


def _misplaced_service_item(found: Found) -> Diagnostic | None:
    if "COMMAND" in found.accepts and found.text in ("http", "python", "header"):
        return diagnose(
            "misplaced-clause",
            found.span,
            f"`{found.text}` belongs at the top of a service, before its first operation",
            help="move it up, directly behind `{`",
        )
    return None


def _bare_call(found: Found) -> Diagnostic | None:
    if found.kind == "NAME" and "STEP" in found.accepts and found.text[:1].isupper():
        return _syntax(
            found,
            "every statement begins with a keyword",
            f"to call a service write `step {found.text}.…(…)`",
        )
    return None


def _missing_comma(found: Found) -> Diagnostic | None:
    closing = found.accepts & {"RBRACE", "RPAR", "RSQB"}
    starts = found.kind in ("NAME", "STRING", "INT", "DECIMAL", "SECRET", "LBRACE")
    if "COMMA" in found.accepts and closing and starts and found.before != ",":
        return _syntax(found, f"a `,` is missing before `{_short(found.text)}`", "add the `,`")
    return None


def _misspelt(found: Found) -> Diagnostic | None:
    if found.kind != "NAME" and not found.text.isidentifier():
        return None
    words = [_keyword(t) for t in found.accepts]
    known = [w for w in words if w] + (
        list(DECLARATION_WORDS) if "$END" in found.accepts or not found.before else []
    )
    meant = nearest(found.text, known)
    if meant is None or meant == found.text:
        return None
    return _syntax(
        found, f"`{found.text}` means nothing here", f"did you mean `{meant}`?", "unknown word"
    )


def _needs_a_keyword_word(found: Found) -> Diagnostic | None:
    """One fixed word is missing, as `times` in `retry 3 times`."""
    if len(found.accepts) != 1:
        return None
    word = _keyword(next(iter(found.accepts)))
    if not word:
        return None
    return _syntax(
        found,
        f"`{word}` is missing {_place(found)}",
        f"write `{found.before} {word}`" if is_word(found.before[:1] or " ") else f"add `{word}`",
    )


def _policy_outside(found: Found) -> Diagnostic | None:
    words = ("timeout", "retry", "breaker", "bulkhead", "rate")
    operation = "WITH" in found.accepts and "AND" not in found.accepts
    if found.text in words and (operation or "STEP" in found.accepts):
        return _syntax(
            found,
            f"`{found.text}` stands in a policy",
            f"write `policy my_policy {{ {found.text} … }}` and refer to it by `with my_policy`",
        )
    return None


def _after_declaration(found: Found) -> Diagnostic | None:
    if "$END" not in found.accepts or not found.before:
        return None
    return _syntax(
        found,
        f"`{_short(found.text)}` cannot stand {_place(found)}",
        "a `}` too many stands before it, or the statement belongs into a saga"
        if found.text in _STATEMENTS
        else "the next declaration begins with " + _DECLARATIONS,
    )


_RULES: Final[tuple[Callable[[Found], Diagnostic | None], ...]] = (
    _reserved,
    _foreign,
    _stray_character,
    _assignment_in_expression,
    _misplaced_head,
    _misplaced_service_item,
    _bare_call,
    _policy_outside,
    _misspelt,
    _missing_comma,
    _after_declaration,
    _needs_a_keyword_word,
)


# --- everything else ---------------------------------------------------------------------------


def _general(found: Found) -> Diagnostic:
    wanted = _wanted(found.accepts)
    got = "the text ends" if found.kind == "$END" else f"`{_short(found.text)}` cannot stand"
    if not found.before and not found.accepts & {"STEP", "NAME"}:
        return _syntax(
            found,
            "a declaration was expected here",
            "a declaration begins with " + _DECLARATIONS,
        )
    where = _place(found)
    sentence = f"{got} {where}" if where else f"{got} here"
    return _syntax(found, sentence, f"what can stand here: {wanted}" if wanted else None)


def _place(found: Found) -> str:
    if found.before == '"':
        return "after the text"
    return f"after `{_short(found.before)}`" if found.before else "at the beginning"


def _wanted(accepts: frozenset[str]) -> str:
    """What may come, in words: kinds first, at most four things."""
    parts: list[str] = []
    rest = set(accepts)
    if accepts >= _EXPRESSION:
        parts.append("a value")
        rest -= _EXPRESSION | {
            *("NAME", "DECIMAL", "DURATION", "TRUE", "FALSE", "NULL", "NOT", "IF", "MINUS"),
            *("LBRACE",),
        }
    elif accepts >= {"NAME", "SECRET"}:
        parts.append("a type")
        rest -= {"NAME", "SECRET", "LIST", "MAP", "LBRACE"}
    for marker, phrase in _PHRASES.items():
        if marker in accepts and ("AND" not in accepts or marker == "STEP"):
            return phrase
    if "AND" in accepts:
        rest -= _OPERATORS
    words = [in_words(terminal) for terminal in sorted(rest)]
    parts += [w for w in words if w]
    return _join(parts[:4])


_PHRASES: Final = {
    "UNAVAILABLE": "`rejects E`, `returns …`, `times out before effect`, `times out after effect`,"
    " `unavailable`, `arrives late after 5s`, `duplicated`, `is not sent` or `answers nonsense`",
    "COMPLETED": "`completed`, `compensated`, `escalated`, `nothing left`, `within 5s`,"
    " `effect Service.op once`, or `Service.op` with `once`, `never`, `before …`",
    "KEYED": "`keyed`, `idempotent`, `rejects …`, `compensate …`, `probe …`, `with …`"
    " or the next operation",
    "BREAKER": "`timeout`, `retry`, `breaker`, `bulkhead`, `rate` or `}`",
    "SEND": "`when …`, `send …`, `cancel`, `expect …` or `}`",
    "DECORRELATED": "`full`, `equal`, `decorrelated` or a percentage such as `20%`",
    "STEP": "a statement such as `step …`, `parallel {`, `if …`, `return …`, or `}`",
}
_DECLARATIONS: Final = ", ".join(f"`{w}`" for w in DECLARATION_WORDS[:-1])
_OPERATORS: Final = {
    *("AND", "OR", "PLUS", "MINUS", "STAR", "SLASH", "LESSTHAN", "MORETHAN", "DOT", "LSQB"),
    *("SAME", "DIFFERENT", "ATMOST", "ATLEAST", "OTHERWISE"),
}


def _join(parts: list[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return ", ".join(parts[:-1]) + f" or {parts[-1]}"


def _keyword(terminal: str) -> str:
    """The word behind Lark's automatic name of a keyword; empty for anything else."""
    if terminal in _WORDS or terminal.startswith(("__", "$")) or not terminal.isupper():
        return ""
    if terminal in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        return terminal
    return "equal" if terminal == "EQUALLY" else terminal.lower()


def in_words(terminal: str) -> str:
    """What a terminal of the grammar is called in messages."""
    word = _keyword(terminal)
    return f"`{word}`" if word else _WORDS.get(terminal, "")


def _short(text: str) -> str:
    line = text.split("\n", 1)[0]
    return line if len(line) <= 30 else line[:29] + "…"
