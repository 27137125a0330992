"""What rendering costs is kept per model, and a hook that queries per row is told."""

import pytest
from django.db import transaction

from pgknowbase.models import OutboxEvent, RenderCost
from pgknowbase.relay import hook_costs
from pgknowbase.relay.hook_costs import rendering_costs
from pgknowbase.relay.relay import Relay
from tests.projects.blog.models import Article, Category, Note

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def empty_outbox(transactional_db):
    OutboxEvent.objects.all().delete()


def articles(count):
    category = Category.objects.create(name="c")
    Article.objects.bulk_create([Article(title=str(number), category=category) for number in range(count)])


def test_hook_that_queries_per_row(monkeypatch, caplog):
    monkeypatch.setattr(Article, "get_external_queryset", classmethod(lambda cls: cls._base_manager.all()))
    for _ in range(2):
        articles(10)
        Relay().run_once()
    (told,) = [record.message for record in caplog.records if "statements per row" in record.message]
    assert told.startswith("get_external_content of blog.Article runs 1.0 statements per row")
    assert "get_external_queryset()" in told
    (cost,) = rendering_costs("default")
    assert (cost["source"], cost["rows"], cost["querying_hook"]) == ("blog.Article", 10, "get_external_content")
    assert (cost["querying_statements"], cost["statements_per_row"]) == (1.0, 1.1)


def test_rows_loaded_in_bulk_are_no_slow_habit(caplog):
    articles(10)
    Relay().run_once()
    assert "statements per row" not in caplog.text
    (cost,) = rendering_costs("default")
    assert (cost["querying_hook"], cost["statements_per_row"]) == ("", 0.1)
    assert cost["ms_per_row"] > 0


def test_slowest_hook_is_named(monkeypatch):
    def slow(row):
        return str(sum(range(3_000_000)))

    monkeypatch.setattr(Note, "get_external_description", slow)
    Note.notes.create(text="a")
    Relay().run_once()
    (cost,) = rendering_costs("default")
    assert cost["slowest_hook"] == "get_external_description"
    assert 0.2 < cost["slowest_share"] <= 1


def test_written_now_and_then(monkeypatch):
    for _ in range(3):
        Note.notes.create(text="a")
        Relay().run_once()
    assert RenderCost.objects.get().rows == 1
    monkeypatch.setattr(hook_costs, "WRITE_INTERVAL", 0.0)
    Note.notes.create(text="a")
    Relay().run_once()
    assert RenderCost.objects.get().rows == 4


def test_old_figures_fade(monkeypatch):
    monkeypatch.setattr(hook_costs, "WRITE_INTERVAL", 0.0)
    Note.notes.create(text="a")
    Relay().run_once()
    RenderCost.objects.update(rows=200_000, seconds=200.0, statements=400_000)
    Note.notes.create(text="a")
    Relay().run_once()
    cost = RenderCost.objects.get()
    assert (cost.rows, cost.statements) == (100_001, 200_001)


def test_rolled_back_rendering_counts_for_nothing():
    note = Note.notes.create(text="a")
    with transaction.atomic():
        note.sync_to_external_data()
        transaction.set_rollback(True)
    assert not RenderCost.objects.exists()


def test_workers_do_not_wait_for_each_other(monkeypatch):
    """The figures are written after the batch's commit, so a locked row holds up no object."""
    from django.db import connections

    monkeypatch.setattr(hook_costs, "WRITE_INTERVAL", 0.0)
    Note.notes.create(text="a")
    Relay().run_once()
    other = connections.create_connection("default")
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor, transaction.atomic():
            cursor.execute("UPDATE pgknowbase_render SET rows = rows")
            Note.notes.create(text="b")
            assert Relay().run_once().report.created == 1
            other.rollback()
    finally:
        other.close()
    assert RenderCost.objects.get().rows == 2
