"""The bulkhead: never more than the limit, nobody overtakes, nothing leaks."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagalang.machine.bulkhead import EMPTY, BulkheadState, Entry, enter, give_up, leave
from sagalang.model.program import Bulkhead


class Driver:
    """Callers by number, in the order they came: those inside and those in the queue."""

    def __init__(self, config: Bulkhead) -> None:
        self.config = config
        self.state = EMPTY
        self.inside: list[int] = []
        self.queue: deque[int] = deque()
        self.served: list[int] = []
        self.cancelled: list[int] = []
        self.callers = 0

    def enter(self) -> Entry:
        self.callers += 1
        self.state, entry = enter(self.config, self.state)
        if entry is Entry.ENTERED:
            self.let_in(self.callers)
        elif entry is Entry.QUEUED:
            self.queue.append(self.callers)
        return entry

    def let_in(self, caller: int) -> None:
        self.inside.append(caller)
        self.served.append(caller)

    def leave(self, n: int) -> None:
        if self.inside:
            self.inside.pop(n % len(self.inside))
            self.state, passed = leave(self.state)
            if passed:
                self.let_in(self.queue.popleft())

    def give_up(self, n: int) -> None:
        if self.queue:
            caller = self.queue[n % len(self.queue)]
            self.queue.remove(caller)
            self.cancelled.append(caller)
            self.state = give_up(self.state)


CONFIGS = st.builds(Bulkhead, limit=st.integers(1, 4), queue=st.integers(0, 4))
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["enter", "enter", "leave", "give up"]), st.integers(0, 9)),
    max_size=100,
)


@given(CONFIGS, OPERATIONS)
def test_it_keeps_its_limits_wastes_no_slot_and_counts_what_is_true(
    config: Bulkhead, operations: list[tuple[str, int]]
) -> None:
    driver = Driver(config)
    for what, n in operations:
        match what:
            case "enter":
                room = len(driver.inside) < config.limit, len(driver.queue) < config.queue
                entry = driver.enter()
                assert (entry is Entry.ENTERED) == room[0]
                assert (entry is Entry.FULL) == (room == (False, False))
            case "leave":
                driver.leave(n)
            case _:
                driver.give_up(n)
        state = driver.state
        assert state == BulkheadState(len(driver.inside), len(driver.queue))
        assert state.in_flight <= config.limit
        assert state.waiting <= config.queue
        assert not state.waiting or state.in_flight == config.limit, "a free slot, and one waits"
    assert driver.served == sorted(driver.served), "somebody was overtaken"


@given(CONFIGS, OPERATIONS)
def test_when_all_have_left_nothing_is_held(
    config: Bulkhead, operations: list[tuple[str, int]]
) -> None:
    driver = Driver(config)
    for what, n in operations:
        {"enter": lambda _: driver.enter(), "leave": driver.leave}.get(what, driver.give_up)(n)
    while driver.inside:
        driver.leave(0)
    assert not driver.queue
    assert driver.state == EMPTY


def test_two_cancelled_waiters_leak_no_slot() -> None:
    driver = Driver(Bulkhead(limit=3, queue=2))
    for _ in range(5):
        driver.enter()
    driver.give_up(0)
    driver.give_up(0)
    for _ in range(3):
        driver.leave(0)
    assert [driver.enter() for _ in range(3)] == [Entry.ENTERED] * 3


def test_a_newcomer_does_not_overtake_the_queue() -> None:
    config = Bulkhead(limit=1, queue=2)
    state, _ = enter(config, EMPTY)
    state, _ = enter(config, state)
    state, passed = leave(state)
    assert passed
    assert enter(config, state)[1] is Entry.QUEUED


def test_without_a_queue_a_full_bulkhead_refuses_at_once() -> None:
    config = Bulkhead(limit=1)
    state, _ = enter(config, EMPTY)
    assert enter(config, state) == (state, Entry.FULL)


def test_leaving_and_giving_up_need_somebody_who_entered() -> None:
    with pytest.raises(AssertionError):
        leave(EMPTY)
    with pytest.raises(AssertionError):
        give_up(EMPTY)
