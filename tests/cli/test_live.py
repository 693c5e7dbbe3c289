"""What `saga run` shows of retries, protections and replays, while it runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import warm

from sagalang.cli.live import Live
from sagalang.machine.events import Place, Purpose
from sagalang.runtime import journal as j

SAGA = Path(sys.executable).parent / "saga"

TEXT = """
policy edge {
  timeout 200ms
  retry 3 times backoff 20ms jitter none "one client"
  breaker opens at 50% of at least 3 calls in 10s, probes after 300ms
}
policy stubborn extends edge { retry forever backoff 50ms jitter none "one client" }
service Payment {
  http "https://pay.internal"
  with edge
  command charge(order: string)
    POST "/charges"
    keyed
    compensate refund(key)
  command refund(of: key)
    DELETE "/charges/{of}"
    idempotent, absent ok, fences late
  command close(order: string)
    POST "/closings"
    idempotent
}
saga Pay(order: string) {
  id order
  deadline 1h
  compensate with stubborn
  step Payment.charge(order)
  pivot step Payment.close(order) with stubborn
}
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return warm.run("saga", *arguments(folder, *options), cwd=folder)


def arguments(folder: Path, *options: str) -> list[str]:
    (folder / "pay.saga").write_text(TEXT)
    return ["run", "pay.saga", "--mock", "--input", '{"order": "o-1"}', *options]


def shown(text: str) -> list[str]:
    """The lines without times, which differ from run to run."""
    without = re.sub(r" {2,}\d+(\.\d)? m?s(?=$|  )", "", text, flags=re.MULTILINE)
    return [re.sub(r"\d+(\.\d)? m?s", "T", re.sub(r" {2,}", "  ", x)) for x in without.splitlines()]


def test_a_breaker_is_seen_to_open_probe_and_close(tmp_path: Path) -> None:
    result = run(tmp_path, "--fault", "Payment.charge unavailable, always")
    assert result.returncode == 1
    assert shown(result.stderr)[1:] == [
        "  waiting  Payment.charge  attempt 1: Unavailable; again in T",
        "  waiting  Payment.charge  attempt 2: Unavailable; again in T",
        "  open  breaker Payment  calls are refused; a probe after T",
        "  waiting  Payment.charge  attempt 3: Unavailable; again in T",
        "  unknown  Payment.charge  CircuitOpen; attempt 4: the breaker is open",
        "  abort  CircuitOpen  undoing what was done",
        "  waiting  Payment.refund  attempt 1: the breaker is open; again in T",
        "  half-open  breaker Payment  one probe",
        "  closed  breaker Payment  calls pass again",
        "  undone  Payment.refund",
    ]


def test_what_is_retried_forever_through_an_open_breaker_ends_when_the_service_is_back(
    tmp_path: Path,
) -> None:
    result = run(tmp_path, "--fault", "Payment.close unavailable, 4 times")
    assert result.returncode == 0
    assert result.stdout.startswith("completed")
    lines = shown(result.stderr)
    assert "  open  breaker Payment  still failing; a probe after T" in lines
    assert lines[-1] == "  ok  Payment.close"


def test_a_service_that_knew_the_key_is_named(tmp_path: Path) -> None:
    result = run(tmp_path, "--fault", "Payment.charge times out after effect")
    assert "  ok  Payment.charge  the service knew the key" in shown(result.stderr)
    assert result.stdout.startswith("completed")


def test_a_log_takes_the_place_of_the_live_view(tmp_path: Path) -> None:
    options = ("--log-level", "info", "--format", "json")
    result = run(tmp_path, *options, "--fault", "Payment.charge unavailable, always")
    assert json.loads(result.stdout)["outcome"]["error"] == "CircuitOpen"
    lines = result.stderr.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \S+ (INFO|WARNING) +sagalang\.", line) for line in lines)
    assert any("the breaker of Payment is open: calls are refused" in line for line in lines)
    assert "http" not in result.stderr.lower(), "other libraries log URLs, and those hold arguments"


def test_spans_of_a_run_go_where_the_variables_say(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    # From nothing: they are written when the interpreter ends.
    result = subprocess.run(
        [SAGA, *arguments(tmp_path, "--format", "json")],
        cwd=tmp_path,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "console"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for name in ("saga Pay", "step Payment.charge", "Payment.close"):
        assert f'"name": "{name}"' in result.stdout


# --- Without a run -------------------------------------------------------------------------------

COMMON = {
    "saga_id": "o-1",
    "place": Place("reserve", (("for", "sku\x1b[2J"),)),
    "purpose": Purpose.STEP,
    "label": "Stock.reserve",
    "key": None,
}


def lines(capsys: pytest.CaptureFixture[str], *entries: j.Entry) -> list[str]:
    live = Live()
    for entry in entries:
        live(entry)
    return shown(capsys.readouterr().err)


def test_a_queue_and_a_used_up_budget_are_told_once_each_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = r"Stock.reserve[sku\x1b[2J]"
    assert lines(
        capsys,
        j.Intent(at=0, **COMMON, args=("secret",)),
        j.AttemptStarted(at=0, **COMMON, attempt=1),
        j.Queued(at=0, **COMMON, until=1_000),
        j.AttemptEnded(at=50, **COMMON, attempt=1, kind="unknown", error="Timeout"),
        j.Waiting(at=50, **COMMON, reason="backoff", delay=100, until=150),
        j.Waiting(at=150, **COMMON, reason="retry-budget", delay=100, until=250),
        j.Waiting(at=250, **COMMON, reason="retry-after", delay=100, until=350),
    ) == [
        f"  queued  {name}  too many calls under way; waits at most T",
        f"  waiting  {name}  attempt 1: Timeout; again in T",
        f"  waiting  {name}  attempt 1: Timeout; the retry budget is used up; looks again in T",
        f"  waiting  {name}  attempt 1: Timeout; again in T, as the service asks",
    ]


def test_an_entry_costs_next_to_nothing_when_nobody_listens() -> None:
    """A guard against work that is done before it is known to be wanted; generous, for slow CI."""
    from sagalang.runtime.logs import log

    entry = j.AttemptStarted(at=0, **COMMON, attempt=1)
    began = time.perf_counter()
    for _ in range(10_000):
        log(entry)
    assert (time.perf_counter() - began) / 10_000 < 50e-6
