"""OpenTelemetry, where it is installed and set up; else nothing happens and nothing is imported.

    with observing() as observed:
        engine = MemoryEngine(..., observer=observers(log, *observed))

Only the API is used (the extra `otel`). Which SDK and which exporters is the program's business,
or that of the `OTEL_…` variables.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from sagalang.runtime.observers import Observer

logger: Final = logging.getLogger("sagalang.telemetry")

Headers = tuple[tuple[str, str], ...]
Begun = tuple[Headers, Callable[[], None]]
"""The headers of a span that is now current, and what makes it current no longer."""

UNDER_WAY: ContextVar[Callable[[], Begun] | None] = ContextVar("sagalang_under_way", default=None)
"""Begins the span of the attempt that this task is making. An engine records that an attempt
starts in the task that then makes it, so the transport finds here what the observer left."""

_SIGNS: Final = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_CONFIG_FILE",
)
"""Variables that ask for telemetry (opentelemetry.io, SDK environment variables)."""


@contextmanager
def observing(environ: Mapping[str, str] = os.environ) -> Iterator[tuple[Observer, ...]]:
    """The observers that make spans and metrics; none where nobody set OpenTelemetry up.

    It is set up if the program has set a tracer provider, or if a variable such as
    `OTEL_TRACES_EXPORTER` asks for one: then the SDK is set up as those variables say. At the
    end, spans of runs that were left in the middle are ended.
    """
    if not _is_set_up(environ):
        yield ()
        return
    from sagalang.runtime.telemetry_metrics import Metrics
    from sagalang.runtime.telemetry_spans import Spans

    spans = Spans()
    try:
        yield (spans, Metrics())
    finally:
        spans.close()


@contextmanager
def sending() -> Iterator[Headers]:
    """For a transport, around the sending of one attempt: its span is current inside.

    Gives the headers that carry the trace to the service (W3C Trace Context, or what
    `OTEL_PROPAGATORS` says); none without telemetry. An attempt that never gets here, because a
    protection refused it, has no span of its own.
    """
    begin = UNDER_WAY.get()
    if begin is None:
        yield ()
        return
    headers, end = begin()
    try:
        yield headers
    finally:
        end()


def _is_set_up(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if "opentelemetry.trace" in sys.modules and _has_provider():
        return True
    if not any(environ.get(name) for name in _SIGNS):
        return False
    try:
        return _has_provider() or _set_up()
    except ImportError:
        return False
    except Exception as error:
        # Its text may show a header or a URL of the variables.
        logger.warning(
            "no telemetry, OpenTelemetry cannot be set up (%s): check the OTEL_… variables",
            type(error).__name__,
        )
        return False


def _has_provider() -> bool:
    from opentelemetry import trace

    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _set_up() -> bool:
    """As `opentelemetry-instrument` does: by the configurator of an installed distribution, else
    by the SDK's, which is there to be subclassed. Whether there is a provider now."""
    from importlib.metadata import entry_points

    configurators = entry_points(group="opentelemetry_configurator")
    if configurators:
        next(iter(configurators)).load()().configure()
        return _has_provider()
    from opentelemetry.sdk._configuration import _OTelSDKConfigurator

    class Configurator(_OTelSDKConfigurator):
        pass

    Configurator().configure()  # type: ignore[no-untyped-call]
    return _has_provider()
