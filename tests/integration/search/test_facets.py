"""Counts by tag, model, metadata key and period, of what the asker may see."""

from datetime import UTC, datetime

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.db import connection

from pgknowbase.errors import SearchError
from pgknowbase.models import ExternalData
from pgknowbase.search import facets as module
from pgknowbase.search import service
from pgknowbase.search.questions import FacetQuery
from tests.projects.blog.models import Article, Category, Note

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(db):
    return get_user_model().objects.create(username="ann")


@pytest.fixture
def library(index, ann):
    """Three articles of ann's, one public one, one of nobody's that only a superuser may see, and a public note."""
    news, howto = Category.objects.create(name="news"), Category.objects.create(name="howto")
    make = Article.objects.create
    make(title="a", body="gears near 0.9", category=news, year=2020, author=ann)
    make(title="b", body="chains near 0.8", category=news, year=2021, author=ann)
    make(title="c", body="gears and chains near 0.7", category=howto, year=2021, author=ann)
    make(title="public", body="gears near 0.6", category=howto)
    make(title="hidden", body="gears near 0.5", category=Category.objects.create(name="secret"), year=1999)
    Note.notes.create(text="gears near 0.4")
    index()
    times = {
        "a": (2026, 1, 31, 23, 30),
        "b": (2026, 3, 1, 12),
        "c": (2025, 3, 1, 12),
        "public": (2025, 3, 1, 12),
        "hidden": (2024, 1, 1, 12),
    }
    for title, when in times.items():
        ExternalData.objects.filter(title=title).update(updated_at=datetime(*when, tzinfo=UTC))
    ExternalData.objects.filter(title="public").update(is_public=True)


def told(found):
    return {name: [(one.value, one.count) for one in facet.values] for name, facet in found.facets.items()}


def test_each_kind_of_facet(library, ann):
    names = ("tags", "model", "metadata.year", "updated:year", "updated:month", "updated:day")
    found = ExternalData.objects.facets(*names, models=[Article], visible_to=ann)
    assert told(found) == {
        "tags": [("howto", 2), ("news", 2)],
        "model": [("blog.Article", 4)],
        "metadata.year": [(2021, 2), (2020, 1)],
        "updated:year": [("2025", 2), ("2026", 2)],
        "updated:month": [("2025-03", 2), ("2026-01", 1), ("2026-03", 1)],
        "updated:day": [("2025-03-01", 2), ("2026-01-31", 1), ("2026-03-01", 1)],
    }
    assert (found.documents, found.is_complete) == (4, True)
    assert {facet.distinct for facet in found.facets.values()} == {1, 2, 3}


def test_periods_are_those_of_the_time_zone(library, ann, settings):
    settings.TIME_ZONE = "Europe/Berlin"
    found = Article.objects.filter(title="a").facets("updated:month", visible_to=ann)
    assert told(found) == {"updated:month": [("2026-02", 1)]}


def test_the_latest_periods_and_the_commonest_values(library):
    found = Article.objects.facets("updated:month", "metadata.year", values=1)
    assert told(found) == {"updated:month": [("2026-03", 1)], "metadata.year": [(2021, 2)]}
    assert found.facets["updated:month"].distinct == 4


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("gears", {"a", "c", "public"}),
        ("gears chains", {"a", "b", "c", "public"}),
        ("gears -chains", {"a", "public"}),
        ("title:b", {"b"}),
        ("gea*", {"a", "c", "public"}),
        ('"gears and chains"', {"c"}),
        ("zebra", set()),
        ("-gears", set()),
    ],
)
def test_of_a_query_what_its_words_find_is_counted(library, ann, query, expected):
    assert {row.title for row in Article.objects.keyword_search(query, visible_to=ann)} == expected
    assert Article.objects.facets("tags", query=query, visible_to=ann).documents == len(expected)


def test_filters_querysets_slices_and_searches(library, ann):
    counts = {
        "metadata": Article.objects.facets("tags", metadata={"year": {"gte": 2021}}),
        "tags": Article.objects.facets("tags", tags=["news"]),
        "queryset": Article.objects.filter(title__in=["a", "b", "hidden"]).facets("tags", visible_to=ann),
        "slice": Article.objects.order_by("title")[:2].facets("tags"),
        "search": Article.objects.keyword_search("chains").facets("tags"),
        "data": ExternalData.objects.filter(title__in=["a", "hidden"]).facets("tags", visible_to=ann),
        "nothing": Article.objects.none().facets("tags"),
        "no hits": Article.objects.keyword_search("zebra").facets("tags"),
    }
    assert {name: found.documents for name, found in counts.items()} == {
        **{"metadata": 2, "tags": 2, "queryset": 2, "slice": 2, "search": 2, "data": 1, "nothing": 0, "no hits": 0}
    }
    assert told(counts["nothing"]) == {"tags": []}


def test_rights(library, ann, monkeypatch, django_assert_num_queries):
    for viewer, expected in ((None, {"howto": 1}), (ann, {"howto": 2, "news": 2})):
        assert dict(told(Article.objects.facets("tags", visible_to=viewer))["tags"]) == expected
    rule = classmethod(lambda cls, user: cls.objects.filter(title__in=["b", "hidden"]))
    monkeypatch.setattr(Article, "visible_to", rule, raising=False)
    for objects in (Article.objects, ExternalData.objects):
        with django_assert_num_queries(1):
            found = objects.facets("tags", query="gears chains", visible_to=ann)
        assert set(told(found)["tags"]) >= {("secret", 1), ("news", 1)}
    across = ExternalData.objects.facets("model", visible_to=ann)
    assert told(across) == {"model": [("blog.Article", 2), ("blog.Note", 1)]}


def test_values_that_are_lists_dates_and_no_facet(index):
    values = [["a", "b", "a"], "a", 1, 1.0, True, None, {"a": 1}, "x" * 201, "2026-02-03T10:00:00Z", "2026-02-03"]
    for value in values:
        Note.notes.create(text=f"{value!r} near 1.0")
    index()
    for row, value in zip(ExternalData.objects.order_by("pk"), values, strict=True):
        ExternalData.objects.filter(pk=row.pk).update(metadata={"of:it": value})
    found = Note.notes.facets("metadata.of:it", "metadata.of:it:month", "metadata.nothing")
    expected = [("a", 2), (1, 2), ("b", 1), ("2026-02-03", 1), ("2026-02-03T10:00:00Z", 1), (True, 1)]
    assert sorted(told(found)["metadata.of:it"], key=repr) == sorted(expected, key=repr)
    assert told(found)["metadata.of:it:month"] == [("2026-02", 2)]
    assert told(found)["metadata.nothing"] == []


def test_what_is_counted_is_bounded(library, monkeypatch):
    monkeypatch.setattr(module, "MAX_COUNTED", 2)
    for found in (
        Article.objects.facets("tags"),
        Article.objects.facets("tags", query="gears"),
        Article.objects.exclude(title="x").facets("tags"),
    ):
        assert (found.documents, found.is_complete) == (2, False)


@pytest.mark.parametrize(
    ("names", "options"),
    [
        ((), {}),
        (("tag",), {}),
        (("metadata.",), {}),
        (("updated:week",), {}),
        ((1,), {}),
        (("metadata.\0",), {}),
        (("metadata." + "x" * 200,), {}),
        (("tags",) * 11, {}),
        (("tags",), {"values": 0}),
        (("tags",), {"values": 101}),
        (("tags",), {"query": ""}),
        (("tags",), {"metadata": {"a": {"like": 1}}}),
    ],
)
def test_what_cannot_be_counted(db, names, options):
    for objects in (Article.objects, ExternalData.objects):
        with pytest.raises(SearchError):
            objects.facets(*names, **options)


def test_as_a_service_and_in_sql(library, ann):
    found = service.facets(FacetQuery(facets=["tags"], query="gears", models=["blog.Article"]), viewer=ann)
    assert told(found) == {"tags": [("howto", 2), ("news", 1)]}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pgknowbase_facets_v1('{model}', 'gears', pgknowbase_filter_v1(visible_to => ''))")
        assert '"values": [["blog.article", 1], ["blog.note", 1]]' in cursor.fetchone()[0]
        cursor.execute("SELECT pgknowbase_facets_v1('{}')")
        assert '"facets": {}' in cursor.fetchone()[0]


def test_async(library):
    async def both():
        return await Article.objects.afacets("tags"), await ExternalData.objects.afacets("tags")

    assert [found.documents for found in async_to_sync(both)()] == [5, 6]
