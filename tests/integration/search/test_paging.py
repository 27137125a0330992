"""The order by a field, and cursors: pages while rows come, go and change."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from pgknowbase.errors import SearchError
from pgknowbase.models import ExternalData
from pgknowbase.search import paging, service
from pgknowbase.search.questions import SearchQuery
from tests.integration.search.conftest import QUERY
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db


@pytest.fixture
def articles(index):
    """Twelve articles, each nearer to QUERY than the next; the years go the other way, and one has none."""
    for n in range(12):
        title, year = f"a{n:02}", None if n == 5 else 2000 + n
        Article.objects.create(title=title, body=f"gears near {0.95 - 0.05 * n:.2f}", year=year)
    index()
    for n, row in enumerate(ExternalData.objects.order_by("title")):
        ExternalData.objects.filter(pk=row.pk).update(updated_at=datetime(2026, 1, 1 + (7 * n) % 12, 12, tzinfo=UTC))


def titles(rows):
    return [row.title for row in rows]


# The same search by each mode, of one model and across models.
WAYS = (
    lambda **options: Article.objects.semantic_search(QUERY, **options),
    lambda **options: Article.objects.hybrid_search(QUERY, **options),
    lambda **options: Article.objects.filter(views=0).semantic_search(QUERY, **options),
    lambda **options: ExternalData.objects.search(QUERY, models=[Article], **options),
    lambda **options: ExternalData.objects.search(QUERY, mode="hybrid", **options),
)


@pytest.mark.parametrize("order_by", ["metadata.year", "-metadata.year", "updated", "-updated", "created", "-created"])
def test_the_order_is_that_of_the_field(articles, order_by):
    field = {"metadata.year": "metadata__year", "updated": "updated_at", "created": "created_at"}[order_by.lstrip("-")]
    wanted = ExternalData.objects.exclude(title="a05").order_by(f"{'-' * order_by.startswith('-')}{field}", "title")
    for way in WAYS:
        found = titles(way(order_by=order_by, limit=20, min_relevance=0))
        if "metadata" in order_by:
            assert found.pop() == "a05"  # which has no year
        else:
            found.remove("a05")
        assert found == titles(wanted)


def test_only_what_is_relevant_is_ordered(articles):
    assert titles(Article.objects.semantic_search(QUERY, order_by="-metadata.year")) == [
        *("a09", "a08", "a07", "a06", "a04", "a03", "a02", "a01", "a00", "a05")  # of the best 0.95, half is 0.475
    ]
    found = Article.objects.semantic_search(QUERY, order_by="-metadata.year", min_relevance=0.9)
    assert titles(found) == ["a01", "a00"]
    nearest = Article.objects.semantic_search("near -1.0", order_by="metadata.year", threshold=-1)
    assert titles(nearest) == ["a08", "a09", "a10", "a11"]  # their similarities are below 0
    (only,) = Article.objects.semantic_search(QUERY, order_by="-metadata.year", limit=1, offset=2)
    assert only.title == "a07"


def test_years_of_several_types_have_an_order(articles):
    rows = list(ExternalData.objects.order_by("title"))
    for row, year in zip(rows, [3, "b", None, True, [1], {"a": 1}, "a", 2.5], strict=False):
        ExternalData.objects.filter(pk=row.pk).update(metadata={"year": year})
    found = titles(Article.objects.semantic_search(QUERY, order_by="metadata.year", min_relevance=0, limit=8))
    assert found == ["a06", "a01", "a07", "a00", "a08", "a09", "a10", "a11"]


@pytest.mark.parametrize("options", [{}, {"order_by": "-updated", "min_relevance": 0}])
def test_pages_hold_each_row_once(articles, options):
    for way in WAYS:
        expected = titles(way(limit=20, **options))
        found, cursor = [], None
        while True:
            page = way(limit=5, cursor=cursor, **options)
            found += titles(page)
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == expected
        assert len(found) == 12


@pytest.mark.parametrize("options", [{}, {"order_by": "metadata.year", "min_relevance": 0}])
def test_rows_that_change_are_neither_repeated_nor_skipped(articles, index, options):
    def page(cursor):
        return Article.objects.keyword_search("gears", limit=4, cursor=cursor, **options)

    first = page(None)
    seen = titles(first)
    # Of those that were shown one is now the worst match; of the others one is the best, and one is gone; two are new.
    last_shown, others = seen[-1], sorted({f"a{n:02}" for n in range(12)} - set(seen))
    Article.objects.filter(title=last_shown).update(body="near 0.5 gears " + "and much else besides " * 10, year=2050)
    Article.objects.filter(title=others[-1]).update(body="near 0.5 gears gears gears", year=1900)
    Article.objects.filter(title=others[0]).delete()
    Article.objects.create(title="new", body="near 0.5 gears", year=1901)
    Article.objects.create(title="newest", body="near 0.5 gears gears gears gears", year=2060)
    index()
    cursor, rest = first.next_cursor, []
    while cursor:
        following = page(cursor)
        rest += titles(following)
        cursor = following.next_cursor
    assert sorted(rest) == sorted([*others[1:], "new", "newest"])
    assert others[-1] in rest[:4]


def test_the_service_gives_cursors(articles):
    root = get_user_model().objects.create_superuser("root")

    def page(**options):
        return service.search(SearchQuery(query="gears", mode="keyword", limit=5, **options), viewer=root)

    first = page()
    second = page(cursor=first.next_cursor)
    third = page(cursor=second.next_cursor)
    assert [len(one.results) for one in (first, second, third)] == [5, 5, 2]
    assert len({result.id for one in (first, second, third) for result in one.results}) == 12
    assert (first.next_offset, second.next_offset, third.next_cursor) == (5, None, None)
    assert page(offset=5).next_cursor is None
    exact = service.search(SearchQuery(query="gears", mode="keyword", limit=12), viewer=root)
    assert exact.next_cursor is None


@pytest.mark.parametrize(
    "options",
    [
        {"tags": ["x"]},
        {"metadata": {"year": 2001}},
        {"threshold": 0.1},
        {"order_by": "updated"},
        {"changed_from": datetime(2020, 1, 1, tzinfo=UTC)},
        {"visible_to": None},
    ],
)
def test_a_cursor_of_another_search(articles, options):
    cursor = Article.objects.keyword_search("gears", limit=2).next_cursor
    assert len(Article.objects.keyword_search("gears", limit=9, snippet_length=50, cursor=cursor)) == 9
    with pytest.raises(SearchError, match="another search"):
        Article.objects.keyword_search("gears", cursor=cursor, **options)
    for other in (Article.objects.semantic_search, Article.objects.hybrid_search):
        with pytest.raises(SearchError, match="another search"):
            other("gears", cursor=cursor)
    with pytest.raises(SearchError, match="another search"):
        Article.objects.keyword_search("gear", cursor=cursor)
    with pytest.raises(SearchError, match="another search"):
        ExternalData.objects.search("gears", mode="keyword", cursor=cursor)
    ann = get_user_model().objects.create(username="ann")
    with pytest.raises(SearchError, match="another search"):
        Article.objects.keyword_search("gears", cursor=cursor, visible_to=ann)


def test_a_forged_cursor(articles, settings):
    cursor = Article.objects.keyword_search("gears", limit=2).next_cursor
    raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    flipped = [raw[:n] + bytes([raw[n] ^ 1]) + raw[n + 1 :] for n in range(0, len(raw), 5)]
    forged = [urlsafe_b64encode(each).decode().rstrip("=") for each in [*flipped, raw[:-1], raw[16:], raw + b"x", b""]]
    for each in [*forged, cursor[:-4], "x", "ü", " ", "\0", "\ud800", "=", "A" * 19_999]:
        with pytest.raises(SearchError, match="cursor"):
            Article.objects.keyword_search("gears", cursor=each)
    for each in ("", 5, b"x", "A" * 20_001, ["x"]):
        with pytest.raises(SearchError, match="cursor"):
            Article.objects.keyword_search("gears", cursor=each)
    old = settings.SECRET_KEY
    settings.SECRET_KEY = "another"
    with pytest.raises(SearchError, match="not made here"):
        Article.objects.keyword_search("gears", cursor=cursor)
    settings.SECRET_KEY_FALLBACKS = [old]
    assert len(Article.objects.keyword_search("gears", limit=3, cursor=cursor)) == 3


def test_no_page_lies_deeper_than_an_offset_may(articles, monkeypatch):
    monkeypatch.setattr(paging, "MAX_OFFSET", 4)
    first = Article.objects.keyword_search("gears", limit=4)
    assert len(Article.objects.keyword_search("gears", limit=4, cursor=first.next_cursor)) == 4
    assert Article.objects.keyword_search("gears", limit=4, cursor=first.next_cursor).next_cursor is None


@pytest.mark.parametrize(
    "options",
    [
        *({"order_by": name} for name in ("", "title", "--updated", "metadata.", "updated:day", 1, "metadata.\0")),
        {"order_by": "metadata." + "x" * 200},
        {"order_by": "updated", "min_relevance": 1.1},
        {"order_by": "updated", "min_relevance": "1"},
        {"min_relevance": 0.5},
        {"order_by": "updated", "include_pending": True},
    ],
)
def test_what_is_no_order(db, options):
    with pytest.raises(SearchError):
        Article.objects.keyword_search("gears", **options)


def test_a_cursor_goes_with_no_offset_and_no_pending_rows(articles):
    cursor = Article.objects.keyword_search("gears", limit=2).next_cursor
    for options in ({"offset": 1}, {"include_pending": True}):
        with pytest.raises(SearchError, match="cursor"):
            Article.objects.keyword_search("gears", cursor=cursor, **options)
    with pytest.raises(SearchError, match="search it first"):
        _ = Article.objects.all().next_cursor


def test_of_rows_that_were_chained_to_the_search(articles):
    rows = Article.objects.keyword_search("gears", limit=4)
    assert rows.filter(views=0).next_cursor == rows.next_cursor


def test_in_sql(articles):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.title FROM pgknowbase_order_v1("
            " ARRAY(SELECT id FROM pgknowbase_externaldata ORDER BY title) || 0::bigint, '-metadata.year') AS o"
            " JOIN pgknowbase_externaldata AS e ON e.id = o.external_data_id ORDER BY o.place"
        )
        found = [title for (title,) in cursor.fetchall()]
    assert found == ["a11", "a10", "a09", "a08", "a07", "a06", "a04", "a03", "a02", "a01", "a00", "a05"]


@given(st.sets(st.integers(0, 2**63 - 1), max_size=50))
def test_packing(ids):
    assert paging._unpacked(paging._packed(sorted(ids))) == sorted(ids)
