"""Changes that people make to a saga's text, at random. Those that do not check are not counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from sagalang.graph.structure import blocks_of, bodies
from sagalang.model import program as p

WORDS = [
    (r"keyed, records rejections", "keyed"),
    (r"keyed(?!,)", "keyed, records rejections"),
    (r"\bkeyed(, records rejections)?", "idempotent"),
    (r"idempotent(?!,)", "keyed"),
    (r"idempotent(?!,)", "keyed, idempotent"),
    (r", fences late", ""),
    (r"absent ok(?!,)", "absent ok, fences late"),
    (r", lands within \w+", ""),
    (r"lands within \w+", "lands within 30s"),
    (r"\n( +)keyed", r"\n\1keyed, lands within 2m"),
    (r" best effort", ""),
    (r"pivot step", "step"),
    (r" else escalate \"\w+\"( after \w+)?", ""),
    (r" else escalate \"(\w+)\"", r' else escalate "\1" after 7s'),
    (r"(step [^\n{}]*\))\n", r'\1 else escalate "people"\n'),
    (r"(step [^\n{}]*\))\n", r"\1 best effort\n"),
    (r"(step [^\n{}]*\))\n", r'\1 compensate none "why not"\n'),
    (r" compensate [A-Z]\w*\.\w+\(.*\)", ""),
    (r"\n +compensate \w+\((.*)\)", ""),
    (r"\bcompensate (\w+)\(key\)", r"compensate \1(id)"),
    (r" with (pace|undo)\d+", ""),
    (r"retry +forever", "retry 2 times"),
    (r"retry +\d+ times", "retry forever"),
    (r"deadline \w+\n", "\n"),
    (r"(saga Main.*\{)", r"\1\n  deadline 20m"),
    (r"id \"o-?\$", 'id "other$'),
    (r", (\d) at once", ""),
    (r"(for [^\n{]*?)( \{)", r"\1, 2 at once\2"),
    (r" by \w+(\.\w+)?", ""),
    (r"else null", "else abort No"),
    (r" where [^\n]* within", " within"),
    (r"within \w+ else", "within 90s else"),
    (r"\bon (\w+)", r"on \1, Timeout"),
    (r"\bif ([^\n{]*) \{", r"if not (\1) {"),
    (r"true", "false"),
    (r"(\d)(ms|s|m|h)\b", r"\g<1>1\2"),
    (r"(?<![\w.\"])(\d+)(?![\w.\"])", r"\g<1>1"),
    (r"-> \{ (\w+): (\w+)", r"-> { extra: string?, \1: \2"),
    (r"(command \w+)\(", r"\1(more: string?, "),
    (r"(record \w+ \{)", r"\1 more: string?,"),
    (r"(error \w+ \{)", r"\1 more: string?,"),
    (r"(event \w+ \{)", r"\1 more: string?,"),
    (r"(saga Main)\(", r"\1(more: string?, "),
    (r"\"(\w+)\"", r'"\1 2"'),
]
NEW = [
    "step Extra.note()",
    "step Extra.ask()",
    "sleep 30ms",
    "let fresh = 3",
    "let fresh = [1, 2][0]",
    "wait fresh: Fresh within 40ms else null",
    "attempt { step Extra.note() } on Nothing { }",
    "if limit9 > 2 { step Extra.note() }",
    "if limit9 > 2 { abort Nothing }",
]
DECLARED = """
let limit9 = 3
error Nothing
event Fresh { n: int }
service Extra {
  command note() keyed compensate drop(key)
  command drop(of: key) idempotent, absent ok, fences late
  query ask() -> { word: string }
}
"""
"""What the texts of `NEW` need: both programs have it."""


def mutated(text: str, program: p.Program, random: Random) -> str:
    """The text with one thing changed."""
    how: Callable[[str, p.Program, Random], str] = random.choice(
        [_word, _word, _word, _drop, _swap, _insert, _insert, _around, _move]
    )
    return how(text, program, random)


def _word(text: str, program: p.Program, random: Random) -> str:
    found: list[re.Match[str]] = []
    while not found:
        pattern, new = random.choice(WORDS)
        found = list(re.finditer(pattern, text))
    match = random.choice(found)
    return text[: match.start()] + match.expand(new) + text[match.end() :]


def _blocks(program: p.Program) -> list[Sequence[p.Statement]]:
    found: list[Sequence[p.Statement]] = []

    def visit(block: p.Block) -> None:
        if block.statements:
            found.append(block.statements)
        for statement in block.statements:
            for inner in blocks_of(statement):
                visit(inner)

    for saga in program.sagas.values():
        for body in bodies(saga):
            visit(body)
    return found


def _drop(text: str, program: p.Program, random: Random) -> str:
    statement = random.choice(random.choice(_blocks(program)))
    return text[: statement.span.start] + text[statement.span.end :]


def _swap(text: str, program: p.Program, random: Random) -> str:
    statements = random.choice(_blocks(program))
    if len(statements) < 2:
        return text
    index = random.randrange(len(statements) - 1)
    (a, b), (c, d) = (s.span[1:] for s in statements[index : index + 2])
    return text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]


def _insert(text: str, program: p.Program, random: Random) -> str:
    statement = random.choice(random.choice(_blocks(program)))
    at = random.choice(statement.span[1:])
    return text[:at] + f"\n{random.choice(NEW)}\n" + text[at:]


def _around(text: str, program: p.Program, random: Random) -> str:
    start, end = random.choice(random.choice(_blocks(program))).span[1:]
    head, tail = random.choice(
        [("if limit9 > 2 {", "}"), ("attempt {", "} on Nothing { }"), ("parallel {", "sleep 5ms }")]
    )
    return f"{text[:start]}{head}\n{text[start:end]}\n{tail}{text[end:]}"


def _move(text: str, program: p.Program, random: Random) -> str:
    one = random.choice(random.choice(_blocks(program))).span
    other = random.choice(random.choice(_blocks(program))).span
    if one.start <= other.start <= one.end:
        return text
    moved = f"\n{text[one.start : one.end]}\n"
    if other.start < one.start:
        rest = text[: one.start] + text[one.end :]
        return rest[: other.start] + moved + rest[other.start :]
    with_it = text[: other.start] + moved + text[other.start :]
    return with_it[: one.start] + with_it[one.end :]
