"""What an outage does under each policy, and what the figures count."""

from __future__ import annotations

from dataclasses import replace as with_
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from sagalang.model.program import Breaker, Bulkhead, Jitter, Operation, Policy, Rate, Retry
from sagalang.simulate.cases import DEFAULT_BREAKER, DEFAULT_BUDGET, Protection, cases
from sagalang.simulate.comparison import Measures, compare, measures
from sagalang.simulate.outage import BUCKET, Course, Failing, Setting, run
from sagalang.workspace import load

ROOT = Path(__file__).parents[2]
SETTING = Setting(
    clients=60, processes=3, down_at=4_000, down_for=6_000, duration=16_000, every=1_000
)
POLICIES = ("fixed", "exponential", "proportional", "equal", "full", "decorrelated")


@pytest.fixture(scope="module")
def create() -> Operation:
    services = load(str(ROOT / "examples/order/order.saga")).program.services
    return services["Orders"].operations["create"]


def plain(operation: Operation, strategy: str, setting: Setting = SETTING) -> Measures:
    return measures(run(operation, policy_of(operation, strategy), setting), setting)


def policy_of(
    operation: Operation, strategy: str, protection: Protection = Protection.PLAIN
) -> Policy:
    found = [c for c in cases(operation.policy, (strategy,)) if c[1] is protection]
    return found[0][2]


def relative_peak(found: Measures) -> float:
    return found.peak / found.normal


# --- The herd ----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["fixed", "exponential"])
def test_clients_that_fail_together_come_back_together_without_jitter(
    create: Operation, strategy: str
) -> None:
    assert relative_peak(plain(create, strategy)) > 9


@pytest.mark.parametrize("strategy", ["full", "equal", "decorrelated", "proportional"])
def test_jitter_spreads_the_clients(create: Operation, strategy: str) -> None:
    assert relative_peak(plain(create, strategy)) < 4


def test_without_a_common_moment_there_is_no_herd(create: Operation) -> None:
    apart = with_(SETTING, together=False)
    assert relative_peak(plain(create, "fixed", apart)) < 4


# --- Protections -------------------------------------------------------------------------------


def test_a_budget_holds_the_load_of_an_outage_near_the_normal_one(create: Operation) -> None:
    budget = policy_of(create, "full", Protection.BUDGET)
    held = measures(run(create, budget, SETTING), SETTING)
    assert plain(create, "full").outage > 2
    assert 1 < held.outage < 1.4


def test_a_breaker_keeps_the_load_of_an_outage_away(create: Operation) -> None:
    breaker = policy_of(create, "full", Protection.BREAKER)
    assert measures(run(create, breaker, SETTING), SETTING).outage < 0.8


def test_each_process_has_a_breaker_of_its_own(create: Operation) -> None:
    """One client a process never makes the calls that its breaker needs to open."""
    patient = Breaker(percent=50, calls=40, window=10_000, probe_after=5_000)
    policy = replace(policy_of(create, "full"), breaker=patient)
    shared = run(create, policy, with_(SETTING, processes=1))
    alone = run(create, policy, with_(SETTING, processes=SETTING.clients))
    assert measures(shared, SETTING).outage < 0.8
    assert measures(alone, SETTING).outage > 2


def test_clauses_that_are_declared_are_kept_and_missing_ones_take_a_default() -> None:
    breaker = Breaker(percent=20, calls=7, window=5_000, probe_after=1_000)
    bulkhead, rate = Bulkhead(3), Rate(5, 1_000)
    declared = Policy(timeout=900, breaker=breaker, bulkhead=bulkhead, rate=rate)
    by = {protection: policy for _, protection, policy in cases(declared, ("full",))}
    assert by[Protection.PLAIN].breaker is None
    assert by[Protection.PLAIN].budget is None
    assert by[Protection.BOTH].breaker == breaker
    assert by[Protection.BOTH].budget == DEFAULT_BUDGET
    assert by[Protection.BUDGET].breaker is None
    assert {(p.timeout, p.bulkhead, p.rate) for p in by.values()} == {(900, bulkhead, rate)}
    missing = {protection: policy for _, protection, policy in cases(Policy(), ("full",))}
    assert missing[Protection.BREAKER].breaker == DEFAULT_BREAKER
    assert missing[Protection.PLAIN].retry is not None


def test_strategies_vary_growth_and_jitter_and_nothing_else() -> None:
    retry = Retry(retries=7, backoff=300, factor=Decimal(3), cap=9_000, jitter=Jitter.EQUAL)
    varied = {name: p.retry for name, q, p in cases(Policy(retry=retry), POLICIES) if p.retry}
    assert {(r.retries, r.backoff, r.cap) for r in varied.values()} == {(7, 300, 9_000)}
    assert varied["fixed"] == replace(retry, factor=Decimal(1), jitter=Jitter.NONE)
    assert varied["exponential"] == replace(retry, jitter=Jitter.NONE)
    assert varied["proportional"].percent == 25
    flat = replace(retry, factor=Decimal(1))
    ((_, _, policy), *_) = cases(Policy(retry=flat), ("full",))
    assert policy.retry is not None
    assert policy.retry.factor == 2


# --- The service -------------------------------------------------------------------------------


def test_calls_without_answer_take_the_timeout_before_they_are_repeated(create: Operation) -> None:
    refused = plain(create, "full")
    hanging = plain(create, "full", with_(SETTING, failing=Failing.HANG))
    assert refused.outage > 2
    assert hanging.outage < 0.8


def test_a_lost_answer_is_not_repeated_where_that_could_do_it_twice(create: Operation) -> None:
    once = replace(create, promises=replace(create.promises, keyed=False))
    hang = with_(SETTING, failing=Failing.HANG)
    course = run(once, policy_of(once, "full"), hang)
    # The calls under way at the end have been counted by the service alone.
    assert 0 <= sum(course.load) - course.ok - course.failed <= SETTING.clients
    repeated = run(create, policy_of(create, "full"), hang)
    assert sum(repeated.load) - repeated.ok - repeated.failed > SETTING.clients


@pytest.fixture(scope="module")
def book() -> Operation:
    """A command that only its probe can resolve."""
    services = load(str(ROOT / "examples/shop/shop.saga")).program.services
    found = services["Shipping"].operations["book"]
    assert found.probe is not None
    return replace(found, promises=replace(found.promises, keyed=False, lands_within=None))


def test_a_probe_is_load_too(book: Operation) -> None:
    policy = replace(policy_of(book, "full"), bulkhead=None)
    course = run(book, policy, with_(SETTING, failing=Failing.HANG))
    assert sum(course.load) - course.ok - course.failed > SETTING.clients


def test_a_probe_finds_what_was_done_although_its_answer_came_too_late(book: Operation) -> None:
    """Answers take about as long as the timeout, so that half of them come too late."""
    policy = replace(policy_of(book, "full"), bulkhead=None, timeout=1_500)
    slow = with_(SETTING, latency=1_500, down_at=15_000, down_for=100)
    course = run(book, policy, slow)
    assert sum(course.load) > 2 * course.ok
    assert course.failed < 0.1 * course.ok


def test_no_more_is_answered_than_the_service_can_do(create: Operation) -> None:
    slow = with_(SETTING, capacity=20, down_for=1_000)
    course = run(create, policy_of(create, "full"), slow)
    up = (slow.duration - slow.down_for) / 1_000
    # Some of its work is for clients that have stopped waiting.
    assert 0.3 * 20 * up < course.ok <= 20 * up < sum(course.load)


def test_a_rate_limit_of_the_policy_holds(create: Operation) -> None:
    policy = replace(policy_of(create, "full"), rate=Rate(5, 1_000))
    course = run(create, policy, SETTING)
    seconds = [sum(course.load[i : i + 10]) for i in range(0, len(course.load), 10)]
    assert max(seconds) <= 5 * SETTING.processes


def test_calls_under_way_when_the_service_goes_down_fail(create: Operation) -> None:
    """Half of the clients wait for an answer then."""
    once = policy_of(create, "full")
    assert once.retry is not None
    once = replace(once, retry=replace(once.retry, retries=0))
    blink = with_(SETTING, latency=1_000, down_at=4_500, down_for=100, together=False)
    assert 0.4 * SETTING.clients < run(create, once, blink).failed < 0.7 * SETTING.clients


# --- What is counted ---------------------------------------------------------------------------


def test_the_load_before_the_outage_is_what_the_clients_want(create: Operation) -> None:
    found = plain(create, "full")
    cycle = SETTING.every + SETTING.latency
    assert found.normal == pytest.approx(SETTING.clients * BUCKET / cycle, rel=0.05)


def test_all_clients_are_served_when_the_last_one_is(create: Operation) -> None:
    course = run(create, policy_of(create, "full"), SETTING)
    assert course.served is not None
    assert 100 < course.served < 4_000
    never = Breaker(percent=1, calls=1, window=10_000, probe_after=60_000)
    closed = run(create, replace(policy_of(create, "full"), breaker=never), SETTING)
    assert closed.served is None


def test_measures_tell_before_during_and_after() -> None:
    setting = Setting(clients=1, processes=1, down_at=200, down_for=300, duration=800)
    found = measures(Course((2, 4, 9, 6, 3, 8, 5, 0), 1, 1, None), setting)
    assert found == Measures(attempts=37, normal=3.0, outage=2.0, peak=8)


def test_the_same_seed_takes_the_same_course_also_in_other_processes(create: Operation) -> None:
    here = [run(create, policy, SETTING) for _, _, policy in cases(create.policy, ("full",))]
    assert [result.course for result in compare(create, SETTING, ("full",))] == here
    assert run(create, policy_of(create, "full"), with_(SETTING, seed=1)) != here[0]
