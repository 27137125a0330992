"""Every committed write of a watched column leaves an event, whoever made it; nothing else does."""

import pgtrigger
import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction

from pgknowbase.models import OutboxEvent
from tests.projects.blog.models import Article, Category, Manual, Note, Slug

pytestmark = pytest.mark.django_db


def events():
    found = [
        (source, key, op)
        for source, keys, op in OutboxEvent.objects.values_list("source", "object_keys", "op")
        for key in ([None] if keys is None else keys)
    ]
    OutboxEvent.objects.all().delete()
    return found


def execute(sql, params=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


@pytest.fixture
def article():
    row = Article.objects.create(title="a", body="b")
    OutboxEvent.objects.all().delete()
    return row


def test_orm_writes(article):
    key = str(article.pk)
    article.title = "new"
    article.save()
    assert events() == [("blog.Article", key, "U")]
    article.save()
    assert events() == []
    Article.objects.filter(pk=article.pk).update(body="new")
    assert events() == [("blog.Article", key, "U")]
    article.delete()
    assert events() == [("blog.Article", key, "D")]


def test_bulk_writes():
    rows = Article.objects.bulk_create([Article(title=str(n)) for n in range(3)])
    keys = [str(row.pk) for row in rows]
    assert [(key, op) for _, key, op in events()] == [(key, "I") for key in keys]
    for row in rows:
        row.title += "!"
    Article.objects.bulk_update(rows, ["title"])
    assert sorted(events()) == sorted(("blog.Article", key, "U") for key in keys)
    Article.objects.all().delete()
    assert sorted(events()) == sorted(("blog.Article", key, "D") for key in keys)


def test_upsert_tells_insert_from_update(article):
    Article.objects.bulk_create(
        [Article(pk=article.pk, title="changed"), Article(pk=article.pk + 1, title="new")],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["title"],
    )
    assert sorted((key, op) for _, key, op in events()) == sorted([(str(article.pk), "U"), (str(article.pk + 1), "I")])


def test_raw_sql_and_copy(article):
    execute("UPDATE blog_article SET body = body || 'x'")
    assert events() == [("blog.Article", str(article.pk), "U")]
    with connection.cursor() as cursor, cursor.copy("COPY blog_category (id, name) FROM STDIN") as copy:
        copy.write_row((900, "copied"))
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY blog_article (id, title, body, status, views) FROM STDIN") as copy,
    ):
        copy.write_row((900, "copied", "", "", 0))
        copy.write_row((901, "copied", "", "", 0))
    assert [key for _, key, _ in events()] == ["900", "901"]


def test_truncate_is_one_event(article):
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("TRUNCATE blog_article")
    assert events() == [("blog.Article", None, "T")]


def test_foreign_key_column_and_database_cascade(article):
    category = Category.objects.create(name="c")
    Article.objects.update(category=category)
    assert events() == [("blog.Article", str(article.pk), "U")]
    category.delete()
    assert events() == [("blog.Article", str(article.pk), "D")]


def test_unwatched_columns_and_same_values_leave_nothing(article):
    Article.objects.update(views=5, status="draft")
    execute("UPDATE blog_article SET title = title, body = body")
    assert events() == []


def test_owner_is_watched_without_being_named(article):
    user = get_user_model().objects.create(username="u")
    Article.objects.update(author=user)
    assert events() == [("blog.Article", str(article.pk), "U")]


def test_value_set_by_a_before_trigger_is_seen(article):
    execute(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.title := upper(NEW.title); RETURN NEW; END $$"
    )
    execute("CREATE TRIGGER shout BEFORE UPDATE ON blog_article FOR EACH ROW EXECUTE FUNCTION shout()")
    Article.objects.update(views=1)
    assert events() == [("blog.Article", str(article.pk), "U")]


def test_changed_key_removes_the_old_and_brings_the_new():
    Slug.objects.create(key="old", text="t")
    events()
    Slug.objects.filter(key="old").update(key="new")
    assert sorted(events()) == [("blog.Slug", "new", "U"), ("blog.Slug", "old", "U")]


@pytest.mark.parametrize("key", ["it's", 'say "hi"', "ключ", "a/b %s $1", "中文 ключ\n"])
def test_any_text_is_a_key(key):
    Slug.objects.create(key=key, text="t")
    assert events() == [("blog.Slug", key, "I")]


def test_uuid_key_is_written_as_django_writes_it():
    note = Note.notes.create(text="t")
    assert events() == [("blog.Note", str(note.pk), "I")]


def test_rollback_leaves_nothing(article):
    with transaction.atomic():
        Article.objects.update(title="gone")
        transaction.set_rollback(True)
    assert events() == []


def test_without_auto_sync_there_is_no_trigger():
    Manual.objects.create(name="m")
    assert events() == []


def test_ignored_triggers_stay_silent(article):
    with pgtrigger.ignore("blog.Article:pgknowbase_update"):
        Article.objects.update(title="silent")
    assert events() == []
    with pgtrigger.ignore():
        Article.objects.create(title="silent")
        execute("UPDATE blog_article SET title = 'still silent'")
    assert events() == []
    Article.objects.update(title="loud")
    assert len(events()) == 2
