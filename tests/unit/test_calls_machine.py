"""One call: what is repeated, what is doubted, what is asked, and when it is given up."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sagalang.machine import backoff
from sagalang.machine.calls import (
    AFTER,
    Attempt,
    AttemptEnded,
    Begin,
    CallConfig,
    CallEvent,
    CallState,
    Done,
    Interrupted,
    Kind,
    Phase,
    Probe,
    ProbeEnded,
    Sleep,
    Standing,
    Woke,
    advance,
    recover,
    start,
)
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model.program import Jitter, Retry

OK = Ok("done")
NO = Rejected(Failure("No"))
OFF = NotSent(Failure("NotSent"))
LOST = Unknown(Failure("Timeout"))
ODD = Unknown(Failure("ContractMismatch"), repeat=False)
YES, NOBODY = Ok("found"), Ok(None)


def steady(retries: int | None = 2, backoff: int = 100) -> Retry:
    return Retry(retries=retries, backoff=backoff, factor=Decimal(2), jitter=Jitter.NONE)


STEADY = steady()
PLAIN = CallConfig(timeout=1_000, retry=STEADY)
KEYED = replace(PLAIN, keyed=True)
PROBED = replace(PLAIN, has_probe=True, lands_within=5_000)


class Played:
    """A call played against scripted answers; each attempt and probe takes `takes` ms."""

    def __init__(
        self,
        config: CallConfig,
        answers: Sequence[Outcome] = (),
        probes: Sequence[Outcome] = (),
        *,
        takes: int = 10,
        state: CallState | None = None,
        draw: float = 0.5,
        interrupt_at: int | None = None,
    ) -> None:
        attempts, asked = list(answers), list(probes)
        self.attempts: list[int] = []
        self.probes: list[int] = []
        self.sleeps: list[tuple[str, int]] = []
        self.now = 0
        state = state or start(0)
        event: CallEvent = Begin()
        interrupted = False
        while True:
            if interrupt_at is not None and self.now >= interrupt_at and not interrupted:
                interrupted = True
                state, commands = advance(config, state, Interrupted(), self.now, draw)
                if commands:
                    break
            state, commands = advance(config, state, event, self.now, draw)
            (command,) = commands
            match command:
                case Done():
                    break
                case Attempt():
                    self.attempts.append(self.now)
                    self.now += takes
                    event = AttemptEnded(attempts.pop(0))
                case Probe():
                    self.probes.append(self.now)
                    self.now += takes
                    event = ProbeEnded(asked.pop(0))
                case Sleep(until=until, delay=delay, reason=reason):
                    self.sleeps.append((reason, delay))
                    self.now = until if interrupt_at is None else min(until, interrupt_at)
                    event = Woke()
        (done,) = commands
        assert isinstance(done, Done)
        self.outcome = done.outcome
        self.unanswered = done.unanswered
        self.state = state

    @property
    def said(self) -> str:
        error = getattr(self.outcome, "error", None)
        return type(self.outcome).__name__ + (f" {error.name}" if error else "")


def test_the_table_covers_every_case() -> None:
    assert set(AFTER) == set(product(Kind, Standing))


def test_what_was_not_sent_is_repeated_by_any_command() -> None:
    played = Played(PLAIN, [OFF, OFF, OK])
    assert played.outcome == OK
    assert played.attempts == [0, 110, 320]


def test_retries_count_repeats_not_attempts() -> None:
    played = Played(PLAIN, [OFF, OFF, OFF])
    assert played.said == "NotSent NotSent"
    assert len(played.attempts) == 3


def test_an_unknown_outcome_of_a_plain_command_is_not_repeated() -> None:
    assert Played(PLAIN, [LOST]).said == "Unknown Timeout"


@pytest.mark.parametrize("promise", ["keyed", "idempotent", "is_query"])
def test_an_unknown_outcome_is_repeated_where_repeating_does_no_harm(promise: str) -> None:
    config = replace(PLAIN, **{promise: True})  # type: ignore[arg-type]
    assert Played(config, [LOST, OK]).outcome == OK


def test_a_rejection_is_never_repeated() -> None:
    assert Played(KEYED, [NO]).said == "Rejected No"


def test_a_contract_mismatch_is_not_repeated() -> None:
    assert Played(KEYED, [ODD]).said == "Unknown ContractMismatch"


@pytest.mark.parametrize("last", [NO, OFF])
def test_doubt_is_sticky(last: Outcome) -> None:
    once = steady(retries=1)
    played = Played(replace(KEYED, retry=once), [LOST, last])
    assert isinstance(played.outcome, Unknown)
    assert played.said.split()[1] == last.error.name  # type: ignore[union-attr]


def test_recorded_rejections_clear_the_doubt() -> None:
    config = replace(KEYED, records_rejections=True)
    played = Played(config, [LOST, NO])
    assert played.said == "Rejected No"
    assert played.unanswered is None


def test_a_rejection_leaves_no_doubt_about_a_query() -> None:
    assert Played(replace(PLAIN, is_query=True), [LOST, NO]).said == "Rejected No"


def test_an_ok_after_an_unanswered_attempt_still_tells_when_that_ended() -> None:
    played = Played(KEYED, [LOST, OK])
    assert played.outcome == OK
    assert played.unanswered == 10


def test_an_expired_key_counts_as_none() -> None:
    config = replace(KEYED, key_for=200)
    assert Played(config, [LOST, LOST, OK]).said == "Unknown Timeout"
    assert len(Played(config, [LOST, LOST]).attempts) == 2


def test_an_expired_key_does_not_clear_doubt_by_a_recorded_rejection() -> None:
    config = replace(KEYED, key_for=105, records_rejections=True, idempotent=True)
    assert isinstance(Played(config, [LOST, NO]).outcome, Unknown)


# --- Probes ------------------------------------------------------------------------------------


def test_a_probes_yes_is_the_result_at_once() -> None:
    played = Played(PROBED, [LOST], [YES])
    assert played.outcome == YES
    assert len(played.attempts) == 1


def test_a_probes_no_is_believed_only_after_the_call_can_no_longer_land() -> None:
    played = Played(PROBED, [LOST, OK], [NOBODY, NOBODY])
    assert played.outcome == OK
    assert played.sleeps[1][0] == "lands-within"
    assert played.probes[1] == 10 + 5_000
    assert played.attempts[1] >= played.probes[1]


def test_a_believed_no_without_retries_means_that_nothing_happened() -> None:
    played = Played(replace(PROBED, retry=None), [LOST], [NOBODY, NOBODY])
    assert played.said == "NotSent Timeout"
    assert played.unanswered is None


def test_a_no_proves_nothing_without_a_time_to_land() -> None:
    config = replace(PROBED, lands_within=None)
    played = Played(config, [LOST], [NOBODY, NOBODY, NOBODY])
    assert played.said == "Unknown Timeout"
    assert len(played.attempts) == 1


def test_a_probe_that_fails_is_repeated_within_the_retries() -> None:
    played = Played(PROBED, [LOST], [OFF, LOST, LOST])
    assert played.said == "Unknown Timeout"
    assert len(played.probes) == 3


def test_a_mismatch_is_asked_about_and_then_reported_as_what_it_is() -> None:
    assert Played(PROBED, [ODD], [YES]).outcome == YES
    assert Played(PROBED, [ODD], [NOBODY, NOBODY]).said == "NotSent ContractMismatch"


# --- Finding out, recovery ---------------------------------------------------------------------


def test_resolving_asks_and_does_not_insist() -> None:
    config = replace(PROBED, resolve=True)
    played = Played(config, [], [NOBODY, NOBODY], state=recover(0, -500, -100))
    assert isinstance(played.outcome, NotSent)
    assert played.attempts == []
    assert played.probes[1] == 4_900


def test_resolving_repeats_under_the_key_where_nobody_can_be_asked() -> None:
    config = replace(KEYED, resolve=True)
    assert Played(config, [OK], state=recover(0, -500)).outcome == OK


def test_a_recovered_call_that_may_be_repeated_is_repeated() -> None:
    assert Played(KEYED, [OK], state=recover(0, -500)).outcome == OK


def test_a_recovered_call_that_may_not_be_repeated_stays_unknown() -> None:
    played = Played(PLAIN, [], state=recover(0, -500))
    assert played.said == "Unknown Unavailable"
    assert played.attempts == []


def test_a_recovered_call_is_asked_about_first_and_then_made() -> None:
    played = Played(PROBED, [OK], [NOBODY, NOBODY], state=recover(0, -500))
    assert played.outcome == OK
    assert played.probes == [0, 5_000]


# --- Time --------------------------------------------------------------------------------------


def test_a_sleep_that_would_cross_the_deadline_is_not_started() -> None:
    played = Played(replace(PLAIN, deadline=110), [OFF, OK])
    assert played.said == "NotSent NotSent"
    assert played.now == 10


def test_a_call_does_not_begin_after_the_deadline() -> None:
    played = Played(replace(PLAIN, deadline=0), [OK])
    assert played.said == "NotSent NotSent"
    assert played.attempts == []


def test_the_total_bounds_repeats_and_the_last_attempt() -> None:
    config = replace(PLAIN, total=250, retry=steady(retries=None))
    assert len(Played(config, [OFF, OFF, OFF]).attempts) == 2
    _, (command,) = advance(replace(config, timeout=9_999), start(0), Begin(), 0, 0.5)
    assert command == Attempt(1, timeout=9_999, ends=250)


def test_retry_after_wins_over_a_shorter_back_off() -> None:
    pushed = NotSent(Failure("Throttled"), retry_after=700)
    assert Played(PLAIN, [pushed, OK]).sleeps == [("retry-after", 700)]


def test_a_shorter_retry_after_does_not_shorten_the_back_off() -> None:
    pushed = NotSent(Failure("Throttled"), retry_after=50)
    assert Played(PLAIN, [pushed, OK]).sleeps == [("backoff", 100)]


def test_a_retry_after_beyond_the_deadline_fails_at_once() -> None:
    pushed = NotSent(Failure("Throttled"), retry_after=60_000)
    played = Played(replace(PLAIN, deadline=30_000), [pushed])
    assert played.said == "NotSent Throttled"
    assert played.now == 10


# --- Interruption ------------------------------------------------------------------------------


def test_an_interrupted_call_awaits_its_attempt_and_takes_the_answer() -> None:
    state, _ = advance(KEYED, start(0), Begin(), 0, 0.5)
    state, commands = advance(KEYED, state, Interrupted(), 5, 0.5)
    assert commands == ()
    state, (done,) = advance(KEYED, state, AttemptEnded(OK), 10, 0.5)
    assert done == Done(OK, None)


def test_an_interrupted_call_does_not_repeat() -> None:
    state, _ = advance(KEYED, start(0), Begin(), 0, 0.5)
    state, _ = advance(KEYED, state, Interrupted(), 5, 0.5)
    state, (done,) = advance(KEYED, state, AttemptEnded(LOST), 10, 0.5)
    assert done == Done(LOST, 10)


def test_an_interruption_ends_a_sleep() -> None:
    played = Played(replace(PLAIN, retry=steady(backoff=9_000)), [OFF], interrupt_at=50)
    assert played.said == "NotSent NotSent"
    assert played.now == 50


def test_an_interruption_before_anything_was_sent_leaves_it_not_sent() -> None:
    assert isinstance(Played(KEYED, interrupt_at=0).outcome, NotSent)


# --- Back-off ----------------------------------------------------------------------------------

retries = st.builds(
    Retry,
    retries=st.none(),
    backoff=st.integers(1, 10_000),
    factor=st.decimals(1, 10, places=1),
    cap=st.none() | st.integers(1, 1_000_000),
    jitter=st.sampled_from(Jitter),
    percent=st.integers(0, 100),
)
draws = st.floats(0, 1, exclude_max=True)


@given(retries, st.integers(1, 400), st.integers(0, 100_000), draws)
def test_no_back_off_is_negative_and_caps_hold_before_the_jitter(
    retry: Retry, repeat: int, previous: int, draw: float
) -> None:
    wait = backoff.delay(retry, repeat, previous, draw)
    assert wait >= 0
    if retry.cap is not None:
        slack = 2 if retry.jitter is Jitter.PROPORTIONAL else 1
        assert wait <= retry.cap * slack


@given(retries, st.integers(1, 60), st.integers(0, 10**7), draws)
def test_a_retry_after_is_spread_upwards_only(
    retry: Retry, repeat: int, asked: int, draw: float
) -> None:
    assert backoff.pushed_back(retry, repeat, asked, draw) >= asked


@pytest.mark.parametrize(
    ("jitter", "lowest", "middle"),
    [
        (Jitter.FULL, 0, 500),
        (Jitter.EQUAL, 500, 750),
        (Jitter.DECORRELATED, 100, 550),
        (Jitter.PROPORTIONAL, 800, 1_000),
        (Jitter.NONE, 1_000, 1_000),
    ],
)
def test_at_the_cap_clients_still_spread(jitter: Jitter, lowest: int, middle: int) -> None:
    retry = Retry(None, 100, Decimal(10), cap=1_000, jitter=jitter, percent=20)
    assert backoff.delay(retry, 9, 9_999, 0.0) == lowest
    assert backoff.delay(retry, 9, 9_999, 0.5) == middle


def test_the_back_off_grows_by_its_factor() -> None:
    retry = Retry(None, 200, Decimal(2), cap=5_000)
    assert [backoff.nominal(retry, n) for n in range(1, 7)] == [200, 400, 800, 1600, 3200, 5000]


# --- All of it ---------------------------------------------------------------------------------

outcomes = st.sampled_from([OK, NO, OFF, LOST, ODD])
configs = st.builds(
    CallConfig,
    timeout=st.just(1_000),
    retry=st.none() | st.just(STEADY) | st.just(steady(retries=6)),
    total=st.none() | st.integers(1, 3_000),
    deadline=st.none() | st.integers(1, 3_000),
    is_query=st.booleans(),
    keyed=st.booleans(),
    key_for=st.integers(50, 10_000),
    records_rejections=st.booleans(),
    idempotent=st.booleans(),
    has_probe=st.booleans(),
    lands_within=st.none() | st.integers(0, 2_000),
)


@given(
    configs,
    st.lists(outcomes, min_size=9, max_size=9),
    st.lists(st.sampled_from([YES, NOBODY, OFF, LOST]), min_size=30, max_size=30),
)
def test_a_certain_no_is_never_claimed_while_an_attempt_is_in_doubt(
    config: CallConfig, answers: list[Outcome], probes: list[Outcome]
) -> None:
    played = Played(config, answers, probes)
    assert played.state.phase is Phase.DONE
    made = answers[: len(played.attempts)]
    unknown = [index for index, outcome in enumerate(made) if isinstance(outcome, Unknown)]
    if isinstance(played.outcome, Rejected | NotSent) and unknown and not config.is_query:
        cleared = made[-1] == NO and config.records_rejections
        asked = bool(played.probes) and config.has_probe and config.lands_within is not None
        assert cleared or asked
    repeated_blindly = [index for index in unknown if index + 1 < len(made) and not played.probes]
    if repeated_blindly:
        assert config.is_query or config.keyed or config.idempotent
    assert ODD not in made[:-1] or played.probes
    assert all(isinstance(outcome, NotSent | Unknown) for outcome in made[:-1])


def test_a_call_that_can_never_be_sent_is_not_tried_again() -> None:
    config = replace(KEYED, retry=steady(retries=None))
    state, _ = advance(config, start(0), Begin(), 0, 0.5)
    unsendable = NotSent(Failure("NotSent"), repeat=False)
    _, commands = advance(config, state, AttemptEnded(unsendable), 10, 0.5)
    assert commands == (Done(unsendable, None),)


# --- Refusals of our own protections ------------------------------------------------------------

OPEN = NotSent(Failure("CircuitOpen"), retry_after=4_000)
PROBING = NotSent(Failure("CircuitOpen"))


def test_an_open_breaker_is_waited_for_once() -> None:
    played = Played(replace(PLAIN, retry=steady(5)), [OPEN, OPEN])
    assert played.sleeps == [("breaker", 4_000)]
    assert played.said == "NotSent CircuitOpen"


def test_one_that_is_open_beyond_the_deadline_is_not_waited_for() -> None:
    played = Played(replace(PLAIN, deadline=3_000), [OPEN])
    assert (played.sleeps, played.said) == ([], "NotSent CircuitOpen")


def test_a_patient_call_waits_for_it_as_often_as_it_must_and_uses_up_no_retries() -> None:
    config = replace(PLAIN, retry=steady(1), patient=True)
    played = Played(config, [OPEN, OPEN, PROBING, OPEN, OFF, OK])
    assert played.outcome == OK
    assert [reason for reason, _ in played.sleeps].count("breaker") == 3


def test_while_it_probes_callers_come_again_after_their_own_back_off() -> None:
    played = Played(PLAIN, [PROBING, OK])
    assert played.sleeps == [("backoff", 100)]


def test_a_used_up_retry_budget_ends_a_call_or_delays_a_patient_one() -> None:
    for patient, ends in ((False, True), (True, False)):
        config = replace(PLAIN, patient=patient)
        state, _ = advance(config, start(0), Begin(), 0, 0.5)
        state, _ = advance(config, state, AttemptEnded(OFF), 10, 0.5)
        state, (command,) = advance(config, state, Woke(budget=False), 110, 0.5)
        assert isinstance(command, Done) == ends
        if isinstance(command, Sleep):
            assert command.reason == "retry-budget"


def test_finding_out_ends_where_neither_the_answer_nor_the_probe_helps() -> None:
    """Strange answers and a silent probe: without a limit it would repeat for ever, unpaused."""
    config = replace(KEYED, has_probe=True, resolve=True)
    played = Played(config, [ODD] * 9, [LOST] * 9, state=recover(0, 0, 0))
    assert played.outcome == ODD
    assert len(played.attempts) == 1
    assert len(played.probes) <= 4


def test_finding_out_without_any_retries_asks_and_repeats_once_each() -> None:
    config = replace(KEYED, has_probe=True, resolve=True, retry=None)
    played = Played(config, [ODD] * 9, [LOST] * 9, state=recover(0, 0, 0))
    assert len(played.attempts) == 1
    assert len(played.probes) <= 2


def test_a_no_that_can_never_be_believed_is_left_to_people() -> None:
    """The key expired, and nothing says when a late call can no longer land."""
    endless = steady(retries=None)
    config = replace(KEYED, has_probe=True, resolve=True, retry=endless, key_for=10)
    played = Played(config, [], [NOBODY] * 9, state=recover(1_000, 0, 0), takes=20)
    assert isinstance(played.outcome, Unknown)
    assert len(played.probes) == 1
