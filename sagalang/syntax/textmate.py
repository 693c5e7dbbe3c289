"""The TextMate grammar for editors, made from `grammar/saga.lark`.

python -m sagalang.syntax.textmate > grammar/saga.tmLanguage.json
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from sagalang.syntax.split import DECLARATION_WORDS
from sagalang.syntax.words import RESERVED

_CONTROL: Final = frozenset(
    [
        "step",
        "pivot",
        "parallel",
        "branch",
        "for",
        "in",
        "if",
        "then",
        "else",
        "abort",
        "return",
        "sleep",
        "until",
        "wait",
        "poll",
        "attempt",
        "on",
        "when",
        "compensated",
        "compensate",
        "escalate",
        "let",
        "best",
        "effort",
    ]
)
_TYPES: Final = frozenset(
    [
        "string",
        "int",
        "decimal",
        "bool",
        "duration",
        "datetime",
        "uuid",
        "json",
        "key",
        "list",
        "map",
        "secret",
    ]
)
_CONSTANTS: Final = frozenset({"true", "false", "null"})
_OPERATORS: Final = frozenset({"and", "or", "not"})


def keywords(grammar: str) -> list[str]:
    """Every word that stands in quotes in the grammar, in alphabetical order."""
    text = re.sub(r"^\s*//.*$", "", grammar, flags=re.MULTILINE)
    return sorted(set(re.findall(r'"([A-Za-z]+)"', text)))


def textmate(grammar: str) -> dict[str, Any]:
    """The grammar as the data that a `.tmLanguage.json` file holds."""
    words = keywords(grammar)
    declarations = [w for w in words if w in DECLARATION_WORDS]
    control = [w for w in words if w in _CONTROL and w not in declarations]
    clauses = [
        w for w in words if w not in {*declarations, *control, *_CONSTANTS, *_OPERATORS, *_TYPES}
    ]

    def words_of(names: list[str] | frozenset[str], scope: str) -> dict[str, str]:
        # Not behind a dot, and not before a colon: there it is a name.
        pattern = "|".join(sorted(names))
        return {"name": scope, "match": rf"(?<!\.)\b(?:{pattern})\b(?!\s*:)"}

    return {
        "name": "Saga",
        "scopeName": "source.saga",
        "fileTypes": ["saga"],
        "patterns": [
            {"include": f"#{name}"}
            for name in ("comments", "strings", "numbers", "types", "words", "names")
        ],
        "repository": {
            "comments": {
                "patterns": [
                    {"name": "comment.block.documentation.saga", "match": "///(?!/).*$"},
                    {"name": "comment.line.double-slash.saga", "match": "//.*$"},
                ]
            },
            "strings": {
                "name": "string.quoted.double.saga",
                "begin": '"',
                "end": '"|$',
                "patterns": [
                    {
                        "name": "constant.character.escape.saga",
                        "match": r'\\(?:["\\ntr$/]|u\{[0-9A-Fa-f]{1,6}\})',
                    },
                    {
                        "name": "meta.interpolation.saga",
                        "begin": r"\$\{",
                        "end": r"\}",
                        "patterns": [{"include": "$self"}],
                    },
                ],
            },
            "numbers": {
                "patterns": [
                    {
                        "name": "constant.numeric.duration.saga",
                        "match": r"\b(?:\d+(?:ms|s|m|h|d))+\b",
                    },
                    {"name": "constant.numeric.percent.saga", "match": r"\b\d+%"},
                    {"name": "constant.numeric.saga", "match": r"\b\d+(?:\.\d+)?\b"},
                ]
            },
            "types": words_of(_TYPES, "support.type.saga"),
            "words": {
                "patterns": [
                    words_of(declarations, "keyword.declaration.saga"),
                    words_of(control, "keyword.control.saga"),
                    words_of(clauses, "keyword.other.saga"),
                    words_of(_CONSTANTS, "constant.language.saga"),
                    words_of(_OPERATORS, "keyword.operator.word.saga"),
                    words_of(frozenset(RESERVED), "invalid.illegal.reserved.saga"),
                ]
            },
            "names": {
                "patterns": [
                    {"name": "entity.name.type.saga", "match": r"\b\p{Lu}\w*\b"},
                    {"name": "entity.name.function.saga", "match": r"(?<=\.)\w+(?=\s*\()"},
                ]
            },
        },
    }


def text(grammar: str) -> str:
    return json.dumps(textmate(grammar), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    from sagalang.syntax.tables import grammar_path

    print(text(grammar_path().read_text("utf-8")), end="")
