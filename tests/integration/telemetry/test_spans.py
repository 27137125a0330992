"""Spans of searches, embeddings, agents and the worker, as the SDK's exporter in memory gets them."""

import subprocess
import sys

import pytest
from asgiref.sync import async_to_sync
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from pgknowbase.agents import DjangoAgent, DjangoDeps
from pgknowbase.core import telemetry
from pgknowbase.embeddings import query_vectors
from pgknowbase.errors import RetryableEmbeddingError, SearchError
from pgknowbase.models import ExternalData
from pgknowbase.testing import ChatProvider, ToolCall
from pgknowbase.worker import Worker
from tests.integration.search.conftest import QUERY
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db


@pytest.fixture
def library(index):
    for near in (0.9, 0.8):
        Article.objects.create(title=f"secret {near}", body=f"near {near}", year=2020)
    index()
    query_vectors._embedded.cache_clear()


def test_search(library, spans):
    found = list(Article.objects.filter(year=2020).semantic_search(QUERY, limit=5))
    assert len(found) == 2
    search = spans.one("retrieval pgknowbase")
    assert search.attributes == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.request.top_k": 5,
        "db.system.name": "postgresql",
        "db.namespace": search.attributes["db.namespace"],
        "pgknowbase.search.mode": "dense",
        "pgknowbase.search.plan": "exact_filtered",
        "pgknowbase.search.statements": 1,
        "db.response.returned_rows": 2,
    }
    embedding = spans.one("embeddings wordllama-256")
    assert embedding.parent.span_id == search.context.span_id
    assert embedding.attributes["gen_ai.operation.name"] == "embeddings"
    assert embedding.attributes["pgknowbase.embedding.texts"] == 1
    assert embedding.attributes["gen_ai.embeddings.dimension.count"] == 256
    assert embedding.attributes["gen_ai.usage.input_tokens"] > 0
    for mode, plan in (("keyword", "words_all"), ("hybrid", "exact_index+words_all")):
        spans.exporter.clear()
        list(ExternalData.objects.search(QUERY, mode=mode, limit=3))
        search = spans.one("retrieval pgknowbase")
        assert (search.attributes["pgknowbase.search.mode"], search.attributes["pgknowbase.search.plan"]) == (
            mode,
            plan,
        )


def test_search_that_fails(library, spans, provider):
    provider.vector = lambda text: (_ for _ in ()).throw(RetryableEmbeddingError(f"down while asked for {text}"))
    with pytest.raises(RetryableEmbeddingError):
        list(Article.objects.semantic_search("a hidden question"))
    for name in ("retrieval pgknowbase", "embeddings wordllama-256"):
        span = spans.one(name)
        assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "RetryableEmbeddingError")
    assert "hidden" not in spans.text()


def test_texts_are_recorded_only_if_asked(library, spans, set_telemetry):
    list(ExternalData.objects.search("near 1.0 confidential", limit=3))
    assert "confidential" not in spans.text()
    set_telemetry(CONTENT=True)
    list(ExternalData.objects.search("near 1.0 confidential", limit=3))
    assert spans.named("retrieval pgknowbase")[-1].attributes["gen_ai.retrieval.query.text"] == "near 1.0 confidential"


def test_worker(index, spans):
    Article.objects.create(title="secret", body="near 0.9")
    spans.exporter.clear()
    index()
    relay, batch = spans.named("pgknowbase.relay")[0], spans.one("pgknowbase.vectorizer")
    assert relay.attributes["pgknowbase.relay.step"] == "events"
    assert relay.attributes["pgknowbase.relay.changes"] == 1
    assert relay.attributes["pgknowbase.objects.created"] == 1
    assert batch.attributes["pgknowbase.documents.written"] == batch.attributes["pgknowbase.documents.embedded"] == 1
    embedding = spans.named("embeddings wordllama-256")[-1]
    assert embedding.context.trace_id == batch.context.trace_id
    assert "secret" not in spans.text()
    spans.exporter.clear()
    index()  # nothing is to be done, and nothing is told
    assert spans.names() == []


def test_words(spans, index):
    Article.objects.create(title="secret", body="near 0.9")
    spans.exporter.clear()
    Worker().run_until_idle()
    words = spans.one("pgknowbase.keywords")
    assert words.attributes["pgknowbase.documents.refreshed"] == 1
    assert spans.one("pgknowbase.relay").end_time <= words.start_time < words.end_time
    spans.exporter.clear()
    Worker().run_until_idle()
    assert spans.names() == []


def test_calls_in_threads_belong_to_their_batch(spans, index, provider):
    for number in range(150):
        Article.objects.create(title=str(number), body=f"near 0.{number + 100}")
    index()
    batches = {span.context.span_id for span in spans.named("pgknowbase.vectorizer")}
    calls = spans.named("embeddings wordllama-256")
    assert len(calls) >= 3
    assert {call.parent.span_id for call in calls} <= batches


@pytest.fixture
def agent(settings):
    with ChatProvider() as provider:
        keys = {"PROVIDERS": {"local": provider.settings()}, "MODEL": "local:any", "RETRY": {"DELAY": 0.01}}
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": keys}
        agent = DjangoAgent(name="teller", register=False, instructions="a confidential instruction")
        agent.tool_plain(lambda word: f"confidential {word}", name="look_up")
        provider.say(ToolCall("look_up", {"word": "hush"}), "a confidential answer")
        yield agent


@pytest.mark.django_db(transaction=True)
def test_agent_and_its_tools(spans, agent, users, set_telemetry):
    """The spans are pydantic-ai's own, by the conventions for generative AI."""
    deps = DjangoDeps.from_user(users["ann"])
    with spans.tracer.start_as_current_span("request") as request:
        async_to_sync(agent.run)("a confidential prompt", deps=deps)
    run, tool = spans.one("invoke_agent teller"), spans.one("execute_tool look_up")
    assert run.parent.span_id == request.get_span_context().span_id
    assert run.attributes["gen_ai.agent.name"] == "teller"
    assert tool.attributes["gen_ai.tool.name"] == "look_up"
    assert len(spans.named("chat any")) == 2
    assert {span.context.trace_id for span in spans.exporter.get_finished_spans()} == {run.context.trace_id}
    for text in ("confidential", "hush"):
        assert text not in spans.text()
    set_telemetry(CONTENT=True)
    async_to_sync(agent.run)("a confidential prompt", deps=deps)
    assert "a confidential prompt" in spans.text()


@pytest.mark.django_db(transaction=True)
def test_stream_of_an_agent(spans, agent, users):
    async def read():
        return [piece async for piece in agent.stream("a confidential prompt", deps=DjangoDeps.from_user(users["ann"]))]

    assert "".join(async_to_sync(read)()) == "a confidential answer"
    assert spans.one("invoke_agent teller")
    assert "confidential" not in spans.text()


def test_trace_that_is_not_sampled(monkeypatch, spans, library, django_assert_num_queries):
    monkeypatch.setattr(telemetry.active_provider(), "sampler", ALWAYS_OFF)
    list(Article.objects.semantic_search(QUERY))  # the tracer keeps the sampler that it was made with
    with telemetry.span("x") as span:
        span.set({"a": None, "b": 1})
    assert telemetry.current_traceparent() == ""


def test_links(spans):
    with spans.tracer.start_as_current_span("save"):
        traceparent = telemetry.current_traceparent()
    with telemetry.span("batch") as batch:
        batch.link([traceparent, traceparent, "", "nonsense", f"00-{'0' * 32}-{'0' * 16}-01"])
    (link,) = spans.one("batch").links
    assert link.context.span_id == spans.one("save").context.span_id
    with telemetry.span("large batch") as batch:
        batch.link(f"00-{number:032x}-{1:016x}-01" for number in range(1, 1000))
    assert len(spans.one("large batch").links) == telemetry.MAX_LINKS


WITHOUT = """
import sys
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.postgres", "pgtrigger",
                    "pgknowbase", "pgknowbase.api"],
    PGKNOWBASE={"EMBEDDINGS": {"default": {
        "BACKEND": "pgknowbase.embeddings.StaticEmbedder", "MODEL": "wordllama-256", "DIMENSIONS": 256}}},
)
import django
django.setup()
import pgknowbase.api.metrics, pgknowbase.search.service, pgknowbase.worker.loop
from pgknowbase.core.telemetry import NO_SPAN, current_context, current_traceparent, span
assert span("x", {"a": 1}) is NO_SPAN
with span("x") as made:
    made.set({"a": 1})
    made.link(["x"])
assert (current_context(), current_traceparent()) == (None, "")
sys.exit([name for name in sys.modules if name.startswith("opentelemetry")] or 0)
"""


def test_nothing_is_imported_where_it_is_not_set_up():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.returncode == 0, done.stderr


def test_searches_without_it_record_no_plan(library, set_telemetry, django_assert_num_queries):
    with django_assert_num_queries(1):
        list(Article.objects.semantic_search(QUERY))
    with pytest.raises(SearchError):
        list(Article.objects.semantic_search(""))
