"""The rate limit: no window holds too many calls, and little of the rate is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagalang.machine.rate import IDLE, RateState, admit
from sagalang.model.program import Ms, Rate


@st.composite
def histories(draw: st.DrawFn) -> tuple[Rate, list[Ms]]:
    """A rate, and the pauses between calls: many of them around the edges of a window."""
    calls = draw(st.integers(1, 6))
    per = draw(st.integers(1, 20) | st.sampled_from([99, 100, 101, 199, 200, 250, 1_000, 1_001]))
    pause = st.sampled_from([0, 0, 1, 2, per // calls, per // 3, per - 1, per, per + per // 90])
    return Rate(calls, per), draw(st.lists(pause, max_size=60))


def ask_at(config: Rate, pauses: list[Ms]) -> list[tuple[Ms, RateState, Ms | None]]:
    now, state, answers = 0, IDLE, []
    for pause in pauses:
        now += pause
        state, answer = admit(config, state, now)
        answers.append((now, state, answer))
    return answers


@given(histories())
def test_no_window_ever_holds_more_than_the_calls(history: tuple[Rate, list[Ms]]) -> None:
    config, _ = history
    admitted = [now for now, _, answer in ask_at(*history) if answer is None]
    for early, late in zip(admitted, admitted[config.calls :], strict=False):
        assert late - early >= config.per


@given(histories())
def test_a_call_is_refused_only_where_a_window_one_percent_longer_is_full(
    history: tuple[Rate, list[Ms]],
) -> None:
    config, _ = history
    admitted: list[Ms] = []
    for now, _, answer in ask_at(*history):
        if answer is None:
            admitted.append(now)
        else:
            # The calls of the `1.01 * per` ms before `now`.
            lately = [at for at in admitted if (now - at) * 100 < config.per * 101]
            assert len(lately) >= config.calls


@given(histories())
def test_after_the_wait_it_gave_there_is_room(history: tuple[Rate, list[Ms]]) -> None:
    config, _ = history
    for now, state, answer in ask_at(*history):
        if answer is not None:
            assert 1 <= answer <= config.per
            assert admit(config, state, now + answer)[1] is None


@pytest.mark.parametrize("per", [100, 199, 1_000, 1_001])
def test_the_log_is_short_whatever_the_rate(per: Ms) -> None:
    for _, state, _ in ask_at(Rate(10**6, per), [1] * (3 * per)):
        assert len(state.older) <= 100
        assert state.used == state.count + sum(count for _, count in state.older)


@pytest.mark.parametrize("rate", [Rate(1, 1), Rate(7, 100), Rate(100, 1_000), Rate(900, 60_000)])
@pytest.mark.parametrize("evenly", [False, True])
def test_who_always_has_a_call_to_make_gets_at_least_99_percent_of_the_rate(
    rate: Rate, evenly: bool
) -> None:
    """In bursts, or spread out evenly, which loses the most; it waits as long as it is told."""
    state, now, admitted, windows = IDLE, 0, 0, 30
    while now < windows * rate.per:
        state, wait = admit(rate, state, now)
        assert wait is None or wait >= 1
        if wait is None:
            admitted += 1
        now += rate.per // rate.calls * evenly if wait is None else wait
    assert admitted >= windows * rate.calls * 99 / 100


def test_ten_thousand_callers_at_once_leave_a_small_state() -> None:
    config = Rate(5_000, 1_000)
    answers = ask_at(config, [0] * 10_000)
    assert sum(answer is None for *_, answer in answers) == 5_000
    assert answers[-1][1] == RateState(used=5_000, last=0, count=5_000)


def test_the_limit_holds_where_the_clock_runs_backwards() -> None:
    config = Rate(2, 1_000)
    state, _ = admit(config, IDLE, 10_000)
    state, answer = admit(config, state, 4_000)
    assert answer is None
    assert admit(config, state, 10_999)[1] == 1
    assert admit(config, state, 4_000)[1] == 7_000


def test_the_log_is_short_where_the_clock_runs_to_and_fro() -> None:
    config, state = Rate(10**6, 1_000), IDLE
    for now in [10_000, 4_000] * 200:
        state, _ = admit(config, state, now)
    assert state == RateState(used=400, last=10_000, count=400)


@given(histories())
def test_the_same_calls_make_equal_states_that_can_be_hashed(
    history: tuple[Rate, list[Ms]],
) -> None:
    one, other = ask_at(*history), ask_at(*history)
    assert one == other
    assert [hash(state) for _, state, _ in one] == [hash(state) for _, state, _ in other]
