"""Spans of OpenTelemetry, where the project has set it up. Elsewhere nothing of it is imported, and a span is nothing.

Texts, prompts and the messages of errors are recorded only with ``TELEMETRY["CONTENT"]``.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Self

from pgknowbase import __version__
from pgknowbase.conf import get_settings

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
# Of one batch, which may hold the changes of thousands of requests.
MAX_LINKS = 128


class NoSpan:
    """A span that nobody records."""

    __slots__ = ()
    is_recording = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes."""

    def link(self, traceparents: Iterable[str]) -> None:
        """Link the spans that these W3C trace contexts name."""


class Span(NoSpan):
    """A span, current inside its block. An exception makes it an error, with the name of its class alone."""

    __slots__ = ("_current", "_name", "_options", "_span", "_tracer")

    def __init__(self, tracer: Any, name: str, options: dict[str, Any]) -> None:
        self._tracer, self._name, self._options = tracer, name, options
        self._span: Any = None

    @property
    def is_recording(self) -> bool:  # type: ignore[override]
        """Whether attributes are kept: the trace is sampled."""
        return self._span is not None and bool(self._span.is_recording())

    def __enter__(self) -> Self:
        self._current = self._tracer.start_as_current_span(
            self._name, record_exception=False, set_status_on_exception=False, **self._options
        )
        self._span = self._current.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if (error := exception[1]) is not None:
            trace = sys.modules["opentelemetry.trace"]
            self._span.set_attribute("error.type", type(error).__name__)
            self._span.set_status(trace.Status(trace.StatusCode.ERROR))
            if get_settings().telemetry.content:
                self._span.record_exception(error)
        self._current.__exit__(*exception)

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes; those that are None are left out."""
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name, value)

    def link(self, traceparents: Iterable[str]) -> None:
        """Link the spans that these W3C trace contexts name, up to ``MAX_LINKS``; what is none is left out."""
        for traceparent in list(dict.fromkeys(traceparents))[:MAX_LINKS]:
            if (context := _context_of(traceparent)) is not None:
                self._span.add_link(context)


NO_SPAN = NoSpan()


def span(
    name: str, attributes: Mapping[str, Any] | None = None, *, parent: Any = None, started: int | None = None
) -> NoSpan:
    """A span for a ``with`` block.

    Args:
        name: in words of few values, such as the name of an operation.
        attributes: without those that are None.
        parent: what ``current_context`` has returned in another thread.
        started: in nanoseconds, as ``time.time_ns()`` tells them, for what turns out to be worth a span at its end.

    >>> with span("pgknowbase.relay") as made:
    ...     made.set({"pgknowbase.events": 3})
    """
    provider = active_provider()
    if provider is None:
        return NO_SPAN
    known = {key: value for key, value in (attributes or {}).items() if value is not None}
    return Span(_tracer(provider), name, {"attributes": known, "context": parent, "start_time": started})


def active_provider() -> Any:
    """The tracer provider that the project has set up; None where there is none."""
    # A project that sets one has imported this.
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


@lru_cache(maxsize=1)
def _tracer(provider: Any) -> Any:
    return provider.get_tracer("pgknowbase", __version__)


def current_context() -> Any:
    """What makes spans of other threads children of this thread's span; None where nothing is recorded."""
    return None if active_provider() is None else sys.modules["opentelemetry.context"].get_current()


def current_traceparent() -> str:
    """The current span as a W3C trace context; '' where none is sampled."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return ""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _context_of(traceparent: str) -> Any:
    found = TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace: Any = sys.modules["opentelemetry.trace"]
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    context = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))
    return context if context.is_valid else None
