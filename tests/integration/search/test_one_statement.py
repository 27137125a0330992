"""A search of all rows is one statement, and finds what the general way finds, whatever the model."""

import pytest
from django.contrib.auth.models import User
from django.db import connection, models

from pgknowbase.errors import SearchError
from pgknowbase.models import ExternalData
from pgknowbase.search import search
from tests.integration.search.conftest import QUERY
from tests.projects.blog.models import Article, Note, Slug
from tests.projects.shapes.models import Friend, IndexedGroup, Measurement, Museum, Person, Pilot, Seat, Token

pytestmark = pytest.mark.django_db
MODELS = [Article, Note, Slug, Museum, Person, Pilot, Friend, IndexedGroup, Token, Measurement]
ATTRIBUTES = ("similarity", "keyword_score", "score", "matched_chunk", "matched_span")


@pytest.fixture
def rows(index):
    """Two rows of each model."""
    for near in ("near 0.7", "near 0.5"):
        Article.objects.create(title=near, body=near, author=User.objects.create(username=near))
        Note.notes.create(text=near)
        Slug.objects.create(key=f"{near} % ñ", text=near).sync_to_external_data()
        Museum.objects.create(name=near, hours="all day")
        Pilot.objects.create(name=near, licence="x")
        IndexedGroup.objects.create(name=near)
        Token.objects.create(note=near)
        Measurement.objects.create(id=int(near[-1]), place="north", note=near)
        Seat.objects.create(row=near, place=1, note=near)
    index()


def searched(rows, **options):
    options = {"threshold": -1, **options}
    return getattr(rows, "_default_manager", rows).semantic_search(QUERY, **options)


def told(found):
    """Everything that is known of the rows."""
    state = [(row._state.db, row._state.adding) for row in found]
    fields = [{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields} for row in found]
    return (
        state,
        fields,
        [[getattr(row, name) for name in ATTRIBUTES] for row in found],
        [type(row) for row in found],
    )


@pytest.mark.parametrize("model", MODELS)
def test_the_same_as_the_general_way(rows, model, django_assert_num_queries):
    len(searched(model))
    with django_assert_num_queries(1):
        found = list(searched(model))
    assert len(found) == 2
    assert [round(row.similarity, 2) for row in found] == [0.7, 0.5]
    general = list(searched(model).all())
    assert told(found) == told(general)
    with django_assert_num_queries(0):
        assert told(found)[1]


def test_composite_keys_take_the_general_way(rows):
    assert [row.note for row in searched(Seat)] == ["near 0.7", "near 0.5"]
    assert [row.note for row in Seat.objects.filter(place=1).keyword_search("near", limit=1)]


def test_external_data(rows, django_assert_num_queries):
    len(ExternalData.objects.search(QUERY))
    with django_assert_num_queries(1):
        found = list(ExternalData.objects.search(QUERY, limit=50))
    assert told(found) == told(list(ExternalData.objects.search(QUERY, limit=50).all()))
    assert {hit.similarity is None for hit in found} == {False}


@pytest.mark.parametrize("narrow", [lambda rows: rows.only("title"), lambda rows: rows.select_related("author")])
def test_what_changes_the_rows_is_heeded(rows, narrow, django_assert_num_queries):
    before, after = list(searched(narrow(Article.objects.all()))), list(narrow(searched(Article)))
    for found in (before, after):
        assert [row.title for row in found] == ["near 0.7", "near 0.5"]
        assert found[0].get_deferred_fields() or found[0]._state.fields_cache


@pytest.mark.parametrize(
    "narrow",
    [
        lambda rows: rows.filter(title="near 0.5"),
        lambda rows: rows.exclude(title="near 0.7"),
        lambda rows: rows.order_by("title")[:1],
        lambda rows: rows.extra(where=["title = 'near 0.5'"]),
        lambda rows: rows.none() | rows.filter(title="near 0.5"),
    ],
)
def test_filters_take_the_general_way(rows, narrow):
    assert [row.title for row in searched(narrow(Article.objects.all()))] == ["near 0.5"]


def test_other_results_than_rows(rows):
    assert list(searched(Article).values_list("title", flat=True)) == ["near 0.7", "near 0.5"]
    assert searched(Article.objects.all().values("title"))[0]["title"] == "near 0.7"
    assert [row.title for row in searched(Article).iterator()] == ["near 0.7", "near 0.5"]
    assert [row.author.username for row in searched(Article).prefetch_related("author")] == ["near 0.7", "near 0.5"]
    author = User.objects.get(username="near 0.5")
    assert author.article_set.semantic_search(QUERY)[0].author is author


def test_rows_that_are_gone_make_place(rows):
    Article.objects.create(title="waits", body="near 0.9")
    Article.objects.filter(title="near 0.7").delete()
    found = searched(Article, limit=1)
    assert [row.title for row in found] == ["near 0.5"]
    assert [row.title for row in found.all()] == ["near 0.5"]
    assert [row.title for row in searched(Article, limit=2)] == ["near 0.5"]


def test_equal_scores_are_ordered_by_key(index, django_assert_num_queries):
    made = [Note.notes.create(text="near 0.5") for _ in range(8)]
    index()
    expected = sorted((note.pk for note in made), key=str)
    assert [note.pk for note in searched(Note)] == expected
    assert [note.pk for note in searched(Note).all()] == expected


def test_a_rolled_back_row_is_not_found_and_one_searched_twice_is(rows):
    found = searched(Article)
    assert len(found) == 2
    with connection.cursor() as cursor:
        cursor.execute("UPDATE blog_article SET title = 'changed'")
    assert [row.title for row in searched(Article)] == ["changed"] * 2
    assert [row.title for row in found.all()] == ["changed"] * 2


def test_a_field_that_a_search_would_hide(monkeypatch):
    class Match(models.Model):
        score = models.FloatField()

        class Meta:
            app_label = "elsewhere"
            managed = False

    with pytest.raises(SearchError, match=r"'elsewhere\.Match' has a field 'score'.*rename it"):
        search.check_field_names(Match, frozenset(search.HIT_ATTRIBUTES))
