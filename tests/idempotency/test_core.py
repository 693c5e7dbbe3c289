"""The pure rules, against a model, and what names a request."""

from __future__ import annotations

import string
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sagalang.idempotency import core
from sagalang.idempotency.answer import Answer, Ending, ending, kept, replayed
from sagalang.idempotency.core import Claim, Record, State, fingerprint
from sagalang.idempotency.request import BadKeyError, bare, key_of

LEASE, TTL = 10, 100


class OneKey(RuleBasedStateMachine):
    """One key, several requests and owners, time; beside it what a person would say of it.

    The model: who runs, since when, what was answered, until when a fence stands.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000
        self.record: Record | None = None
        self.runs = 0
        self.owner = ""
        self.owner_until = 0
        self.request = ""
        self.answer: Answer | None = None
        self.kept_until = 0
        self.fenced_until = 0
        self.answers_given: set[Answer] = set()

    def known(self) -> bool:
        return self.now < self.kept_until

    @rule(ms=st.integers(1, 40))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @rule(request=st.sampled_from("ab"), rerun=st.booleans())
    def claim(self, request: str, rerun: bool) -> None:
        self.runs += 1
        token = f"run {self.runs}"
        decision = core.claim(self.record, Claim(request, token, self.now, LEASE, TTL, rerun))
        if self.now < self.fenced_until:
            assert decision == core.Fenced()
        elif self.known() and request != self.request:
            assert decision == core.Mismatch()
        elif self.known() and self.answer:
            assert decision == core.Replay(self.answer)
        elif self.known() and self.now < self.owner_until:
            assert decision == core.InFlight(self.owner_until - self.now)
        elif self.known() and not rerun:
            assert decision == core.Abandoned()
        else:
            assert isinstance(decision, core.New)
            assert decision.taken_over == self.known()
            self.record = decision.record
            self.owner, self.owner_until = token, self.now + LEASE
            self.request, self.answer = request, None
            self.kept_until = self.now + TTL

    @rule(of=st.integers(0, 2))
    def complete(self, of: int) -> None:
        token = f"run {self.runs - of}"
        answer = Answer(201, (), token.encode())
        done = core.complete(self.record, token, answer)
        assert (done is not None) == (token == self.owner)
        if done is not None:
            self.record, self.answer, self.owner = done, answer, ""

    @rule(of=st.integers(0, 2))
    def release(self, of: int) -> None:
        token = f"run {self.runs - of}"
        assert core.owns(self.record, token) == (token == self.owner)
        if token == self.owner:
            self.record, self.owner, self.kept_until = None, "", 0

    @rule(of=st.integers(0, 2))
    def renew(self, of: int) -> None:
        token = f"run {self.runs - of}"
        renewed = core.renew(self.record, token, self.now, LEASE)
        assert (renewed is not None) == (token == self.owner)
        if renewed is not None:
            self.record, self.owner_until = renewed, self.now + LEASE
            self.kept_until = max(self.kept_until, self.owner_until)

    @rule()
    def fence(self) -> None:
        self.record = core.fence(self.record, self.now, TTL)
        self.owner, self.answer, self.kept_until = "", None, 0
        self.fenced_until = self.now + TTL

    @invariant()
    def at_most_one_answer_is_ever_told(self) -> None:
        found = core.standing(self.record, self.now)
        assert isinstance(found, core.Replay) == (self.answer is not None and self.known())

    @invariant()
    def a_running_record_outlives_its_lease(self) -> None:
        if self.record and self.record.state is State.IN_PROGRESS:
            assert self.record.expires >= self.record.lease_until


TestOneKey = OneKey.TestCase
TestOneKey.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_an_owner_whose_lease_was_taken_over_cannot_complete() -> None:
    first = core.claim(None, Claim("f", "one", 0, LEASE, TTL))
    assert isinstance(first, core.New)
    second = core.claim(first.record, Claim("f", "two", LEASE, LEASE, TTL, rerun=True))
    assert isinstance(second, core.New)
    assert second.taken_over
    assert core.complete(second.record, "one", Answer(201)) is None
    assert core.complete(second.record, "two", Answer(201)) is not None


def test_a_lease_that_only_ran_out_can_still_be_completed() -> None:
    first = core.claim(None, Claim("f", "one", 0, LEASE, TTL))
    assert isinstance(first, core.New)
    assert core.complete(first.record, "one", Answer(201)) is not None


def test_a_fence_lives_as_long_from_its_own_moment_on() -> None:
    done = Record(State.DONE, created=0, expires=TTL, answer=Answer(201))
    assert core.fence(done, TTL - 1, TTL).expires == 2 * TTL - 1


BASIC = ("POST", "/charges", "a=1&b=2", "application/json", b"{}")


@pytest.mark.parametrize(
    "other",
    [
        ("PUT", *BASIC[1:]),
        ("POST", "/charge", *BASIC[2:]),
        ("POST", "/charges", "a=1&b=3", *BASIC[3:]),
        ("POST", "/charges", "a=2&a=1", *BASIC[3:]),
        (*BASIC[:3], "text/plain", b"{}"),
        (*BASIC[:4], b"{ }"),
        ("POST", "/chargesa=1", "b=2", "application/json", b"{}"),
    ],
)
def test_the_fingerprint_tells_requests_apart(other: tuple[str, str, str, str, bytes]) -> None:
    assert fingerprint(*other) != fingerprint(*BASIC)


def test_parameters_may_change_places_but_not_among_their_like() -> None:
    def of(query: str) -> str:
        return fingerprint("POST", "/", query, "", b"")

    assert of("b=2&a=1") == of("a=1&b=2")
    assert of("a=1&a=2") != of("a=2&a=1")


@given(st.text(string.printable, max_size=20))
def test_quoting_a_key_does_not_change_it(key: str) -> None:
    quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert bare(quoted) == key


@given(st.lists(st.text(max_size=5), max_size=2))
def test_a_key_is_found_or_refused_whatever_the_headers(values: list[str]) -> None:
    try:
        key = key_of(values)
    except BadKeyError:
        return
    assert key is None or (0 < len(key) <= 255 and key.isascii() and key.isprintable())


@pytest.mark.parametrize(
    ("status", "retry_after", "meaning"),
    [
        (200, False, Ending.DONE),
        (303, False, Ending.DONE),
        (400, False, Ending.REFUSED),
        (409, True, Ending.REFUSED),
        (429, False, Ending.NOTHING),
        (503, True, Ending.NOTHING),
        (503, False, Ending.IN_DOUBT),
        (500, True, Ending.IN_DOUBT),
        (408, False, Ending.IN_DOUBT),
        (425, False, Ending.IN_DOUBT),
    ],
)
def test_what_an_answer_says_of_its_run(status: int, retry_after: bool, meaning: Ending) -> None:
    assert ending(Answer(status, (("retry-after", "1"),) if retry_after else ())) is meaning


def test_what_belongs_to_one_exchange_is_not_kept() -> None:
    names = ["content-type", "connection", "date", "set-cookie", "x-mine", "x-hop", "location"]
    values = {"connection": "close, X-Hop"}
    answer = Answer(200, tuple((name, values.get(name, "v")) for name in names), b"abc")
    again = replayed(kept(answer))
    assert [name for name, _ in again.headers] == [
        "content-type",
        "x-mine",
        "location",
        "content-length",
        "idempotent-replayed",
    ]


def test_nothing_is_imported_that_a_service_may_not_have() -> None:
    code = (
        "import sys; from sagalang.idempotency import *; "
        "from sagalang.idempotency import SQLiteStore; print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "sagalang.idempotency.asgi" in loaded
    assert not loaded & {"sqlite3", "psycopg", "redis", "starlette", "flask", "httpx", "msgspec"}
    assert not {
        name
        for name in loaded
        if name.startswith("sagalang.") and not name.startswith("sagalang.idempotency")
    }
