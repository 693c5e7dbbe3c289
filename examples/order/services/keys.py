"""Idempotency keys and fences: how a command takes effect at most once, and never after its undo.

Everything here runs inside the caller's transaction, together with the business write. So after a
crash either all of it is there (effect, recorded answer, fence) or none of it is: a retry can
neither double an effect nor lose one.

The rules are those of the IETF draft "The Idempotency-Key HTTP Header Field". To them a saga adds
one: an undo may overtake the command it undoes (the command was lost, or is still on its way). The
undo then leaves a fence, and the command, should it still arrive, is refused.
"""

import json
from collections.abc import Callable
from sqlite3 import Connection

from problems import Answer, Problem, fenced

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key         TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,     -- of the request first sent with this key
    status      INTEGER NOT NULL,
    body        TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS fences (
    name TEXT PRIMARY KEY          -- what was undone, whether or not it was ever done
);
"""

Work = Callable[[Connection], Answer]


def once(db: Connection, key: str, fingerprint: str, fence: str, work: Work) -> Answer:
    """Do `work` unless this key has done it before, and record its answer, be it yes or no."""
    # The fence comes first: replaying "charged" for a charge since refunded would mislead.
    if is_fenced(db, fence):
        raise fenced("It was undone before this request arrived; nothing was done.")

    row = db.execute(
        "SELECT fingerprint, status, body FROM answers WHERE key = ?", (key,)
    ).fetchone()
    if row:
        first_fingerprint, status, body = row
        if first_fingerprint != fingerprint:
            raise Problem(
                422, "idempotency/key-reused", "This key came with another request before"
            )
        return Answer(status, json.loads(body), {"Idempotent-Replayed": "true"})

    # A refusal is an answer too: asked again with the same key, we must not change our mind.
    db.execute("SAVEPOINT work")
    try:
        answer = work(db)
    except Problem as refusal:
        db.execute("ROLLBACK TO work")
        answer = refusal.answer
    db.execute(
        "INSERT INTO answers VALUES (?, ?, ?, ?)",
        (key, fingerprint, answer.status, json.dumps(answer.body)),
    )
    return answer


def fence(db: Connection, name: str) -> None:
    """From now on refuse whatever `name` stands for, even if it has not arrived yet."""
    db.execute("INSERT OR IGNORE INTO fences VALUES (?)", (name,))


def is_fenced(db: Connection, name: str) -> bool:
    return db.execute("SELECT 1 FROM fences WHERE name = ?", (name,)).fetchone() is not None
