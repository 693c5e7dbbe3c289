"""Words that later versions will need."""

from __future__ import annotations

from typing import Final

RESERVED: Final = {
    "race": "run the branches in `parallel`, or `poll` for the first that is ready",
    "emit": "send the event from a service, as an operation of its own",
    "match": "use `if … else if …`",
    "while": "use `poll`, or a `for` over a list",
    "lock": "take the lock by a step whose compensation gives it back",
    "touches": "say it in a `///` comment",
    "choreograph": "run the saga as it is; `saga render` can draw it",
}
"""The word, and what to do until it is there."""

FOREIGN_TYPES: Final = {
    **dict.fromkeys(("str", "text", "char", "varchar"), "string"),
    "boolean": "bool",
    **dict.fromkeys(("float", "double", "number", "money", "real", "numeric"), "decimal"),
    **dict.fromkeys(("integer", "long", "short", "bigint", "int32", "int64"), "int"),
    **dict.fromkeys(("date", "time", "timestamp", "instant"), "datetime"),
    **dict.fromkeys(("timedelta", "interval", "period"), "duration"),
    "guid": "uuid",
    **dict.fromkeys(("array", "set", "tuple", "sequence"), "list<…>"),
    **dict.fromkeys(("dict", "object", "any", "hashmap"), "map<…>` or `json"),
}
"""Types of other languages, in lower case, and what they are called here."""
FOREIGN_VALUES: Final = {
    **dict.fromkeys(("True", "TRUE", "yes"), "true"),
    **dict.fromkeys(("False", "FALSE", "no"), "false"),
    **dict.fromkeys(("None", "NULL", "Null", "nil", "undefined"), "null"),
}
"""Values of other languages, and what they are called here."""
