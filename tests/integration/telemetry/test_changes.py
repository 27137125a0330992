"""The trace of a change: from the span in which a row was written to the spans of what that set off."""

import pytest
from django.db import connection, transaction

from pgknowbase.agents import TestModel
from pgknowbase.capture import tracing
from pgknowbase.core.telemetry import current_traceparent
from pgknowbase.models import ChangeTrace, OutboxEvent, ReactionEvent
from pgknowbase.testing import drain
from tests.projects.blog.models import Article
from tests.projects.newsroom.agents import reviewer
from tests.projects.newsroom.models import Wire

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def traced(index, set_telemetry):
    """Changes carry their traces, as after a migrate, on a connection as a new one is."""
    set_telemetry(TRACE_CHANGES=True)
    tracing.follow_settings("default")
    tracing.wrap_statements(connection)
    yield index
    connection.execute_wrappers.remove(tracing.carry_trace)
    set_telemetry(TRACE_CHANGES=False)
    tracing.follow_settings("default")


def linked(span):
    return {link.context.span_id for link in span.links}


def span_id(span):
    return span.get_span_context().span_id


def test_relay_and_vectorizer_are_linked_with_the_save(traced, spans):
    saves = []
    for title in ("one", "two"):
        with spans.tracer.start_as_current_span("save") as save:
            Article.objects.create(title=title, body="near 0.9")
            saves.append(span_id(save))
    Article.objects.create(title="untraced", body="near 0.8")
    assert OutboxEvent.objects.filter(traceparent=None).count() == 1
    traced()
    assert linked(spans.named("pgknowbase.relay")[0]) == set(saves)
    assert linked(spans.one("pgknowbase.vectorizer")) == set(saves)
    assert not ChangeTrace.objects.exists()
    # What is not embedded leaves nothing behind.
    with spans.tracer.start_as_current_span("save"):
        Article.objects.update(year=2021)
        Article.objects.filter(title="two").delete()
    traced()
    assert not ChangeTrace.objects.exists()


@pytest.mark.parametrize("how", ["create", "bulk_create", "update", "delete", "atomic", "raw", "many", "returning"])
def test_each_way_to_write_carries_the_span(traced, spans, how):
    row = Article.objects.create(title="before", body="near 0.9")
    OutboxEvent.objects.all().delete()
    with spans.tracer.start_as_current_span("save"):
        traceparent = current_traceparent()
        if how == "create":
            made = Article.objects.create(title="x", body="near 0.5")
            assert Article.objects.get(pk=made.pk).title == "x"
        elif how == "bulk_create":
            made = Article.objects.bulk_create([Article(title=str(n), body="near 0.5") for n in range(3)])
            assert all(each.pk for each in made)
        elif how == "update":
            assert Article.objects.filter(pk=row.pk).update(title="after") == 1
        elif how == "delete":
            assert row.delete()[0] == 1
        elif how == "atomic":
            with transaction.atomic():
                row.title = "after"
                row.save()
        else:
            with connection.cursor() as cursor:
                if how == "many":
                    cursor.executemany("UPDATE blog_article SET title = %s WHERE id = %s", 2 * [("a", row.pk)])
                else:
                    returning = "RETURNING title" if how == "returning" else ""
                    cursor.execute(f"UPDATE blog_article SET title = %s WHERE id = %s {returning}", ["100%", row.pk])
                    assert cursor.rowcount == 1
                    assert not returning or cursor.fetchone() == ("100%",)
    found = set(OutboxEvent.objects.values_list("traceparent", flat=True))
    assert found == {traceparent}
    Article.objects.create(title="later", body="near 0.9")
    assert OutboxEvent.objects.order_by("-id")[0].traceparent is None


def test_nothing_is_carried_where_it_is_off(index, spans):
    with spans.tracer.start_as_current_span("save"):
        Article.objects.create(title="x", body="near 0.9")
        with connection.cursor() as cursor:
            cursor.execute("SET pgknowbase.traceparent = '00-1'")
            try:
                Article.objects.create(title="y", body="near 0.9")
            finally:
                cursor.execute("RESET pgknowbase.traceparent")
    assert set(OutboxEvent.objects.values_list("traceparent", flat=True)) == {None}
    index()
    assert not spans.named("pgknowbase.relay")[0].links


def test_garbage_in_the_setting_is_no_link(traced, spans):
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("SET LOCAL pgknowbase.traceparent = 'nonsense; DROP'")
        Article.objects.create(title="x", body="near 0.9")
    assert OutboxEvent.objects.get().traceparent == "nonsense; DROP"
    traced()
    assert not spans.named("pgknowbase.relay")[0].links
    assert not spans.one("pgknowbase.vectorizer").links


def test_agent_that_a_change_set_off(traced, spans, monkeypatch):
    """The reaction is linked with the save, and the agent is its child."""
    monkeypatch.setattr(reviewer, "model", TestModel(custom_output_args={"summary": "short", "score": 0.5}))
    ReactionEvent.objects.all().delete()
    with spans.tracer.start_as_current_span("save") as save:
        Wire.objects.create(text="a confidential wire")
    drain()
    (reaction,) = [each for each in spans.exporter.get_finished_spans() if each.name.startswith("pgknowbase.reaction ")]
    assert linked(reaction) == {span_id(save)}
    agent = spans.one("invoke_agent reviewer")
    assert agent.parent.span_id == reaction.context.span_id
    assert Wire.objects.get().summary == "short"
    assert "confidential" not in spans.text()
