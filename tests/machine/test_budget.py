"""The retry budget: a storm stays small, and a slow client may still retry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagalang.machine.budget import FRESH, BudgetState, request, retry
from sagalang.model.program import Ms, RetryBudget

BUDGETS = st.builds(
    RetryBudget,
    percent=st.sampled_from([1, 10, 20, 33, 100]),
    window=st.sampled_from([5, 100, 1_000, 2_500, 10_000]),
)
HISTORIES = st.lists(
    st.tuples(
        st.sampled_from(["request", "request", "retry", "retry"]),
        st.sampled_from([0, 0, 0, 1, 10, 99, 100, 101, 250, 1_000, 9_000, 20_000]),
    ),
    max_size=150,
)


@given(BUDGETS, HISTORIES)
def test_a_retry_is_allowed_exactly_while_it_keeps_the_share_and_the_reserve(
    config: RetryBudget, history: list[tuple[str, Ms]]
) -> None:
    width = max(1, config.window // 10)
    state, now = FRESH, 0
    requests: list[Ms] = []
    retries: list[Ms] = []
    for what, pause in history:
        now += pause
        if what == "request":
            state = request(config, state, now)
            requests.append(now)
            continue
        oldest = now // width - 9
        recent_requests = sum(at // width >= oldest for at in requests)
        recent_retries = sum(at // width >= oldest for at in retries)
        reserve = max(1, config.window // 1_000)
        state, allowed = retry(config, state, now)
        within = (recent_retries + 1) * 100 <= config.percent * recent_requests + reserve * 100
        assert allowed == within
        if allowed:
            retries.append(now)
        assert len(state.older) <= 9


def load(config: RetryBudget, every: Ms, retries_each: int, until: Ms) -> tuple[int, int, int]:
    """A service that is down: each request is retried as often as allowed, at once.

    Requests, retries wanted and retries made.
    """
    state, requests, wanted, made = FRESH, 0, 0, 0
    for now in range(0, until, every):
        state = request(config, state, now)
        requests += 1
        for _ in range(retries_each):
            wanted += 1
            state, allowed = retry(config, state, now)
            if not allowed:
                break
            made += 1
    return requests, wanted, made


@pytest.mark.parametrize("percent", [10, 20])
def test_while_a_service_is_down_the_retries_stay_within_the_share_plus_one_a_second(
    percent: int,
) -> None:
    seconds = 120
    requests, _, made = load(RetryBudget(percent), every=5, retries_each=3, until=seconds * 1_000)
    assert requests == 200 * seconds
    most = requests * percent // 100 + seconds + 10
    assert most * 8 // 10 <= made <= most


def test_the_reserve_lets_a_client_with_a_request_every_other_second_always_retry() -> None:
    requests, wanted, made = load(RetryBudget(20), every=2_000, retries_each=1, until=600_000)
    assert requests == wanted == made == 300


def test_a_window_below_a_second_still_has_a_reserve_of_one() -> None:
    state, allowed = retry(RetryBudget(1, window=100), FRESH, 0)
    assert allowed
    assert retry(RetryBudget(1, window=100), state, 0) == (state, False)


def test_requests_count_when_they_begin_not_when_they_end() -> None:
    config, state = RetryBudget(50, window=1_000), FRESH
    for _ in range(10):
        state = request(config, state, 0)
    allowed = 0
    for _ in range(20):
        state, may = retry(config, state, 0)
        allowed += may
    assert allowed == 6


def test_where_the_clock_runs_backwards_nothing_is_forgotten() -> None:
    config = RetryBudget(50, window=1_000)
    state = request(config, request(config, FRESH, 50_000), 50_000)
    allowed = []
    for now in (3, 3, 50_100):
        state, may = retry(config, state, now)
        allowed.append(may)
    assert allowed == [True, True, False]


def test_the_same_history_makes_equal_states_that_can_be_hashed() -> None:
    def replay() -> BudgetState:
        state = FRESH
        for now in range(0, 30_000, 70):
            state, _ = retry(RetryBudget(20), request(RetryBudget(20), state, now), now)
        return state

    assert replay() == replay()
    assert hash(replay()) == hash(replay())
