import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.integration.api.conftest import users  # noqa: F401
from tests.integration.search.conftest import index, provider  # noqa: F401


class Spans:
    """What was exported, and a tracer of the project's own."""

    def __init__(self, exporter, tracer):
        self.exporter, self.tracer = exporter, tracer

    def named(self, name):
        return [each for each in self.exporter.get_finished_spans() if each.name == name]

    def one(self, name):
        (found,) = self.named(name)
        return found

    def names(self):
        return [each.name for each in self.exporter.get_finished_spans()]

    def text(self):
        return "".join(each.to_json() for each in self.exporter.get_finished_spans())


@pytest.fixture
def spans(monkeypatch):
    """OpenTelemetry, set up as a project does it, for one test: the SDK allows no second provider in a process."""
    exporter, traces = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    traces.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", traces)
    yield Spans(exporter, traces.get_tracer("project"))
    traces.shutdown()


@pytest.fixture
def set_telemetry(settings):
    """Set keys of PGKNOWBASE["TELEMETRY"]."""

    def change(**keys):
        kept = settings.PGKNOWBASE.get("TELEMETRY", {})
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "TELEMETRY": {**kept, **keys}}

    return change
