"""The journal as OpenTelemetry spans and metrics, with the real SDK."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from observed import CARD, ID, START, observe

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from sagalang.machine.events import Place, Purpose
from sagalang.machine.outcomes import Outcome
from sagalang.runtime import journal as j
from sagalang.runtime.contract import Request
from sagalang.runtime.http import HttpService, HttpTransport
from sagalang.runtime.telemetry import Headers, observing, sending
from sagalang.runtime.telemetry_metrics import Metrics
from sagalang.runtime.telemetry_spans import Spans

ERROR, UNSET = StatusCode.ERROR, StatusCode.UNSET


class Collected:
    """Spans that ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.ended if span.name == name]

    def tree(self) -> set[tuple[str, str]]:
        """(span, its parent), by name."""
        names = {s.context.span_id: s.name for s in self.ended if s.context}
        return {(s.name, names[s.parent.span_id] if s.parent else "") for s in self.ended}


@pytest.fixture
def spans() -> Collected:
    return Collected()


def ms(span: ReadableSpan) -> tuple[float, float]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time / 1e6 - START, span.end_time / 1e6 - START


def events(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


# --- Spans -------------------------------------------------------------------------------------


def test_a_run_holds_its_calls_and_they_their_attempts_with_the_times_of_the_journal(
    spans: Collected,
) -> None:
    observe(Spans(spans.provider), "Payment.charge unavailable, 4 times")
    assert spans.tree() == {
        ("saga Pay", ""),
        ("step Payment.charge", "saga Pay"),
        ("Payment.charge", "step Payment.charge"),
        ("compensate Payment.refund", "saga Pay"),
        ("Payment.refund", "compensate Payment.refund"),
    }
    attempts = spans.named("Payment.charge")
    assert [ms(span) for span in attempts] == [(0, 20), (120, 140), (240, 260)]
    assert {span.kind for span in attempts} == {SpanKind.CLIENT}
    assert ms(*spans.named("saga Pay")) == (0, 2_780)
    (step,) = spans.named("step Payment.charge")
    assert (step.attributes or {}).items() >= {
        "saga.service": "Payment",
        "saga.operation": "charge",
        "saga.id": ID,
        "saga.outcome": "unknown",
        "error.type": "CircuitOpen",
    }.items()


def test_retries_breaker_changes_and_refusals_are_events_of_their_call(spans: Collected) -> None:
    observe(Spans(spans.provider), "Payment.charge unavailable, 4 times")
    (step,) = spans.named("step Payment.charge")
    assert events(step) == ["saga.wait", "saga.wait", "saga.breaker", "saga.wait", "saga.refused"]
    refused = step.events[-1]
    assert dict(refused.attributes or {}) == {"saga.error": "CircuitOpen", "saga.attempt": 4}
    assert refused.timestamp == (START + 360) * 1_000_000
    (undo,) = spans.named("compensate Payment.refund")
    assert events(undo) == ["saga.refused", "saga.wait", "saga.breaker", "saga.breaker"]
    assert dict(undo.events[1].attributes or {}) == {
        "saga.reason": "breaker",
        "saga.delay_ms": 2_400,
    }


@pytest.mark.parametrize(
    ("faults", "run", "call", "attempt"),
    [
        ([], UNSET, UNSET, UNSET),
        (["Payment.charge rejects Declined"], UNSET, UNSET, UNSET),
        (["Payment.charge unavailable, 4 times"], ERROR, ERROR, ERROR),
    ],
    ids=["completed", "declined", "unavailable"],
)
def test_a_declared_rejection_is_an_answer_and_no_error(
    spans: Collected, faults: list[str], run: StatusCode, call: StatusCode, attempt: StatusCode
) -> None:
    observe(Spans(spans.provider), *faults)
    names = ("saga Pay", "step Payment.charge", "Payment.charge")
    assert [spans.named(name)[0].status.status_code for name in names] == [run, call, attempt]


def test_parallel_calls_and_a_queue_leave_no_span_open(spans: Collected) -> None:
    made = Spans(spans.provider)
    observe(made, saga="Hold")
    assert Counter(s.name for s in spans.ended) == {
        "saga Hold": 1,
        "step Stock.reserve": 3,
        "Stock.reserve": 3,
        "step Mail.note": 1,
        "Mail.note": 1,
    }
    parents = {s.parent.span_id for s in spans.named("Stock.reserve") if s.parent}
    assert len(parents) == 3, "each attempt belongs to a step of its own"
    assert sorted(len(s.events) for s in spans.named("step Stock.reserve")) == [0, 1, 2]
    before = len(spans.ended)
    made.close()
    assert len(spans.ended) == before


def test_a_child_saga_and_its_undoing_belong_to_the_parent(spans: Collected) -> None:
    observe(Spans(spans.provider), "Payment.charge rejects Declined", saga="Trip")
    assert {
        ("saga Night", "saga Trip"),
        ("step Stock.reserve", "saga Night"),
        ("undo saga Night", "saga Trip"),
        ("compensate Stock.free", "undo saga Night"),
    } <= spans.tree()


def test_a_crash_cuts_the_attempt_off_and_the_call_goes_on(spans: Collected) -> None:
    observe(Spans(spans.provider), crash="Payment.charge", around=Sending)
    first, second = spans.named("Payment.charge")
    assert (ms(first), first.status.description) == ((0, 20), "cut off")
    assert (ms(second), second.status.status_code) == ((20, 40), UNSET)
    assert (second.attributes or {})["saga.replayed"] is True
    assert ms(*spans.named("step Payment.charge")) == (0, 40)
    assert events(*spans.named("saga Pay")) == ["saga.restarted"]


def test_a_run_left_in_the_middle_ends_when_the_observer_is_closed(spans: Collected) -> None:
    made = Spans(spans.provider)

    def until_the_breaker_opens(entry: j.Entry) -> None:
        made(entry)
        if isinstance(entry, j.BreakerChanged):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        observe(until_the_breaker_opens, "Payment.charge unavailable, 4 times", around=Sending)
    assert not spans.named("saga Pay")
    made.close()
    assert len(spans.named("Payment.charge")) == 3
    assert spans.named("saga Pay")[0].status.description == "left in the middle"
    assert ms(*spans.named("saga Pay")) == (0, 260)


CHARGE = {
    "saga_id": ID,
    "place": Place("charge"),
    "purpose": Purpose.STEP,
    "label": "Payment.charge",
    "key": None,
}


def test_what_was_sent_when_the_orchestrator_died_ends_there(spans: Collected) -> None:
    made = Spans(spans.provider)
    made(j.SagaStarted(at=START, saga_id=ID, saga="Pay", args={}))
    made(j.AttemptStarted(at=START, **CHARGE, attempt=1))
    with sending():
        assert trace.get_current_span().get_span_context().is_valid
    assert not trace.get_current_span().get_span_context().is_valid
    made(j.Restarted(at=START + 5, saga_id=ID))
    made(j.AttemptStarted(at=START + 50, **CHARGE, attempt=1))
    made(j.AttemptEnded(at=START + 60, **CHARGE, attempt=1, kind="ok"))
    assert [ms(span) for span in spans.named("Payment.charge")] == [(0, 5), (50, 60)]


def test_an_entry_after_the_end_opens_no_span(spans: Collected) -> None:
    made = Spans(spans.provider)
    observe(made)
    before = len(spans.ended)
    made(j.AttemptStarted(at=START + 9_000, **CHARGE, attempt=2))
    made.close()
    assert len(spans.ended) == before


def test_nothing_the_saga_works_with_becomes_an_attribute(spans: Collected) -> None:
    for faults in (
        [],
        ["Payment.charge unavailable, 4 times"],
        ["Payment.charge rejects Declined"],
    ):
        observe(Spans(spans.provider), *faults, saga="Trip")
    assert len(spans.ended) > 20
    assert all(CARD not in span.to_json() for span in spans.ended)


# --- Propagation -------------------------------------------------------------------------------


class Sending:
    """A transport that does what `sending` is for, and keeps what it gave."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.given: list[Headers] = []
        self.current: list[int] = []

    async def call(self, request: Request) -> Outcome:
        with sending() as headers:
            self.given.append(headers)
            self.current.append(trace.get_current_span().get_span_context().span_id)
            answer: Outcome = await self.inner.call(request)
            return answer

    async def aclose(self) -> None:
        pass


def test_each_attempt_carries_its_own_span_to_the_service(spans: Collected) -> None:
    sent: list[Sending] = []

    def around(transport: Any) -> Sending:
        sent.append(Sending(transport))
        return sent[0]

    observe(Spans(spans.provider), "Payment.charge unavailable, 4 times", around=around)
    carried = [dict(headers)["traceparent"][:-3] for headers in sent[0].given]
    clients = [s.context for s in spans.ended if s.kind is SpanKind.CLIENT and s.context]
    assert carried == [f"00-{c.trace_id:032x}-{c.span_id:016x}" for c in clients]
    assert sent[0].current == [c.span_id for c in clients]
    assert not trace.get_current_span().get_span_context().is_valid


def test_without_telemetry_nothing_is_carried() -> None:
    sent: list[Sending] = []

    def around(transport: Any) -> Sending:
        sent.append(Sending(transport))
        return sent[0]

    observe(lambda entry: None, around=around)
    assert set(sent[0].given) == {()}


def test_a_run_within_a_request_is_part_of_its_trace(spans: Collected) -> None:
    with spans.provider.get_tracer("app").start_as_current_span("request"):
        observe(Spans(spans.provider))
    assert ("saga Pay", "request") in spans.tree()


@contextlib.asynccontextmanager
async def listening(seen: list[str]) -> AsyncIterator[str]:
    """A service that answers 204 and keeps the `traceparent` of its requests."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        lines = [line.partition(": ") for line in head.split("\r\n")]
        seen.extend(value for name, _, value in lines if name.lower() == "traceparent")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_a_service_over_http_receives_the_span_of_the_attempt(spans: Collected) -> None:
    from random import random

    from observed import loaded

    from sagalang.interpret.run import run
    from sagalang.runtime.clock import SystemClock
    from sagalang.runtime.engine import MemoryEngine
    from sagalang.runtime.values import Values

    made = loaded(
        'service Mail { http "http://x.example" command note(order: string) POST "/notes"'
        " idempotent }\n"
        "saga Tell(order: string) { id order pivot step Mail.note(order) }\n"
    )
    seen: list[str] = []

    async def main() -> None:
        async with listening(seen) as url:
            transport = HttpTransport({"Mail": HttpService(url)})
            engine = MemoryEngine(SystemClock(), transport, random, Spans(spans.provider))
            values = Values(made.program)
            await run(made.program, "Tell", {"order": ID}, engine=engine, values=values)
            await transport.aclose()

    asyncio.run(main())
    (attempt,) = spans.named("Mail.note")
    assert attempt.context is not None
    context = attempt.context
    assert [s[:-3] for s in seen] == [f"00-{context.trace_id:032x}-{context.span_id:016x}"]


# --- Metrics -----------------------------------------------------------------------------------


def measured(*faults: str, **options: Any) -> dict[str, dict[tuple[str, ...], Any]]:
    """Metric to attribute values to number (a histogram's: count and sum)."""
    reader = InMemoryMetricReader()
    observe(Metrics(MeterProvider([reader])), *faults, **options)
    found: dict[str, dict[tuple[str, ...], Any]] = {}
    data = reader.get_metrics_data()
    assert data is not None
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            values = tuple(str(v) for v in (point.attributes or {}).values())
            number = getattr(point, "value", None)
            if number is None:
                number = (point.count, round(point.sum, 3))  # type: ignore[union-attr]
            found.setdefault(metric.name, {})[values] = number
    return found


def test_attempts_retries_refusals_breakers_and_runs_are_counted() -> None:
    found = measured("Payment.charge unavailable, 4 times")
    assert found == {
        "saga.attempts": {
            ("Payment", "charge", "unknown", "Unavailable"): 3,
            ("Payment", "refund", "ok"): 1,
        },
        "saga.attempt.duration": {
            ("Payment", "charge", "unknown", "Unavailable"): (3, 0.06),
            ("Payment", "refund", "ok"): (1, 0.02),
        },
        "saga.retries": {
            ("Payment", "charge", "backoff"): 3,
            ("Payment", "refund", "breaker"): 1,
        },
        "saga.refusals": {
            ("Payment", "charge", "breaker"): 1,
            ("Payment", "refund", "breaker"): 1,
        },
        "saga.breaker.changes": {
            ("Payment", "open"): 1,
            ("Payment", "half-open"): 1,
            ("Payment", "closed"): 1,
        },
        "saga.breaker.state": {
            ("Payment", "open"): 0,
            ("Payment", "half-open"): 0,
            ("Payment", "closed"): 1,
        },
        "saga.runs": {("Pay", "compensated", "CircuitOpen"): 1},
    }


def test_bulkhead_and_retry_budget_refuse_too() -> None:
    found = measured("Mail.note unavailable, 2 times", saga="Hold")
    assert found["saga.refusals"] == {
        ("Stock", "reserve", "bulkhead"): 1,
        ("Mail", "note", "retry-budget"): 3,
    }
    assert found["saga.retries"] == {
        ("Stock", "reserve", "backoff"): 1,
        ("Mail", "note", "backoff"): 1,
        ("Mail", "note", "retry-budget"): 1,
    }


def test_a_child_that_is_undone_is_counted_once() -> None:
    found = measured("Payment.charge rejects Declined", saga="Trip")
    assert found["saga.runs"] == {
        ("Night", "completed"): 1,
        ("Trip", "compensated", "Declined"): 1,
    }


# --- Switching on ------------------------------------------------------------------------------


def test_nothing_is_imported_where_nobody_asked_for_telemetry() -> None:
    code = (
        "import sys\nfrom sagalang.runtime.telemetry import observing, sending\n"
        "with observing({}) as observed, sending() as headers: print(observed, headers)\n"
        "print('opentelemetry' in str(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["()", "()", "False"]


@pytest.mark.parametrize(
    ("asked", "blocked", "observers"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, False, "2"),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"}, False, "0"),
        ({"OTEL_TRACES_EXPORTER": "console"}, True, "0"),
        ({"OTEL_TRACES_EXPORTER": "nonsense"}, False, "0"),
    ],
    ids=["asked for", "disabled", "not installed", "not right"],
)
def test_variables_switch_it_on_and_a_mistake_in_them_stops_nothing(
    asked: dict[str, str], blocked: bool, observers: str
) -> None:
    block = "import sys; sys.modules['opentelemetry'] = None\n" if blocked else ""
    code = f"{block}from sagalang.runtime.telemetry import observing\n"
    code += "with observing() as observed: print(len(observed))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **asked},
    )
    assert done.stdout.split() == [observers]
    complaint = "check the OTEL_… variables" in done.stderr
    assert complaint is (asked["OTEL_TRACES_EXPORTER"] == "nonsense")


def test_a_provider_that_the_program_set_switches_it_on() -> None:
    code = (
        "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider\n"
        "trace.set_tracer_provider(TracerProvider())\n"
        "from sagalang.runtime.telemetry import observing\n"
        "with observing({}) as observed: print(len(observed))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2"]


def test_with_the_api_alone_nothing_is_recorded_and_nothing_fails() -> None:
    with observing({}) as observed:
        assert observed == ()
    entries = observe(Spans(), "Payment.charge unavailable, 4 times")
    assert isinstance(entries[-1], j.SagaFinished)
