"""The ledger says what the provider's own books say."""

import csv
import io
import json
import threading
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from pgknowbase.conf import use_database
from pgknowbase.costs.calls import Call
from pgknowbase.costs.ledger import UsageFold, add_entries, query_usage
from pgknowbase.costs.report import DIMENSIONS, cost_report
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.query_vectors import _embedded
from pgknowbase.models import DailyUsage, KeptVector, UsageEntry
from pgknowbase.testing import make_due
from pgknowbase.testing.provider import Fault
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db(transaction=True)


def total(kind="embedding"):
    return {row.name: row for row in cost_report("default", by="kind").rows}[kind]


def fold():
    UsageFold("default").run_if_due()


def costs(*arguments):
    out = io.StringIO()
    call_command("pgknowbase_costs", *arguments, stdout=out)
    return out.getvalue()


def test_entries_agree_with_the_books(provider, work):
    Note.notes.bulk_create(Note(text=f"A note number {n} " * (n % 7 + 1)) for n in range(50))
    work()
    row = total()
    assert (row.calls, row.texts, row.tokens) == (provider.books.calls, provider.books.texts, provider.books.tokens)
    assert row.cost == Decimal(2) * provider.books.tokens / 1_000_000
    assert (row.unpriced_tokens, row.estimated_tokens, row.failed_calls) == (0, 0, 0)


def test_texts_that_needed_no_call_are_counted(provider, work):
    Note.notes.create(text="the same")
    work()
    Note.notes.create(text="the same")
    work()
    assert (total().texts - provider.books.probes, total().reused) == (1, 1)
    assert [text.strip() for text in provider.texts] == ["the same"]


def test_shares_of_owners_are_the_whole(provider, work, paid, django_user_model):
    owners = [django_user_model.objects.create(username=f"owner{n}") for n in range(3)]
    for n in range(30):
        Article.objects.create(title=f"Article {n}", body=f"Words {n} " * (n + 1), author=owners[n % 3])
    work()
    rows = {row.name: row for row in cost_report("default", by="tenant").rows}
    assert rows.keys() == {"", *(str(owner.pk) for owner in owners)}, "the text of a worker is nobody's"
    assert sum(row.tokens for row in rows.values()) == provider.books.tokens
    assert sum(row.calls for row in rows.values()) == provider.books.calls
    assert {row.name for row in cost_report("default", by="source").rows} == {"", "blog.article"}


def tenant_of_text(spender):
    return f"{spender.source}/{spender.object_key != ''}"


def test_tenant_by_a_function_of_the_project(work, paid):
    paid(TENANT="tests.integration.costs.test_ledger.tenant_of_text")
    Note.notes.create(text="mine")
    work()
    assert {row.name for row in cost_report("default", by="tenant").rows} == {"", "blog.note/True"}


def test_failed_and_retried_calls(provider, work):
    provider.fail_next(Fault.server_error(503), Fault.server_error(503))
    Note.notes.create(text="patience")
    for _ in range(3):
        work()
        make_due()
    row = total()
    assert row.failed_calls == 2
    assert row.calls - provider.books.probes == 3
    assert row.tokens == provider.books.tokens


def test_answer_that_cannot_be_used_is_paid(provider, work):
    provider.fail_next(Fault.wrong_dimensions(3))
    Note.notes.create(text="wrong")
    work()
    assert total().failed_calls == 1
    assert total().texts == total().calls - 1  # whether the pause was over by then
    assert total().tokens == provider.books.tokens > 0


@pytest.mark.parametrize(
    ("said", "doubtful"), [(lambda tokens: None, 0), (lambda tokens: 10**12, 1), (lambda tokens: -5, 0)]
)
def test_provider_that_reports_nothing_or_nonsense(provider, work, said, doubtful):
    provider.report_tokens = said
    Note.notes.create(text="How much was it, really? " * 10)
    work()
    row = total()
    assert row.doubtful_calls == doubtful * row.calls
    assert row.estimated_tokens == row.tokens
    assert row.tokens == pytest.approx(provider.books.tokens, rel=0.05)
    assert "are estimates" in costs()


def test_unknown_price_is_unknown_and_a_part_is_said_to_be_one(provider, work, paid):
    Note.notes.create(text="priced")
    work()
    paid(PRICES={})
    Note.notes.create(text="not priced")
    work()
    row = total()
    assert 0 < row.unpriced_tokens < row.tokens
    assert row.cost == Decimal(2) * (row.tokens - row.unpriced_tokens) / 1_000_000
    assert f"+ {row.unpriced_tokens} tokens without a price" in costs()


def test_folding_changes_no_figure(provider, work):
    for n in range(3):
        Note.notes.create(text=f"text {n}")
        work()
    before = [cost_report("default", by=by) for by in DIMENSIONS]
    for _ in range(2):
        fold()
        assert [cost_report("default", by=by) for by in DIMENSIONS] == before
    assert not UsageEntry.objects.exists()
    assert DailyUsage.objects.count() == 2, "that of the notes, and of the text by which a worker knows its model"


def test_writer_waits_for_no_fold(work):
    """A fold that has not committed holds its rows, and an entry is added beside it."""
    Note.notes.create(text="once")
    work()
    UsageFold("default").run_if_due()
    row = DailyUsage.objects.filter(source="blog.note").values().get()
    tokens = total().tokens
    add_entries("default", [{**row, "day": str(row["day"]), "cost": str(row["cost"])}])
    with transaction.atomic():
        fold()
        beside = threading.Thread(target=add_beside, args=(row,))
        beside.start()
        beside.join(20)
        assert not beside.is_alive()
    assert total().tokens == tokens + 2 * row["tokens"]


def add_beside(row):
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '5s'")
    add_entries("default", [{**row, "day": str(row["day"]), "cost": str(row["cost"])}])
    connections.close_all()


def test_kept_vectors_expire(transactional_db):
    KeptVector.objects.create(key=b"old", model="m", vector=b"")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pgknowbase_kept_vector SET created_at = created_at - interval '31 days'")
    KeptVector.objects.create(key=b"new", model="m", vector=b"")
    fold()
    assert [bytes(kept.key) for kept in KeptVector.objects.all()] == [b"new"]


# Queries


@pytest.fixture
def fresh_queries():
    _embedded.cache_clear()
    query_usage.forget()
    yield
    query_usage.forget()


def search(text):
    return list(Note.objects.semantic_search(text, limit=3))


def test_query_is_counted_once_and_after_the_transaction_of_its_caller(provider, work, fresh_queries):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        search("what is it?")
        query_usage.write()
        transaction.set_rollback(True)
    search("what is it?")
    assert not UsageEntry.objects.exists()
    query_usage.write_after_request()
    row = total(kind="query")
    assert (row.calls, row.tokens) == (provider.books.calls, provider.books.tokens) == (1, row.tokens)
    assert row.cost > 0


def test_search_does_not_fail_for_its_bookkeeping(provider, work, fresh_queries, caplog):
    search("who pays?")
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        try:
            query_usage.write_after_request()
        finally:
            cursor.execute("SET default_transaction_read_only = off")
    assert "is not recorded" in caplog.text


def test_database_that_is_gone_fails_no_later_request(provider, work, fresh_queries, caplog, settings):
    with use_database("gone"):
        query_usage.add(get_embedder(), Call(["who pays?"]))
    search("who pays?")
    query_usage.write_after_request()
    assert "no database is 'gone' any more" in caplog.text
    assert total(kind="query").calls == 1


def test_hook_of_tenants_that_raises_loses_no_figures(provider, work, settings, caplog):
    settings.PGKNOWBASE = {
        **settings.PGKNOWBASE,
        "COSTS": {**settings.PGKNOWBASE["COSTS"], "TENANT": f"{__name__}.broken"},
    }
    Note.notes.create(text="one")
    work()
    (row,) = cost_report("default", by="tenant").rows
    assert (row.name, row.tokens) == ("", provider.books.tokens)
    assert "has failed" in caplog.text


def broken(spender):
    raise RuntimeError("not in this house")


# Where people read it


def test_command(work):
    Note.notes.create(text="one")
    Article.objects.create(title="two", body="of another model")
    work()
    report = json.loads(costs("--by", "source", "--format", "json", "--since", "1d"))
    assert {row["name"] for row in report["rows"]} == {"", "blog.note", "blog.article"}
    assert report["total"]["tokens"] == sum(row["tokens"] for row in report["rows"])
    (row,) = csv.DictReader(io.StringIO(costs("--by", "model", "--format", "csv")))
    assert row["name"] == "paid"
    assert Decimal(row["cost"]) == Decimal(report["total"]["cost"])
    assert "Nothing was used." in costs("--since", "2999-01-01")


@pytest.mark.parametrize("since", ["yesterday", "0.5d", "2026-13-01", "99999999999d"])
def test_wrong_day(since, transactional_db):
    with pytest.raises(CommandError, match="neither a date"):
        costs("--since", since)


def test_admin_page(work, client, admin_user, django_user_model):
    Note.notes.create(text="seen")
    work()
    client.force_login(admin_user)
    page = client.get("/admin/pgknowbase/dailyusage/?by=source").content.decode()
    assert "blog.note" in page
    assert "Cost per day" in page
    assert "<svg" in page
    client.force_login(django_user_model.objects.create(username="staff", is_staff=True))
    assert client.get("/admin/pgknowbase/dailyusage/").status_code == 403


def test_rest_is_for_those_who_may_see_usage(work, client, admin_user, django_user_model):
    Note.notes.create(text="seen")
    work()
    client.force_login(admin_user)
    report = client.get("/api/knowledge/costs/?by=model&since=2020-01-01").json()
    assert [row["name"] for row in report["rows"]] == ["paid"]
    assert Decimal(report["total"]["cost"]) > 0
    assert client.get("/api/knowledge/costs/?by=owner").status_code == 422
    client.force_login(django_user_model.objects.create(username="staff", is_staff=True))
    assert client.get("/api/knowledge/costs/").status_code == 403
