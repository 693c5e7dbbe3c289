"""The circuit breaker: when it opens, how it probes, and what does not count."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagalang.machine import breaker
from sagalang.machine.breaker import CLOSED, BreakerState, Permit, Phase, admit, record, release
from sagalang.model.program import Breaker, Ms

LEASE = 20_000
SHOP = Breaker(percent=50, calls=4, window=10_000, probe_after=5_000, probe_up_to=60_000)
"""One probe at a time, and one is enough for the verdict."""


def admitted(config: Breaker, state: BreakerState, now: Ms) -> tuple[BreakerState, Permit]:
    state, answer = admit(config, state, now, LEASE)
    assert isinstance(answer, Permit), f"refused for {answer} ms"
    return state, answer


def refused(config: Breaker, state: BreakerState, now: Ms) -> tuple[BreakerState, Ms]:
    state, answer = admit(config, state, now, LEASE)
    assert not isinstance(answer, Permit)
    return state, answer


def after(
    config: Breaker, calls: Iterable[str], now: Ms = 0, state: BreakerState = CLOSED
) -> BreakerState:
    """One call after the other: Success, Failure, sLow success, slow failure (X), Ignored."""
    for call in calls:
        state, permit = admitted(config, state, now)
        if call == "I":
            state = release(state, permit)
        else:
            took = 5_000 if call in "LX" else 100
            state = record(config, state, permit, ok=call in "SL", took=took, now=now)
    return state


def opened(config: Breaker = SHOP, now: Ms = 0) -> BreakerState:
    state = after(config, "F" * config.calls, now)
    assert state.phase is Phase.OPEN
    return state


def waits_of_a_service_that_stays_down(config: Breaker, rounds: int) -> list[Ms]:
    waits, now, state = [], 0, opened(config)
    for _ in range(rounds):
        waits.append(state.until - now)
        now = state.until
        state = after(config, "F" * config.probes, now, state)
    return waits


# --- The vectors of resilience4j ---------------------------------------------------------------
# CircuitBreakerStateMachineTest; permits there are probes here. Not ours: forced open, forced
# closed, disabled. Its waits grow by 1.5, ours double.

VECTOR = Breaker(50, 5, 20_000, 5_000, None, 4_000, probes=4, probes_at_once=4)


@pytest.mark.parametrize(
    ("calls", "phase"),
    [
        ("FFFS", Phase.CLOSED),
        ("FFFSS", Phase.OPEN),
        ("SSSFF", Phase.CLOSED),
        ("SSSFFF", Phase.OPEN),
        ("XLFSL", Phase.OPEN),
        ("XLFSS", Phase.CLOSED),
        ("FFIISI", Phase.CLOSED),
    ],
)
def test_a_closed_breaker_opens_at_the_share_once_there_were_enough_calls(
    calls: str, phase: Phase
) -> None:
    assert after(VECTOR, calls).phase is phase


@pytest.mark.parametrize(
    ("probes", "phase"),
    [
        ("FFS", Phase.HALF_OPEN),
        ("FFSF", Phase.OPEN),
        ("FFSS", Phase.OPEN),
        ("FSSS", Phase.CLOSED),
        ("LLLS", Phase.OPEN),
        ("LSSS", Phase.CLOSED),
        ("SSSIF", Phase.CLOSED),
        ("IIII", Phase.HALF_OPEN),
        ("IIIISSS", Phase.HALF_OPEN),
        ("IIIISSSS", Phase.CLOSED),
    ],
)
def test_the_verdict_on_the_probes_goes_by_the_same_share(probes: str, phase: Phase) -> None:
    assert after(VECTOR, probes, 6_000, opened(VECTOR)).phase is phase


def test_an_open_breaker_refuses_until_its_time_is_over() -> None:
    state = opened(VECTOR)
    assert refused(VECTOR, state, 3_000) == (state, 2_000)
    assert refused(VECTOR, state, 4_999) == (state, 1)
    assert admitted(VECTOR, state, 5_000)[0].phase is Phase.HALF_OPEN
    assert admitted(VECTOR, state, 6_000)[0].phase is Phase.HALF_OPEN


def test_a_half_open_breaker_admits_so_many_probes_and_one_more_for_each_given_back() -> None:
    state, permits = opened(VECTOR), []
    for _ in range(4):
        state, permit = admitted(VECTOR, state, 6_000)
        permits.append(permit)
    assert all(permit.probe for permit in permits)
    state, _ = refused(VECTOR, state, 6_000)
    state, _ = refused(VECTOR, state, 6_000)
    state, _ = admitted(VECTOR, release(state, permits[2]), 6_000)
    refused(VECTOR, state, 6_000)


def test_a_probe_that_has_answered_does_not_make_room_for_a_fifth() -> None:
    state, permits = opened(VECTOR), []
    for _ in range(4):
        state, permit = admitted(VECTOR, state, 6_000)
        permits.append(permit)
    state = record(VECTOR, state, permits[0], ok=True, took=1, now=6_001)
    refused(VECTOR, state, 6_001)


def test_half_open_does_not_outlast_the_leases_of_probes_that_never_answer() -> None:
    state = opened(VECTOR)
    for _ in range(4):
        state, _ = admitted(VECTOR, state, 6_000)
    refused(VECTOR, state, 6_000 + LEASE - 1)
    assert after(VECTOR, "SSSS", 6_000 + LEASE, state).phase is Phase.CLOSED


def test_a_closed_breaker_starts_with_no_calls_counted() -> None:
    closed_again = after(VECTOR, "SSSS", 6_000, opened(VECTOR))
    assert closed_again == BreakerState(Phase.CLOSED, generation=3)
    assert after(VECTOR, "FFFF", 6_000, closed_again).phase is Phase.CLOSED


# --- The window --------------------------------------------------------------------------------


def test_calls_count_for_ten_buckets_and_then_no_more() -> None:
    state = after(SHOP, "FFF", 500)
    assert after(SHOP, "F", 9_999, state).phase is Phase.OPEN
    assert after(SHOP, "F", 10_000, state).phase is Phase.CLOSED


def test_old_successes_leave_the_window_bucket_by_bucket() -> None:
    state = after(SHOP, "SSSSSS", 0)
    state = after(SHOP, "FFF", 5_000, state)
    assert state.phase is Phase.CLOSED
    assert after(SHOP, "F", 9_000, state).phase is Phase.CLOSED
    assert after(SHOP, "F", 10_000, state).phase is Phase.OPEN


def test_a_call_is_slow_only_when_it_took_longer_than_slow_after() -> None:
    config = Breaker(50, 1, 10_000, 5_000, slow_after=4_000)
    state, permit = admitted(config, CLOSED, 0)
    assert record(config, state, permit, ok=True, took=4_000, now=0).phase is Phase.CLOSED
    assert record(config, state, permit, ok=True, took=4_001, now=0).phase is Phase.OPEN


def test_without_slow_after_no_call_is_slow() -> None:
    state, permit = admitted(SHOP, CLOSED, 0)
    for _ in range(10):
        state = record(SHOP, state, permit, ok=True, took=10**9, now=0)
    assert state.phase is Phase.CLOSED


def test_a_window_shorter_than_its_ten_buckets_still_counts() -> None:
    config = Breaker(50, 2, 3, 5_000)
    assert after(config, "FF", 7).phase is Phase.OPEN


def test_where_the_clock_runs_backwards_calls_still_count() -> None:
    state = after(SHOP, "F", 1_000, after(SHOP, "FF", 60_000))
    assert after(SHOP, "F", 1_000, state).phase is Phase.OPEN
    assert after(SHOP, "F", 61_000, state).phase is Phase.OPEN


def test_a_thousand_calls_make_the_state_no_bigger() -> None:
    state = CLOSED
    for now in range(0, 1_000_000, 100):
        state = after(SHOP, "S", now, state)
        assert len(state.tally.older) <= 9
    assert state.tally.total == 100


def test_admission_while_closed_leaves_the_state_alone() -> None:
    assert admitted(SHOP, CLOSED, 5)[0] is CLOSED


# --- How long it stays open --------------------------------------------------------------------


def test_the_open_time_doubles_with_each_failed_round_up_to_the_cap() -> None:
    waits = waits_of_a_service_that_stays_down(SHOP, 6)
    assert waits == [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]


def test_without_a_cap_the_open_time_stays_the_same() -> None:
    config = Breaker(percent=50, calls=4, window=10_000, probe_after=5_000)
    assert waits_of_a_service_that_stays_down(config, 4) == [5_000] * 4


def test_one_good_round_makes_the_open_time_short_again() -> None:
    state = after(SHOP, "F", 5_000, opened())
    state = after(SHOP, "S", state.until, state)
    assert (state.phase, state.rounds) == (Phase.CLOSED, 0)
    assert after(SHOP, "FFFF", 90_000, state).until == 95_000


def test_years_of_failed_rounds_neither_overflow_nor_slow_it_down() -> None:
    state = BreakerState(Phase.OPEN, 7, until=0, rounds=10**15)
    state = after(SHOP, "F", 0, state)
    assert (state.until, state.rounds) == (60_000, 10**15 + 1)


# --- Probes, leases, generations ---------------------------------------------------------------


def test_of_two_hundred_callers_one_is_the_probe() -> None:
    state, probes = opened(), 0
    for _ in range(200):
        state, answer = admit(SHOP, state, 5_000, LEASE)
        probes += isinstance(answer, Permit)
    assert probes == 1


def test_a_cancelled_probe_gives_its_place_to_the_next_caller() -> None:
    state, lost = admitted(SHOP, opened(), 5_000)
    state, permit = admitted(SHOP, release(state, lost), 5_000)
    assert release(state, lost) is state, "given back twice"
    assert record(SHOP, state, lost, ok=True, took=1, now=5_000) is state, "given back, then used"
    assert record(SHOP, state, permit, ok=True, took=1, now=5_000).phase is Phase.CLOSED


@pytest.mark.parametrize("ok", [True, False])
def test_a_call_from_before_the_trip_says_nothing_about_the_recovery(ok: bool) -> None:
    state, early = admitted(SHOP, CLOSED, 0)
    state = after(SHOP, "FFFF", 0, state)
    assert record(SHOP, state, early, ok=ok, took=1, now=1) is state
    state, _ = admitted(SHOP, state, 5_000)
    assert record(SHOP, state, early, ok=ok, took=1, now=5_001) is state
    assert release(state, early) is state
    refused(SHOP, state, 5_001)
    state = after(SHOP, "S", 5_001 + LEASE, state)
    assert state.phase is Phase.CLOSED
    assert record(SHOP, state, early, ok=ok, took=1, now=5_001 + LEASE) is state


def test_a_probe_of_an_earlier_round_does_not_count_in_a_later_one() -> None:
    config = Breaker(50, 4, 10_000, 5_000, probes=2, probes_at_once=2)
    state, late = admitted(config, opened(config), 5_000)
    now = 5_000 + LEASE
    state = after(config, "FF", now, state)
    assert state.phase is Phase.OPEN
    state, current = admitted(config, state, state.until)
    assert late.number == current.number
    assert record(config, state, late, ok=True, took=1, now=state.until) is state
    assert release(state, late) is state


def test_cancelled_calls_leave_a_closed_breaker_closed() -> None:
    assert after(SHOP, "I" * 100) is CLOSED


def test_a_probe_never_reported_is_forfeited_when_its_lease_ends() -> None:
    state, lost = admitted(SHOP, opened(), 5_000)
    refused(SHOP, state, 5_000 + LEASE - 1)
    state, probe = admitted(SHOP, state, 5_000 + LEASE)
    assert (lost.number, probe.number) == (1, 2)
    late = record(SHOP, state, lost, ok=True, took=LEASE + 1, now=5_001 + LEASE)
    assert late == state
    assert release(state, lost) is state
    assert record(SHOP, state, probe, ok=False, took=1, now=5_001 + LEASE).phase is Phase.OPEN


def test_a_result_after_the_lease_does_not_count_even_if_nobody_took_the_place() -> None:
    state, lost = admitted(SHOP, opened(), 5_000)
    in_time = record(SHOP, state, lost, ok=True, took=1, now=5_000 + LEASE - 1)
    assert in_time.phase is Phase.CLOSED
    late = record(SHOP, state, lost, ok=True, took=1, now=5_000 + LEASE)
    assert late.phase is Phase.HALF_OPEN
    admitted(SHOP, late, 5_000 + LEASE)


def test_while_a_probe_is_under_way_the_wait_is_the_next_open_time_or_the_rest_of_the_lease() -> (
    None
):
    state, _ = admitted(SHOP, opened(), 5_000)
    assert refused(SHOP, state, 5_000)[1] == 10_000
    assert refused(SHOP, state, 5_000 + LEASE - 7)[1] == 7


# --- Whatever happens --------------------------------------------------------------------------

Operation = tuple[str, int]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "admit", "ok", "fail", "fail", "slow", "release", "wait"]),
        st.integers(0, 60),
    ),
    min_size=30,  # a short history hardly gets beyond its first trip
    max_size=50,
)
CONFIGS = st.builds(
    Breaker,
    percent=st.integers(1, 100),
    calls=st.integers(1, 3),
    window=st.integers(1, 100),
    probe_after=st.integers(1, 30),
    probe_up_to=st.none() | st.integers(30, 100),
    slow_after=st.none() | st.just(50),
)
"""One probe at a time, as the language has it."""
MANY_PROBES = st.builds(
    Breaker,
    percent=st.integers(1, 100),
    calls=st.integers(1, 2),
    window=st.integers(1, 100),
    probe_after=st.integers(1, 30),
    probes=st.integers(1, 4),
    probes_at_once=st.integers(1, 4),
)
SHORT_LEASE = 25


class World:
    """A breaker and the calls under way, of which some are never heard of again."""

    def __init__(self, config: Breaker) -> None:
        self.config = config
        self.state = CLOSED
        self.now = 0
        self.permits: list[Permit] = []
        self.history = [CLOSED]

    def do(self, what: str, n: int) -> None:
        if what == "wait":
            self.now += n
        elif what == "admit":
            self.state, answer = admit(self.config, self.state, self.now, SHORT_LEASE)
            if isinstance(answer, Permit):
                self.permits.append(answer)
            else:
                assert answer >= 1
        elif self.permits:
            permit = self.permits.pop(n % len(self.permits))
            if what == "release":
                self.state = release(self.state, permit)
            else:
                took = 100 if what == "slow" else 10
                self.state = record(
                    self.config, self.state, permit, ok=what != "fail", took=took, now=self.now
                )
        self.history.append(self.state)

    def probes_under_way(self) -> list[Permit]:
        return [one for one in self.permits if one.probe and self.now < one.since + SHORT_LEASE]


@given(CONFIGS, OPERATIONS)
def test_there_is_never_more_than_one_probe(config: Breaker, operations: list[Operation]) -> None:
    world = World(config)
    for operation in operations:
        world.do(*operation)
        assert len(world.probes_under_way()) <= 1


@given(MANY_PROBES, OPERATIONS)
def test_there_are_never_more_probes_than_the_round_needs_or_than_may_run_at_once(
    config: Breaker, operations: list[Operation]
) -> None:
    world = World(config)
    for operation in operations:
        world.do(*operation)
        current = [p for p in world.probes_under_way() if p.generation == world.state.generation]
        assert len(current) <= config.probes_at_once
        assert len(current) + world.state.probing.total <= config.probes
        assert len(world.state.probing.under_way) <= config.probes_at_once


@given(CONFIGS | MANY_PROBES, OPERATIONS)
def test_whatever_happened_time_alone_lets_somebody_through(
    config: Breaker, operations: list[Operation]
) -> None:
    world = World(config)
    for operation in operations:
        world.do(*operation)
    state, now = world.state, world.now
    for _ in range(SHORT_LEASE + 2):
        state, answer = admit(config, state, now, SHORT_LEASE)
        if isinstance(answer, Permit):
            break
        now += answer
    else:
        pytest.fail("it asked to wait again and again")
    assert now <= max([world.now + SHORT_LEASE, world.state.until])


@given(CONFIGS | MANY_PROBES, OPERATIONS)
def test_the_same_operations_make_equal_states_that_can_be_hashed(
    config: Breaker, operations: list[Operation]
) -> None:
    one, other = World(config), World(config)
    for operation in operations:
        one.do(*operation)
        other.do(*operation)
    assert one.history == other.history
    assert [hash(state) for state in one.history] == [hash(state) for state in other.history]


@given(CONFIGS | MANY_PROBES, OPERATIONS)
def test_a_state_holds_only_what_belongs_to_its_phase(
    config: Breaker, operations: list[Operation]
) -> None:
    world = World(config)
    for operation in operations:
        before = world.state
        world.do(*operation)
        state = world.state
        assert state.phase is Phase.CLOSED or state.tally == breaker.Tally()
        assert state.phase is Phase.OPEN or state.until == 0
        assert state.phase is Phase.HALF_OPEN or state.probing == breaker.Probing()
        assert state.phase is not Phase.CLOSED or state.rounds == 0
        assert (state.generation == before.generation) == (state.phase is before.phase)
