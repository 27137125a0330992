"""Searches, as users write them."""

from datetime import UTC, datetime

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection

from pgknowbase.models import ExternalData
from pgknowbase.search.queryset import SemanticManager, SemanticQuerySet
from tests.integration.search.conftest import index, provider  # noqa: F401
from tests.projects.blog.models import Article, Category, Note

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
ASKED = "how do triggers near 1.0 work"


@pytest.fixture
def user(db):
    return User.objects.create_user("ann")


@pytest.fixture
def library(index, user):  # noqa: F811
    """Five articles of ann, every other one a draft, and a public note."""
    category = Category.objects.create(name="databases")
    for place in range(5):
        status = ("draft", "published")[place % 2]
        Article.objects.create(
            title=f"a{place}", body=f"near 0.{9 - place}", status=status, author=user, year=2026, category=category
        )
    Note.notes.create(text="near 0.85")
    index()
    return index


def test_snippet(library, user):
    found = Article.objects.semantic_search(ASKED, limit=10, threshold=None)
    assert isinstance(found, SemanticQuerySet)
    assert [article.title for article in found] == ["a0", "a1", "a2", "a3", "a4"]
    assert [round(article.similarity, 1) for article in found] == [0.9, 0.8, 0.7, 0.6, 0.5]
    assert "near 0.9" in found[0].matched_chunk
    published = Article.objects.filter(status="published").hybrid_search(ASKED, limit=10)
    assert [article.title for article in published] == ["a1", "a3"]
    assert len(Article.objects.filter(status="draft").semantic_search(ASKED, limit=3)) == 3
    article = Article.objects.get(title="a1")
    assert len(article.similar(limit=5)) == 4
    assert article not in article.similar(limit=5)
    across = ExternalData.objects.search(
        ASKED, models=[Article, Note], metadata={"year": 2026}, tags=["databases"], visible_to=user
    )
    assert [data.title for data in across] == ["a0", "a1", "a2", "a3", "a4"]
    seen = ExternalData.objects.search(ASKED, models=[Article, Note], visible_to=User.objects.create_user("bob"))
    assert [data.content_type.model for data in seen] == ["note"]


def test_class_managers_and_async_twins(library):
    assert isinstance(Article.objects, SemanticManager)
    assert [note.text for note in Note.notes.semantic_search(ASKED)] == ["near 0.85"]
    assert [note.text for note in Note.semantic_search(ASKED)] == ["near 0.85"]

    async def twins():
        return (
            [row.title for row in await Article.objects.asemantic_search(ASKED, limit=1)],
            [row.title for row in await Article.objects.ahybrid_search(ASKED, limit=1)],
            [row.title for row in await Article.asemantic_search(ASKED, limit=1)],
            [row.title for row in await (await Article.objects.aget(title="a0")).asimilar(limit=1)],
            [row.title for row in await ExternalData.objects.asearch(ASKED, models=[Article], limit=1)],
        )

    assert async_to_sync(twins)() == (["a0"], ["a0"], ["a0"], ["a1"], ["a0"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"threshold": 0.65}, 3),
        ({"metadata": {"year": 2026}}, 5),
        ({"metadata": {"year": {"gte": 2027}}}, 0),
        ({"metadata": {"year": {"gte": 2026}}}, 5),
        ({"metadata": {"kinds": {"contains": ["x"]}}}, 0),
        ({"tags": ["databases"]}, 5),
        ({"tags": ["databases", "other"]}, 0),
        ({"changed_from": LONG_AGO}, 5),
        ({"changed_before": LONG_AGO}, 0),
    ],
    ids=str,
)
def test_options(library, options, expected):
    assert len(Article.objects.semantic_search(ASKED, **options)) == expected
    assert len(ExternalData.objects.search(ASKED, models=[Article], **options)) == expected


def test_weights_of_the_legs(library):
    Article.objects.create(title="words", body="triggers work near 0.1")
    by_meaning = Article.objects.hybrid_search(ASKED, dense_weight=1.0)
    assert [article.title for article in by_meaning][:5] == ["a0", "a1", "a2", "a3", "a4"]
    library()
    assert Article.objects.hybrid_search(ASKED, dense_weight=0.0)[0].title == "words"


def test_same_functions_are_in_the_database(library):
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT proname FROM pg_proc WHERE proname LIKE 'pgknowbase_search_%'")
        names = {name for (name,) in cursor.fetchall()}
    assert {"pgknowbase_search_dense_v1", "pgknowbase_search_keyword_v1", "pgknowbase_search_hybrid_v1"} <= names
