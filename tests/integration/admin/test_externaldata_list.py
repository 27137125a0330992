"""The list of ``ExternalData``: rows, filters, search, paging."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from pgknowbase.admin.base import BoundedPaginator
from pgknowbase.models import ExternalData
from tests.integration.admin.conftest import LIST, TITLES, shown
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db


def test_opens_with_rows_of_every_state(root, states):
    page = root.get(reverse(LIST)).content.decode()
    for name in ("german", "arabic", "hindi", "chinese"):
        assert TITLES[name] in page
    for status in ("completed", "pending", "failed", "dead"):
        assert f"pgknowbase-{status}" in page
    assert "Dead letter" in page
    assert "blog.Article" in page
    assert "gone.thing" in page
    assert "unknown to this project" in page
    assert "ada" in page


def test_opens_empty(root):
    assert shown(root) == set()


def test_titles_are_escaped(root, states):
    page = root.get(reverse(LIST)).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_object_without_title_shows_its_key(root, states):
    assert states["failed"].object_key in root.get(reverse(LIST)).content.decode()


def test_owner_deleted_behind_djangos_back(root, states):
    owner = states["german"].owner
    with connection.cursor() as cursor:
        cursor.execute("UPDATE blog_article SET author_id = NULL; DELETE FROM auth_user WHERE id = %s", [owner.pk])
    page = root.get(reverse(LIST)).content.decode()
    assert f"{owner.pk} (deleted)" in page


def queries_of_list(client, params=None):
    client.get(reverse(LIST), params)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        client.get(reverse(LIST), params)
    return len(captured)


def add_rows(start, stop):
    for number in range(start, stop):
        author = User.objects.create_user(f"author-{number}")
        Article.objects.create(title=f"Article {number}", body="text", author=author)
        Note.notes.create(text=f"note {number}")


def test_queries_do_not_grow_with_rows(root, work):
    add_rows(0, 3)
    work()
    few = queries_of_list(root)
    add_rows(3, 25)
    work()
    assert len(shown(root)) == 50
    assert queries_of_list(root) == few
    assert few <= 7


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"status__exact": "failed"}, {"failed", "dead"}),
        ({"status__exact": "pending"}, {"chinese", "gone"}),
        ({"retry": "dead"}, {"dead"}),
        ({"retry": "due"}, {"failed"}),
        ({"retry": "later"}, set()),
        ({"retry": "nonsense"}, set()),
        ({"source": "nonsense"}, set()),
        ({"is_public__exact": "1"}, set()),
        ({"q": "Übersetzungstabelle"}, {"german"}),
        ({"q": "مضغوط"}, {"arabic"}),
        ({"q": "फ़ाइल"}, {"hindi"}),
        ({"q": "压缩"}, {"chinese"}),
        ({"q": "told to explode"}, {"failed", "dead"}),
        ({"q": "<script>"}, {"hostile"}),
        ({"q": "100%_\\'"}, set()),
    ],
)
def test_filters_and_search(root, states, params, expected):
    ExternalData.objects.filter(pk=states["failed"].pk).update(retry_at=timezone.now() - timedelta(seconds=1))
    assert shown(root, **params) == {states[name] for name in expected}


def test_waiting_for_retry(root, states):
    ExternalData.objects.filter(pk=states["failed"].pk).update(retry_at=timezone.now() + timedelta(hours=1))
    assert shown(root, retry="later") == {states["failed"]}
    assert shown(root, retry="due") == set()


def test_public_objects(root, work):
    note = Note.notes.create(text="for everybody")
    Article.objects.create(title="for some")
    work()
    assert [one.object_key for one in shown(root, is_public__exact="1")] == [str(note.pk)]


def test_object_key_is_searched(root, states):
    assert shown(root, q=states["dead"].object_key) == {states["dead"]}


def test_source_filter_offers_models_present(root, states):
    response = root.get(reverse(LIST))
    (spec,) = [one for one in response.context["cl"].filter_specs if one.title == "source model"]
    assert [name for _, name in spec.lookup_choices] == ["blog.Article", "blog.Note", "gone.thing (unknown)"]
    notes = {states["failed"], states["dead"]}
    assert shown(root, source=str(states["dead"].content_type_id)) == notes


def test_facets_are_counted(root, states):
    page = root.get(reverse(LIST), {"_facets": "True"}).content.decode()
    assert "Dead letters (1)" in page
    assert "blog.Note (2)" in page


def test_date_filter(root, states):
    ExternalData.objects.exclude(pk=states["dead"].pk).update(updated_at=timezone.now() - timedelta(days=40))
    since = (timezone.now() - timedelta(days=2)).isoformat(sep=" ")
    assert shown(root, updated_at__gte=since) == {states["dead"]}


@pytest.mark.parametrize("column", range(1, 11))
def test_every_column_sorts(root, states, column):
    assert len(shown(root, o=str(column))) == len(states)


def test_count_is_bounded(monkeypatch, root, states):
    monkeypatch.setattr(BoundedPaginator, "max_count", 3)
    response = root.get(reverse(LIST))
    assert response.context["cl"].result_count == 3
    assert BoundedPaginator(ExternalData.objects.order_by("pk"), 2).num_pages == 2


def test_wide_columns_stay_in_the_table(root, states):
    with CaptureQueriesContext(connection) as captured:
        root.get(reverse(LIST))
    (select,) = [q["sql"] for q in captured if 'externaldata"."title"' in q["sql"] and "ORDER BY" in q["sql"]]
    assert '"metadata"' not in select
    assert '"error"' not in select
