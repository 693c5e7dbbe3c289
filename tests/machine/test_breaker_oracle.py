"""The circuit breaker agrees with interlock-cb, an independent implementation, step by step.

Random configurations and random operations, the same for both; after every operation the phase,
the generation and the counts are compared. What differs by design stays out of the comparison:

- interlock counts in buckets of a second, as many as its window has; time is scaled so that one
  of its seconds is one of our buckets. The width is a power of two, so that its floats are exact.
- It has no leases: here a lease never ends (`test_breaker.py` has those that do).
- It gives back a place, not a probe: here no permit is used twice.
- Its share for slow calls is separate; ours is one share for both.
- Its open time grows without a cap, too; ours only where there is one.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from sagalang.machine.breaker import CLOSED, Permit, Phase, admit, record, release
from sagalang.model.program import Breaker

pytest.importorskip("interlock", reason="interlock-cb is what the breaker is compared with")

from interlock._state_machine import StateMachine
from interlock.config import Config
from interlock.outcome import Outcome
from interlock.window import WindowType

SCENARIOS = 250
OPERATIONS = 600
FOR_EVER = 10**15
OUTCOMES = {
    (True, False): Outcome.SUCCESS,
    (False, False): Outcome.FAILURE,
    (True, True): Outcome.SLOW_SUCCESS,
    (False, True): Outcome.SLOW_FAILURE,
}


@dataclass
class ScaledClock:
    width: int
    now: int = 0

    def monotonic(self) -> float:
        return self.now / self.width


def some_config(chance: random.Random, width: int) -> Breaker:
    probes = chance.randint(1, 4)
    probe_after = chance.randint(1, 12 * width)
    return Breaker(
        percent=chance.choice([1, 10, 25, 33, 50, 50, 66, 75, 99, 100, chance.randint(1, 100)]),
        calls=chance.randint(1, 8),
        window=10 * width + chance.randint(0, 9),
        probe_after=probe_after,
        probe_up_to=chance.choice([None, probe_after, probe_after * chance.randint(1, 9)]),
        slow_after=chance.choice([None, 1_000]),
        probes=probes,
        probes_at_once=chance.randint(1, probes),
    )


def interlocks(config: Breaker, width: int) -> Config:
    up_to = config.probe_up_to
    return Config(
        failure_rate_threshold=config.percent / 100,
        slow_call_rate_threshold=config.percent / 100,
        minimum_number_of_calls=config.calls,
        permitted_calls_in_half_open=config.probes,
        max_concurrent_probes=config.probes_at_once,
        wait_duration_in_open=config.probe_after / width,
        wait_duration_backoff_multiplier=1.0 if up_to is None else 2.0,
        wait_duration_in_open_max=None if up_to is None else up_to / width,
        window_type=WindowType.TIME_BASED,
        window_size=10,
    )


def play(seed: int) -> Counter[str]:
    """One scenario; how often what was compared happened."""
    chance = random.Random(seed)
    width = 2 ** chance.randint(0, 10)
    config = some_config(chance, width)
    failing, hanging = chance.choice([0.1, 0.5, 0.9]), chance.choice([0.05, 0.5])
    clock = ScaledClock(width, now=chance.randint(0, 10**6))
    theirs = StateMachine(config=interlocks(config, width), clock=clock)
    ours = CLOSED
    under_way: list[Permit] = []
    seen: Counter[str] = Counter()
    for number in range(OPERATIONS):
        where = f"seed {seed}, operation {number}, {config}"
        before = ours
        match chance.choices(["admit", "record", "release", "wait"], [40, 35, 7, 18])[0]:
            case "admit":
                admitted = theirs.acquire()
                ours, answer = admit(config, ours, clock.now, FOR_EVER)
                assert isinstance(answer, Permit) == admitted, where
                if isinstance(answer, Permit):
                    assert answer.probe == (ours.phase is Phase.HALF_OPEN), where
                    under_way.append(answer)
                    seen["probe"] += answer.probe
                elif ours.phase is Phase.OPEN:
                    assert answer == (theirs.retry_after() or 0) * width, where
                    seen["refused while open"] += 1
                else:
                    seen["refused while half-open"] += 1
            case "record" if under_way:
                latest = chance.random() > hanging
                permit = under_way.pop(-1 if latest else chance.randrange(len(under_way)))
                ok, slow = chance.random() >= failing, chance.random() < 0.3
                counts_as_slow = slow and config.slow_after is not None
                theirs.record(OUTCOMES[ok, counts_as_slow], generation=permit.generation)
                took = 1_001 if slow else 1_000
                ours = record(config, ours, permit, ok=ok, took=took, now=clock.now)
                seen["stale result"] += permit.generation != before.generation
                if before.phase is ours.phase is Phase.CLOSED:
                    counts = theirs.snapshot()
                    expected = (counts.total_calls, counts.failed_calls, counts.slow_calls)
                    found = (ours.tally.total, ours.tally.failed, ours.tally.slow)
                    assert permit.generation != ours.generation or found == expected, where
            case "release" if under_way:
                permit = under_way.pop(chance.randrange(len(under_way)))
                theirs.release_probe(generation=permit.generation)
                ours = release(ours, permit)
                seen["probe given back"] += ours is not before
            case "wait":
                steps = [0, 1, width, chance.randint(1, 3 * width), 10 * width]
                if ours.phase is Phase.OPEN and clock.now < ours.until:
                    steps += [ours.until - clock.now, ours.until - clock.now - 1]
                clock.now += chance.choice(steps)
        assert ours.phase.name == theirs.state.name, where
        assert ours.generation == theirs.generation, where
        if ours.phase is not before.phase:
            seen[f"{before.phase.value} to {ours.phase.value}"] += 1
            seen["longer open time"] += ours.phase is Phase.OPEN and (
                ours.until - clock.now > config.probe_after
            )
    return seen


def test_it_agrees_with_interlock_on_random_histories() -> None:
    seen: Counter[str] = Counter()
    for seed in range(SCENARIOS):
        seen += play(seed)
    assert SCENARIOS * OPERATIONS >= 100_000
    for what in (
        "probe",
        "refused while open",
        "refused while half-open",
        "stale result",
        "probe given back",
        "closed to open",
        "open to half-open",
        "half-open to open",
        "half-open to closed",
        "longer open time",
    ):
        assert seen[what] > 500, f"the histories hardly contain: {what} ({seen[what]})"
