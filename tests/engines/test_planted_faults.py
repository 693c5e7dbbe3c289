"""The conformance suite sees what is wrong with an engine: each planted fault, in a named test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from engines import planted
from engines import test_conformance_deaths as deaths
from engines import test_conformance_outside as outside
from engines import test_conformance_runs as runs
from engines.under_test import Bench, EngineUnderTest

FAULTS: dict[type[EngineUnderTest], list[Callable[..., None]]] = {
    planted.OutcomeBeforeEffect: [deaths.test_cut_off_at_each_moment_it_comes_to_the_same],
    planted.IntentNotAwaited: [
        deaths.test_no_call_leaves_before_its_intent_is_on_record,
        deaths.test_what_was_done_is_undone_where_the_run_is_cancelled_before_it_goes_on,
    ],
    planted.RunningNumbers: [
        deaths.test_branches_that_end_in_another_order_than_before_are_the_same_branches,
        deaths.test_cut_off_at_each_moment_it_comes_to_the_same,
    ],
    planted.LockIgnored: [runs.test_a_second_process_is_kept_out],
    planted.ToldTooEarly: [
        deaths.test_an_end_that_was_told_is_on_record,
        deaths.test_no_call_leaves_before_its_intent_is_on_record,
    ],
    planted.OrderLost: [deaths.test_cut_off_at_each_moment_it_comes_to_the_same],
    planted.EventsInMemory: [
        outside.test_an_event_that_came_before_its_wait_is_kept_over_a_death,
        outside.test_a_cancel_undoes_all_that_was_done_over_a_death,
    ],
    planted.TimersAnew: [outside.test_a_sleep_ends_when_it_was_to_end],
    planted.AnyInput: [runs.test_the_same_input_goes_on_and_other_input_is_refused],
    planted.AnyDefinition: [
        runs.test_a_change_that_fits_the_journal_so_far_is_still_another_definition
    ],
    planted.FailureIsAnOutcome: [
        runs.test_an_engine_that_fails_stops_the_run_and_undoes_nothing
    ],
    planted.SecretsInTheClear: [runs.test_secrets_are_read_again_and_stand_nowhere],
}  # fmt: skip


def cases(test: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """What pytest would call it with."""
    each = []
    for mark in getattr(test, "pytestmark", []):
        names, values = [name.strip() for name in _listed(mark.args[0])], list(mark.args[1])
        each.append([dict(zip(names, v if len(names) > 1 else [v], strict=True)) for v in values])
    for chosen in product(*each):
        yield {name: value for part in chosen for name, value in part.items()}


def _listed(names: Any) -> list[str]:
    return names.split(",") if isinstance(names, str) else list(names)


@pytest.mark.parametrize(
    ("fault", "test"),
    [(fault, test) for fault, tests in FAULTS.items() for test in tests],
    ids=lambda found: found.__name__,
)
def test_a_fault_is_found(
    fault: type[EngineUnderTest], test: Callable[..., None], folder: Path, how: str
) -> None:
    for number, case in enumerate(cases(test)):
        inner = folder / str(number)
        inner.mkdir()
        try:
            test(bench=Bench(fault, inner), how=how, **case)
        except Exception:
            return
        except BaseException as raised:
            if type(raised) is pytest.fail.Exception:
                return
            raise
    raise AssertionError(f"{test.__name__} is content with {fault.__name__}")
