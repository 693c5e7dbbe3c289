"""The journal as log records: which, at which level, with what, and without what."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from observed import CARD, ID, observe

from sagalang.machine.events import Place, Purpose
from sagalang.machine.outcomes import Ok
from sagalang.runtime import journal as j
from sagalang.runtime.logs import log
from sagalang.runtime.observers import observers


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    caplog.set_level(logging.DEBUG, logger="sagalang")
    kept = Kept()
    logging.getLogger("sagalang").addHandler(kept)
    yield kept.records
    logging.getLogger("sagalang").removeHandler(kept)


def told(records: list[logging.LogRecord], name: str) -> list[tuple[str, str]]:
    return [(r.levelname, r.getMessage()) for r in records if r.name == name]


def test_a_breaker_warns_when_it_opens_and_informs_when_it_recovers(
    records: list[logging.LogRecord],
) -> None:
    observe(log, "Payment.charge unavailable, 4 times")
    assert told(records, "sagalang.breaker") == [
        ("WARNING", "o-1: the breaker of Payment is open: calls are refused; a probe after 2 s"),
        ("INFO", "o-1: the breaker of Payment is half-open: one probe"),
        ("INFO", "o-1: the breaker of Payment is closed: calls pass again"),
    ]
    opened = next(r for r in records if r.name == "sagalang.breaker")
    assert (
        vars(opened).items()
        >= {
            "saga_id": ID,
            "saga_breaker": "Payment",
            "saga_breaker_before": "closed",
            "saga_breaker_after": "open",
            "saga_service": "Payment",
            "saga_operation": "charge",
        }.items()
    )


def test_retries_refusals_and_doubt_are_told_with_reason_and_delay(
    records: list[logging.LogRecord],
) -> None:
    observe(log, "Payment.charge unavailable, 4 times")
    calls = told(records, "sagalang.call")
    assert ("INFO", "o-1: Payment.charge: again in 100 ms") in calls
    assert ("INFO", "o-1: Payment.charge: attempt 4 was refused here, the breaker is open") in calls
    assert ("WARNING", "o-1: Payment.charge: unknown, CircuitOpen") in calls
    assert ("INFO", "o-1: Payment.refund (compensation): ok") in calls
    waits = [
        (r.saga_operation, r.saga_reason, r.saga_delay_ms)  # type: ignore[attr-defined]
        for r in records
        if vars(r).get("saga_entry") == "Waiting"
    ]
    assert waits == [("charge", "backoff", 100)] * 3 + [("refund", "breaker", 2_400)]
    refused = [r for r in records if vars(r).get("saga_error") == "CircuitOpen"]
    assert {vars(r).get("saga_attempt") for r in refused} == {4, 1, None}


def test_the_retry_budget_the_queue_and_a_replay_are_told(
    records: list[logging.LogRecord],
) -> None:
    observe(log, "Mail.note unavailable, 2 times", saga="Hold")
    observe(log, crash="Payment.charge")
    calls = told(records, "sagalang.call")
    used_up = "the retry budget is used up; looks again in 300 ms"
    assert ("INFO", f"o-1: Mail.note: {used_up}") in calls
    queued = "too many calls under way; waits at most 5 s"
    assert ("INFO", f"o-1: Stock.reserve: {queued}") in calls
    knew = "attempt 1 is ok; the service knew the key"
    assert ("INFO", f"o-1: Payment.charge: {knew}") in calls
    died = "o-1: the orchestrator died; it goes on from its journal"
    assert ("WARNING", died) in told(records, "sagalang.saga")


def test_a_run_that_goes_well_says_little_at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="sagalang")
    observe(log)
    assert caplog.messages == ["o-1: saga Pay begins", "o-1: completed"]


def test_no_record_shows_what_the_saga_works_with(records: list[logging.LogRecord]) -> None:
    entries = [
        *observe(log, "Payment.charge unavailable, 4 times"),
        *observe(log, "Payment.charge rejects Declined", saga="Trip"),
    ]
    assert any(CARD in str(e) for e in entries), "else this test would prove nothing"
    assert len(records) == len(entries), "every entry is on record"
    for record in records:
        assert CARD not in str(vars(record))
        assert not {"args", "value", "saga_args", "saga_value"} & {
            name for name in vars(record) if name.startswith("saga_")
        }


def test_content_of_events_and_hashes_of_it_are_on_no_record(
    records: list[logging.LogRecord],
) -> None:
    log(j.EventAccepted(at=1, saga_id=ID, event="Paid", id="5ec7e7", value="hidden"))
    assert records[0].getMessage() == "o-1: received Paid"
    assert "5ec7e7" not in str(vars(records[0]))
    assert "hidden" not in str(vars(records[0]))


def test_names_from_input_cannot_forge_a_line(records: list[logging.LogRecord]) -> None:
    place = Place("hold", (("for", "x\n2026-01-01 ERROR forged"),))
    entry = j.OutcomeRecorded(
        at=1,
        saga_id="o\r\nforged",
        place=place,
        purpose=Purpose.STEP,
        label="Stock.reserve",
        key=None,
        kind="ok",
        error=None,
        value=Ok(None),
        unanswered=None,
    )
    log(entry)
    assert "\n" not in records[0].getMessage()
    assert "\r" not in records[0].getMessage()


def test_a_program_without_logging_prints_nothing() -> None:
    code = (
        "from sagalang.runtime import journal as j; from sagalang.runtime.logs import log\n"
        "log(j.Alerted(at=1, saga_id='o-1', error='E', text='t'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_compiled_module_logs_too(tmp_path: Path) -> None:
    order = Path(__file__).parents[2] / "examples" / "order" / "order.saga"
    saga = Path(sys.executable).parent / "saga"
    subprocess.run([saga, "compile", order, "-o", tmp_path], capture_output=True, check=True)
    given = {"id": "o-1", "sku": "tea", "qty": 1, "amount": "1.00"}
    done = subprocess.run(
        [sys.executable, tmp_path / "order.py", "--log-level", "info"],
        input=json.dumps(given),
        env={**os.environ, "ORDERS_URL": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout)["outcome"] == "compensated"
    *logged, told = done.stderr.splitlines()
    assert told.startswith("order.saga:58: compensated with NotSent: ")
    lines = [line.partition("sagalang.")[2] for line in logged]
    assert lines[0] == "saga  o-1: saga PlaceOrder begins"
    assert lines[-1] == "saga  o-1: compensated with NotSent"
    assert any(line.startswith("call  o-1: Orders.create: again in ") for line in lines)


def test_an_observer_that_fails_is_logged_once_and_stops_neither_saga_nor_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[j.Entry] = []

    def broken(entry: j.Entry) -> None:
        raise ValueError(f"about {entry}")

    entries = observe(observers(broken, seen.append), "Payment.charge unavailable, 4 times")
    assert list(entries) == seen
    assert isinstance(seen[-1], j.SagaFinished)
    (failed,) = [r for r in caplog.records if r.name == "sagalang.observer"]
    assert "ValueError in " in failed.getMessage()
    assert CARD not in failed.getMessage()
