"""The relay brings the index to what the committed rows say, and a bad row harms only itself."""

import uuid

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from pgknowbase.models import Document, ExternalData, OutboxEvent
from pgknowbase.operations.drift import check
from pgknowbase.relay.relay import Relay
from pgknowbase.sources.registry import source_of
from pgknowbase.vectorizer.chunking import document_digest
from tests.projects.blog.models import Article, Category, Note, Slug

pytestmark = pytest.mark.django_db
EXPLODED = "RuntimeError: told to explode (in get_external_content)"


@pytest.fixture(autouse=True)
def empty_outbox(db):
    OutboxEvent.objects.all().delete()


def relay():
    """Work the outbox off and return the sum of what happened."""
    worker = Relay()
    total = worker.run_once()
    while not (batch := worker.run_once()).idle and batch.events:
        total.report.add(batch.report)
        total.events += batch.events
    return total


def test_default_document():
    category = Category.objects.create(name="Food")
    article = Article.objects.create(title="Rice", body="Steam it.", category=category, year=2026)
    relay()
    data = article.external_data
    assert data.title == "Rice"
    assert data.content == "Title: Rice\n\nBody: Steam it.\n\nCategory: Food\n\nYear: 2026"
    assert data.metadata == {"year": 2026}
    assert data.tags == ["Food"]
    assert (data.status, data.is_public, data.source_type) == ("pending", False, "model")
    assert article.has_external_data
    assert article.external_data_status == "pending"
    assert article.external_source_id == str(article.pk)
    assert data.source_object == article


@pytest.mark.parametrize(("old", "new"), [(1, 1.0), ([1, {"a": 2}], [1.0, {"a": 2.0}])])
def test_metadata_that_compares_equal_is_brought_in(monkeypatch, old, new):
    """A jsonb 1 equals 1.0, and is shown and filtered as another text."""
    article = Article.objects.create(title="a")
    monkeypatch.setattr(Article, "get_external_metadata", lambda row: {"n": old})
    relay()
    monkeypatch.setattr(Article, "get_external_metadata", lambda row: {"n": new})
    assert [found.detail for found in check(source_of(Article), "default").examples] == ["metadata"]
    assert article.sync_to_external_data().metadata == 1
    assert str(article.external_data.metadata) == str({"n": new})
    assert not check(source_of(Article), "default").examples


def test_owner_is_found_and_follows():
    ann, bob = (get_user_model().objects.create(username=name) for name in ("ann", "bob"))
    article = Article.objects.create(title="a", author=ann)
    relay()
    assert article.external_data.owner == ann
    Article.objects.update(author=bob)
    document = Document.objects.get()
    assert relay().report.metadata == 1
    assert article.external_data.owner == bob
    assert Document.objects.get() == document
    with pytest.raises(IntegrityError), transaction.atomic():
        Document.objects.update(content=None)


def test_many_events_of_one_object_are_one_rendering():
    article = Article.objects.create(title="a")
    for title in "bcdef":
        Article.objects.filter(pk=article.pk).update(title=title)
    batch = relay()
    assert batch.events == 6
    assert batch.report.total == 1
    assert article.external_data.title == "f"


def test_unchanged_row_is_not_written():
    article = Article.objects.create(title="a")
    relay()
    before = ExternalData.objects.values().get()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT xmin::text FROM pgknowbase_externaldata UNION ALL SELECT xmin::text FROM pgknowbase_document"
        )
        versions = cursor.fetchall()
        article.sync_to_external_data()
        cursor.execute(
            "SELECT xmin::text FROM pgknowbase_externaldata UNION ALL SELECT xmin::text FROM pgknowbase_document"
        )
        assert cursor.fetchall() == versions
    assert ExternalData.objects.values().get() == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("a", "b\x1fc"), ("a\x1fb", "c")),
        (("1", "12x"), ("11", "2x")),
        (("a", "b"), ("", "ab")),
        (("", "a"), ("a", "")),
    ],
)
def test_text_that_moves_from_the_title_to_the_content_or_back(monkeypatch, drain, before, after):
    monkeypatch.setattr(Article, "get_external_title", lambda self: self.title)
    monkeypatch.setattr(Article, "get_external_content", lambda self: self.body + "\nthe end")
    article = Article.objects.create(title=before[0], body=before[1])
    drain()
    Article.objects.update(title=after[0], body=after[1])
    drain()
    document = Document.objects.get()
    assert (document.title, document.content) == (after[0], after[1] + "\nthe end")
    assert document_digest(*before) != document_digest(*after)
    article.delete()


def test_hooks_decide_what_is_in_the_index():
    note = Note.notes.create(text="hello")
    relay()
    data = note.external_data
    assert (data.is_public, data.source_type, data.content) == (True, "custom", "hello")
    Note.notes.update(hidden=True)
    assert relay().report.removed == 1
    assert note.external_data is None
    Note.notes.update(hidden=False, text="  ")
    assert relay().report.total == 0
    assert not ExternalData.objects.exists()


def test_truncate_empties_the_index_of_that_model_alone():
    Article.objects.create(title="a")
    Note.notes.create(text="n")
    relay()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("TRUNCATE blog_article")
    relay()
    assert [data.source_model for data in ExternalData.objects.all()] == [Note]


@pytest.mark.parametrize(
    "text",
    [
        "Straßenbäume in München",
        "كيفية قراءة ملف مضغوط",
        "हिन्दी में एक वाक्य",
        "如何读取压缩文件",
        "emoji 🐘 and \\u0000 as text",
    ],
)
def test_any_script_is_kept(text):
    note = Note.notes.create(text=text)
    slug = Slug.objects.create(key=text, text=text)
    relay()
    assert note.external_data.content == text
    assert slug.external_data.content == text
    assert slug.external_data.object_key == text


@override_settings(
    PGKNOWBASE={
        **settings.PGKNOWBASE,
        "WORKER": {**settings.PGKNOWBASE["WORKER"], "RETRY": {"DELAY": 60, "MAX_DELAY": 60}},
    }
)
def test_raising_hook_fails_its_own_row_and_is_tried_again():
    good = Note.notes.create(text="good")
    bad = Note.notes.create(text="explode")
    batch = relay()
    assert [key for key, _ in batch.report.failures] == [str(bad.pk)]
    assert good.external_data.status == "pending"
    failed = bad.external_data
    assert (failed.status, failed.attempts, failed.error) == (
        "failed",
        1,
        EXPLODED,
    )
    assert failed.retry_at is not None
    assert not OutboxEvent.objects.exists()
    Note.notes.filter(pk=bad.pk).update(text="mended")
    relay()
    mended = bad.external_data
    assert (mended.status, mended.attempts, mended.error, mended.retry_at) == ("pending", 0, "", None)


def test_failed_query_in_a_hook_spoils_no_other_row():
    good = Note.notes.create(text="good")
    bad = Note.notes.create(text="badquery")
    also_good = Note.notes.create(text="also good")
    relay()
    assert "no_such_column" in bad.external_data.error
    assert good.external_data.status == also_good.external_data.status == "pending"


def test_failed_update_keeps_what_was_indexed():
    note = Note.notes.create(text="first")
    relay()
    Note.notes.update(text="explode")
    relay()
    assert note.external_data.status == "failed"
    assert note.external_data.content == "first"


def test_retries_end_as_a_dead_letter(settings):
    settings.PGKNOWBASE = {
        **settings.PGKNOWBASE,
        "WORKER": {"RETRY": {"MAX_ATTEMPTS": 3, "DELAY": 0.0001, "MAX_DELAY": 0.0002}},
    }
    note = Note.notes.create(text="explode")
    worker = Relay()
    worker.run_once()
    for _ in range(10):
        worker.run_once()
    dead = note.external_data
    assert (dead.status, dead.attempts, dead.retry_at) == ("failed", 3, None)
    Note.notes.update(text="mended")
    note.sync_to_external_data()
    assert note.external_data.status == "pending"


class Returns:
    """A hook that returns what it is told."""

    def __init__(self, value):
        self.value = value

    def __call__(self, row):
        return self.value


@pytest.mark.parametrize(
    ("hook", "value", "error"),
    [
        ("get_external_content", "a\x00b", "NUL"),
        ("get_external_content", "a\ud800b", "lone surrogate"),
        ("get_external_content", 5, "return a text"),
        ("get_external_title", None, "return a text"),
        ("get_external_metadata", {"a": object()}, "JSON"),
        ("get_external_metadata", {"a": float("nan")}, "JSON"),
        ("get_external_metadata", {"a": "\x00"}, "NUL"),
        ("get_external_metadata", {"a": ["\ud800"]}, "lone surrogate"),
        ("get_external_metadata", ["a"], "return a dict"),
        ("get_external_tags", "abc", "return a list"),
        ("get_external_tags", [1], "return a text"),
    ],
)
def test_values_that_cannot_be_stored_are_told(monkeypatch, hook, value, error):
    monkeypatch.setattr(Note, hook, lambda row: value if row.text == "bad" else getattr(super(Note, row), hook)())
    good, bad = Note.notes.create(text="good"), Note.notes.create(text="bad")
    relay()
    assert bad.external_data.status == "failed"
    assert error in bad.external_data.error
    assert good.has_external_data


@pytest.mark.parametrize("change", ["created", "updated", "unchanged", "removed"])
def test_batch_costs_a_constant_number_of_statements(change):
    category = Category.objects.create(name="c")
    author = get_user_model().objects.create(username="a")
    costs = []
    for count in (10, 100):
        Article.objects.bulk_create([Article(title=str(n), category=category, author=author) for n in range(count)])
        if change != "created":
            relay()
        if change == "updated":
            Article.objects.update(body="new")
        elif change == "unchanged":
            OutboxEvent.objects.bulk_create(
                [OutboxEvent(source="blog.Article", object_keys=[str(one.pk)], op="U") for one in Article.objects.all()]
            )
        elif change == "removed":
            Article.objects.all().delete()
        worker = Relay(batch_size=500)
        with CaptureQueriesContext(connection) as captured:
            assert worker.run_once().report.counts[change] == count
        costs.append(len(captured))
        Article.objects.all().delete()
        relay()
    assert costs[0] == costs[1] <= 20


def test_key_that_is_no_key_is_worked_off():
    OutboxEvent.objects.create(source="blog.Note", object_keys=["no uuid"], op="U")
    OutboxEvent.objects.create(source="blog.Note", object_keys=[str(uuid.uuid4())], op="U")
    assert relay().events == 2
    assert not OutboxEvent.objects.exists()
    assert not ExternalData.objects.exists()


def test_events_of_models_that_are_not_here_stay():
    OutboxEvent.objects.create(source="other.Project", object_keys=["1"], op="U")
    assert relay().events == 0
    assert OutboxEvent.objects.count() == 1


def test_by_hand(db):
    article = Article.objects.create(title="a")
    assert article.sync_to_external_data().created == 1
    assert article.sync_to_external_data().unchanged == 1
    assert article.regenerate_external_data().total == 1
    assert list(Article.with_external_data()) == [article]
    other = Article.objects.create(title="b")
    assert list(Article.without_external_data()) == [other]
    assert Article.sync_all_external_data(limit=1).unchanged == 1
    assert Article.sync_all_external_data().created == 1
    assert article.remove_from_external_data()
    assert not article.remove_from_external_data()
    assert list(Article.objects.without_external_data()) == [article]
