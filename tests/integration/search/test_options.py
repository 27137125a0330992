"""Tags, dates, offset, and what every entry point does with bad input."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgknowbase.errors import ConfigurationError, SearchError
from pgknowbase.models import ExternalData
from tests.integration.search.conftest import QUERY
from tests.projects.blog.models import Article, Category, Note

pytestmark = pytest.mark.django_db


@pytest.fixture
def articles(index):
    """Nine articles, the n-th with a similarity of n/10 to QUERY."""
    made = [Article.objects.create(title=f"a{n}", body=f"near 0.{n}", year=2000 + n) for n in range(1, 10)]
    index()
    return made


def searches(**options):
    """The same search by each entry point."""
    return {
        "manager": lambda: Article.objects.semantic_search(QUERY, **options),
        "class": lambda: Article.semantic_search(QUERY, **options),
        "queryset": lambda: Article.objects.filter(views=0).semantic_search(QUERY, **options),
        "slice": lambda: Article.objects.order_by("pk")[:1000].semantic_search(QUERY, **options),
        "across": lambda: ExternalData.objects.search(QUERY, models=[Article], **options),
        "filtered across": lambda: ExternalData.objects.filter(is_active=True).search(QUERY, **options),
    }


def titles(rows):
    return [row.title for row in rows]


def each(**options):
    """What every entry point finds, which is the same."""
    found = [titles(search()) for search in searches(**options).values()]
    assert all(one == found[0] for one in found), found
    return found[0]


@pytest.mark.parametrize("exact_search_max_chunks", [0, 10_000])
def test_offset_and_limit(vector_index, articles, settings, exact_search_max_chunks):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": exact_search_max_chunks}}
    assert each(limit=3) == ["a9", "a8", "a7"]
    assert each(limit=3, offset=2) == ["a7", "a6", "a5"]
    assert each(limit=5, offset=7) == ["a2", "a1"]
    assert each(offset=9) == []
    assert each(offset=1000) == []
    articles[-1].delete()
    assert titles(Article.objects.semantic_search(QUERY, limit=2, offset=1)) == ["a7", "a6"]


@pytest.mark.parametrize("exact_search_max_chunks", [0, 10_000])
def test_filters(vector_index, articles, settings, exact_search_max_chunks):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": exact_search_max_chunks}}
    now = timezone.now()
    ExternalData.objects.filter(title__in=["a2", "a4"]).update(updated_at=now - timedelta(days=10), tags=["x", "y"])
    ExternalData.objects.filter(title="a3").update(updated_at=now - timedelta(days=20), tags=["x"])
    week, fortnight = now - timedelta(days=7), now - timedelta(days=14)
    assert each(changed_before=week) == ["a4", "a3", "a2"]
    assert each(changed_before=week, changed_from=fortnight) == ["a4", "a2"]
    assert each(changed_from=week, limit=2) == ["a9", "a8"]
    assert each(tags=["x"]) == ["a4", "a3", "a2"]
    assert each(tags={"y", "x"}, offset=1) == ["a2"]
    assert each(metadata={"year": {"gte": 2002, "lt": 2005}}) == ["a4", "a3", "a2"]
    assert each(metadata={"year": {"in": [2001, 2009, 1]}}) == ["a9", "a1"]
    assert each(threshold=0.65) == ["a9", "a8", "a7"]
    assert titles(articles[2].similar(metadata={"year": {"gt": 2005}}, limit=2)) == ["a6", "a7"]
    assert titles(articles[2].similar(tags=["x"], changed_before=fortnight)) == []


BAD = [
    ({"limit": 0}, "limit 0 is out of range"),
    ({"limit": -1}, "limit -1"),
    ({"limit": 1001}, "limit 1001"),
    ({"limit": 10**400}, "limit 1000"),
    ({"limit": True}, "limit True"),
    ({"limit": "5"}, "limit '5'"),
    ({"offset": -1}, "offset -1"),
    ({"offset": 10_001}, "offset 10001"),
    ({"offset": 2.5}, "offset 2.5"),
    ({"threshold": 2}, "threshold 2"),
    ({"threshold": float("nan")}, "threshold nan"),
    ({"threshold": "0.5"}, "threshold '0.5'"),
    ({"tags": "word"}, "tags 'word' is not a list"),
    ({"tags": [1]}, "tags holds 1"),
    ({"tags": ["\x00"]}, "without NUL"),
    ({"tags": ["\udfff"]}, "lone surrogates"),
    ({"tags": ["x"] * 101}, "101 words"),
    ({"changed_from": datetime(2020, 1, 1)}, "has no time zone"),
    ({"changed_before": "2020-01-01"}, "is not a datetime"),
    ({"metadata": {"a": {"regex": "x"}}}, "unknown operator 'regex'"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_options_are_told_at_once(options, message):
    for search in searches(**options).values():
        with pytest.raises(SearchError, match=message):
            search()
    with pytest.raises(SearchError, match=message):
        Article(pk=1).similar(**options)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("x" * 1_000_000, "1000000 characters"),
        ("a\x00b", "NUL"),
        ("a\ud800b", "surrogate"),
        (None, "not a search text"),
        (b"x" * 1_000_000, "not a search text"),
    ],
)
def test_bad_texts_are_told_at_once(query, message):
    for search in (Article.objects.semantic_search, Article.semantic_search, ExternalData.objects.search):
        with pytest.raises(SearchError, match=message) as raised:
            search(query)
        assert len(str(raised.value)) < 300


def test_unknown_option_and_model():
    with pytest.raises(TypeError, match="treshold"):
        Article.objects.semantic_search(QUERY, treshold=1)
    with pytest.raises(ConfigurationError, match=r"'blog\.Category' is not a source model"):
        ExternalData.objects.search(QUERY, models=[Category])
    with pytest.raises(SearchError, match=r"'blog\.Article' is not a model"):
        ExternalData.objects.search(QUERY, models=["blog.Article"])


LONG = st.sampled_from(["x" * 1_000_000, "'; DROP TABLE blog_article; --", "%s", "%(a)s", '"}', "\\", "{1,2}", "NULL"])
TEXTS = LONG | st.text(max_size=20)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "limit": st.integers(-5, 1005) | st.floats() | st.none(),
        "offset": st.integers(-5, 10_005) | st.none(),
        "threshold": st.floats() | st.none() | st.booleans(),
        "tags": st.lists(TEXTS, max_size=3) | TEXTS,
        "metadata": st.dictionaries(
            TEXTS, TEXTS | st.integers() | st.floats() | st.lists(TEXTS, max_size=2), max_size=3
        ),
        "changed_from": st.datetimes(timezones=st.just(UTC) | st.none()),
        "changed_before": st.datetimes(timezones=st.just(UTC) | st.none()),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, options=OPTIONS)
def test_anything_gives_rows_or_a_clear_error(provider, text, options):
    provider.vector = lambda text: [1.0, *[0.0] * 255]
    for search in (
        Article.objects.semantic_search,
        Article.objects.filter(views=0).semantic_search,
        Note.semantic_search,
    ):
        try:
            rows = search(text, **options)
        except SearchError as error:
            told = str(error)
            assert len(told) < 500
            continue
        assert list(rows) == []
