"""Rows that wait to be indexed: which are found, by whom, where they stand, and that nothing else is."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import transaction

from pgknowbase.errors import SearchError
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from tests.integration.search.conftest import QUERY, make_words, nearness
from tests.projects.blog.models import Article, Category, Note

pytestmark = pytest.mark.django_db
PENDING = {"include_pending": True}


@pytest.fixture
def animals(index, provider):
    """Three articles that the index knows."""
    provider.vector = lambda text: nearness(text if "near" in text else QUERY)
    for title, body in {"old": "near 0.9 a zebra", "older": "near 0.8 another zebra", "toad": "near 0.1 toad"}.items():
        Article.objects.create(title=title, body=body)
    index()


def relayed():
    """Take the changes, and embed nothing."""
    while not Relay().run_once().idle:
        pass


def told(rows):
    return {row.title: row.pending for row in rows}


def searches(text="zebra", rows=None, **options):
    """The same search by each mode."""
    rows = Article.objects if rows is None else rows
    options = {**PENDING, **options}
    return {
        "semantic": rows.semantic_search(text, threshold=-1, **options),
        "keyword": rows.keyword_search(text, **options),
        "hybrid": rows.hybrid_search(text, threshold=-1, **options),
    }


def each(text="zebra", rows=None, **options):
    """What waits, by each mode: the same."""
    found = [
        {title for title, pending in told(one).items() if pending} for one in searches(text, rows, **options).values()
    ]
    assert found[0] == found[1] == found[2], found
    return found[0]


def test_a_row_in_the_outbox_and_one_in_the_queue(animals):
    Article.objects.create(title="queued", body="near 0.2 a zebra from the relay")
    relayed()
    Article.objects.create(title="new", body="a zebra in the outbox")
    Article.objects.create(title="other", body="a toad in the outbox")
    assert each() == {"queued", "new"}
    make_words()
    assert each() == {"queued", "new"}
    for found in searches().values():
        rows = {row.title: row for row in found}
        assert not rows["old"].pending
        assert rows["old"].score is not None
        assert (rows["new"].similarity, rows["new"].score, rows["new"].matched_chunk) == (None, None, None)
        assert rows["new"].keyword_score > 0
        assert "other" not in rows
    assert "new" not in {row.title for row in Article.objects.semantic_search("zebra", threshold=-1)}


def test_stale_words_are_read_from_the_text(animals, index):
    index()
    Article.objects.filter(title="toad").update(body="near 0.1 a gnu")
    relayed()
    assert each("gnu") >= {"toad"}


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Die Häuser an der Straße sind alt und die Gärten schön", "haus garten"),
        ("الكتاب على الطاولة في المدرسة الكبيرة", "المدرسة"),
        ("我们在数据库里保存所有的文件", "数据库"),
        ("我们在数据库里保存所有的文件", "库"),
    ],
)
def test_languages(animals, text, query):
    made = Article.objects.create(title="words", body=text)
    assert "words" in told(Article.objects.keyword_search(query, **PENDING))
    relayed()
    assert told(Article.objects.keyword_search(query, **PENDING))["words"]
    assert made.title not in told(Article.objects.keyword_search("xylophone", **PENDING))


def test_after_the_worker_nothing_waits(animals, index):
    Article.objects.create(title="new", body="near 0.7 a zebra")
    assert each() == {"new"}
    index()
    assert each() == set()
    assert told(Article.objects.keyword_search("zebra", **PENDING)) == {"old": False, "older": False, "new": False}


def test_a_changed_row_is_found_once_as_it_is_now(animals):
    Article.objects.filter(title="old").update(title="changed", body="a gnu")
    for name, found in searches("gnu").items():
        assert [row.title for row in found].count("changed") == 1, name
        assert told(found)["changed"] is True, name
    assert told(Article.objects.keyword_search("zebra", **PENDING)) == {"changed": True, "older": False}


def test_rows_that_are_gone_or_kept_out_are_not_found(index, animals, monkeypatch):
    kept = Note.notes.create(text="near 0.5 a zebra")
    index()
    Article.objects.filter(title="old").delete()
    Note.notes.filter(pk=kept.pk).update(hidden=True)
    Note.notes.create(text="zebra", hidden=True)
    assert told(Article.objects.keyword_search("zebra", **PENDING)) == {"older": False}
    assert not list(Note.notes.keyword_search("zebra", **PENDING))
    assert not list(Note.notes.semantic_search("zebra", threshold=-1, **PENDING))
    assert len(Note.notes.keyword_search("zebra")) == 1
    found = ExternalData.objects.search("zebra", mode="keyword", **PENDING)
    assert [row.title for row in found] == ["older"]


def test_a_row_that_cannot_be_rendered_keeps_its_old_version(index, animals):
    note = Note.notes.create(text="near 0.5 a zebra")
    index()
    Note.notes.filter(pk=note.pk).update(text="explode")
    Note.notes.create(text="badquery zebra")
    Note.notes.create(text="zebra after the bad query")
    assert [row.pending for row in Note.notes.filter(pk=note.pk).keyword_search("zebra", **PENDING)] == [True]
    assert "zebra after the bad query" in [row.text for row in Note.notes.keyword_search("zebra", **PENDING)]


def test_what_is_rolled_back_is_not_found(animals):
    with transaction.atomic():
        Article.objects.create(title="new", body="a zebra")
        assert each() == {"new"}
        transaction.set_rollback(True)
    assert each() == set()
    assert not OutboxEvent.objects.exists()


def test_searching_writes_nothing(animals):
    Article.objects.create(title="new", body="a zebra")
    before = (OutboxEvent.objects.count(), ExternalData.objects.count())
    assert each() == {"new"}
    assert (OutboxEvent.objects.count(), ExternalData.objects.count()) == before


def test_visibility(animals, monkeypatch):
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    Article.objects.create(title="queued", body="a zebra", author=ann)
    relayed()
    Article.objects.create(title="new", body="a zebra", author=ann)
    ExternalData.objects.filter(title="old").update(is_public=True)
    Article.objects.filter(title="old").update(body="a zebra that is public no more")
    for user, seen in ((ann, {"queued", "new"}), (bob, set()), (None, set())):
        assert each(visible_to=user) == seen, user
        for found in searches(visible_to=user).values():
            assert "old" not in told(found)
        data = ExternalData.objects.search("zebra", visible_to=user, **PENDING)
        assert {row.title for row in data if row.pending} == seen - {"new"}
    Note.notes.create(text="zebra for ann")
    rule = classmethod(lambda cls, user: cls.notes.filter(text__endswith=user.username))
    monkeypatch.setattr(Note, "visible_to", rule, raising=False)
    assert len(Note.notes.keyword_search("zebra", visible_to=ann, **PENDING)) == 1
    assert not Note.notes.keyword_search("zebra", visible_to=bob, **PENDING)


@pytest.mark.parametrize(
    "narrow",
    [
        lambda rows: rows.filter(year=2020),
        lambda rows: rows.exclude(year=2021),
        lambda rows: rows.order_by("-year", "pk").filter(year__lt=2021)[:5],
        lambda rows: rows.filter(year=2020).order_by("pk").distinct("pk"),
    ],
)
def test_the_queryset_holds(animals, narrow):
    for year in (2020, 2021):
        Article.objects.create(title=f"queued {year}", body="a zebra", year=year)
    relayed()
    for year in (2020, 2021):
        Article.objects.create(title=f"new {year}", body="a zebra", year=year)
    assert each(rows=narrow(Article.objects.all())) == {"queued 2020", "new 2020"}


def test_filters_hold(animals):
    tag = Category.objects.create(name="tagged")
    for title, more in {"a": {"year": 2020}, "b": {"year": 2021}, "c": {"category": tag}}.items():
        Article.objects.create(title=title, body="a zebra", **more)
    for _ in range(2):
        assert each(metadata={"year": 2020}) == {"a"}
        assert each(metadata={"year": {"gt": 2020}}) == {"b"}
        assert each(tags=["tagged"]) == {"c"}
        relayed()


def test_order_pages_and_what_is_chained_after(animals):
    for n in range(3):
        Article.objects.create(title=f"new {n}", body=" ".join(["zebra"] * (3 - n) + ["word"] * n * 5))
    found = Article.objects.keyword_search("zebra", **PENDING)
    order = [row.title for row in found]
    assert [title.startswith("new") for title in order] == [False, True, False, True, True]
    assert [title for title in order if title.startswith("new")] == ["new 0", "new 1", "new 2"]
    pages = [Article.objects.keyword_search("zebra", limit=2, offset=n, **PENDING) for n in (0, 2, 4)]
    assert [row.title for page in pages for row in page] == order
    assert found.filter(pending=True).count() == 3
    assert list(found.values_list("title", flat=True)[:2]) == order[:2]
    assert list(found.filter(pending=False).values_list("pending", flat=True)) == [False, False]


def test_related_rows(animals):
    category = Category.objects.create(name="zoo")
    assert each("zoo") == set()
    Article.objects.filter(title="toad").update(category=category)
    assert "toad" in each("toad")


def test_the_newest_are_looked_at(animals, monkeypatch):
    monkeypatch.setattr("pgknowbase.search.pending.MAX_PENDING", 2)
    for n in range(5):
        Article.objects.create(title=f"new {n}", body="a zebra")
    assert each() == {"new 3", "new 4"}


def test_across_models(animals, index):
    note = Note.notes.create(text="near 0.3 a gnu")
    index()
    Note.notes.filter(pk=note.pk).update(text="near 0.3 a zebra")
    Article.objects.create(title="new", body="a zebra that the index has never seen")
    found = {row.source_object: row.pending for row in ExternalData.objects.search("zebra", mode="keyword", **PENDING)}
    assert found.pop(note) is True
    assert {row.title for row in found} == {"old", "older"}
    assert not any(found.values())
    assert not ExternalData.objects.search("zebra", mode="keyword", models=[Article], **PENDING).filter(pending=True)


def test_statements(animals, django_assert_num_queries):
    def count(search):
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as caught:
            len(search())
        return len(caught)

    def by_words():
        return Article.objects.keyword_search("zebra", **PENDING)

    Article.objects.create(title="new", body="a zebra")
    by_words()._fetch_all()
    one = count(by_words)
    Article.objects.bulk_create([Article(title=f"many {n}", body="a zebra") for n in range(50)])
    assert count(by_words) == one


def test_async(animals):
    Article.objects.create(title="new", body="a zebra")

    async def found():
        return [row.pending async for row in Article.objects.filter(title="new").keyword_search("zebra", **PENDING)]

    assert async_to_sync(found)() == [True]


def test_what_is_refused(animals):
    with pytest.raises(SearchError, match="include_pending 1 is not a bool"):
        Article.objects.semantic_search("zebra", include_pending=1)
    with pytest.raises(SearchError, match="include_pending needs a search text"):
        Article.objects.similar_to(Article.objects.first(), include_pending=True)
