"""Texts to lay out: those of the repository, and damaged ones; and what of them has to stay."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct

from sagalang.syntax import ast
from sagalang.syntax.parse import parse
from sagalang.syntax.tables import grammar_path
from sagalang.text import Source

ROOT = Path(__file__).parents[2]
WORD = re.compile(
    r"//[^\n]*|\"(?:\\.|\$\{[^}\n]*\}|[^\"\\\n])*\"|\d+\.\d+|\w+%?|->|[=!<>]=|\?\?|\S"
)
BLOCK = re.compile(r"^```saga\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEYWORDS = set(re.findall(r'"([a-zA-Z]+)"', grammar_path().read_text("utf-8")))
FOLDERS = ("examples", "sagalang/cli/template", "tests/corpus", "tests/compile", "tests/golden")


def _found() -> dict[str, str]:
    """Every text of the repository that parses, by name."""
    files = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.saga"))
    texts = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in files}
    for page in sorted((ROOT / "tests" / "spec").glob("*.md")):
        for i, block in enumerate(BLOCK.findall(page.read_text("utf-8"))):
            texts[f"{page.stem}:{i}"] = block
    return {name: text for name, text in texts.items() if not parse(Source(name, text)).diagnostics}


TEXTS = _found()


@cache
def _module(text: str) -> ast.Module:
    parsed = parse(Source("text", text))
    assert not parsed.diagnostics, f"{parsed.diagnostics[0].message}\n{text}"
    return parsed.module


def tree(text: str) -> Any:
    """The syntax tree without places; an operation's and a step's clauses in any order."""
    return _plain(_module(text).declarations)


def _plain(node: Any) -> Any:
    if isinstance(node, tuple):
        return [_plain(item) for item in node]
    if not isinstance(node, Struct):
        return repr(node)
    fields = {
        name: _plain(getattr(node, name)) for name in node.__struct_fields__ if name != "span"
    }
    if isinstance(node, ast.OperationDecl | ast.Step):
        fields["clauses"].sort(key=repr)
    return type(node).__name__, fields


def comments(text: str) -> list[str]:
    """All comments in their order, blanks at both ends aside."""
    return [("///" if c.is_doc else "//") + c.text.strip() for c in _module(text).comments]


def words(text: str) -> list[str]:
    """All words without comments, and without commas before closing brackets."""
    found = [word for word in WORD.findall(text) if not word.startswith("//")]
    return [
        word
        for word, following in zip(found, [*found[1:], ""], strict=True)
        if word != "," or following not in (")", "]", "}")
    ]


def damaged(text: str, chance: Random, often: float) -> str:
    """The same words with other blanks, line ends and comments between them.

    `often`: the share of the words with a comment before them.
    """
    made: list[str] = []
    before = ""
    for number, word in enumerate(WORD.findall(text)):
        gap = "\n" if before.startswith("//") else ""
        if chance.random() < often:
            slashes = chance.choice(["//", "// ", "/// ", "//  -- ", "////"])
            gap += chance.choice([" ", " ", "\n  ", "\n\n\n "]) + f"{slashes}note {number}\n"
        gap += chance.choice(["", "", " ", " ", " ", "    ", "\n ", "\n\n \t", "\r\n  "])
        if not gap and _grow_together(before, word):
            gap = " "
        # A word at the very beginning of a line may be taken for a declaration.
        made += (gap + " " if gap.endswith("\n") else gap, word)
        before = word
    return "".join(made) + chance.choice(["", "\n", "\n\n", " // end", "\n// end\n"])


def close(words: list[str]) -> str:
    """The words with no more blanks between them than they need."""
    pairs = zip(["", *words], words, strict=False)
    return "".join(" " * _grow_together(left, word) + word for left, word in pairs)


def _grow_together(left: str, right: str) -> bool:
    pair = left[-1:] + right[:1]
    return bool(re.fullmatch(r"[\w%\"]{2}", pair)) or pair in ("//", "??", "==", "<=", ">=", "->")


def stretched(text: str, chance: Random, often: float) -> str:
    """The same with longer names, so that less fits on a line. `often`: the share of names."""

    def longer(word: str) -> str:
        if not word.isidentifier() or word in KEYWORDS or chance.random() >= often:
            return word
        return word + chance.choice(["_again", "_and_a_few_words", "_" + "x" * 40])

    words = WORD.findall(text)
    return " ".join(word + "\n" if word.startswith("//") else longer(word) for word in words)
