"""Routers that send reads to a copy of the database: what is indexed and compared is read where it is written."""

import pytest
from django.conf import settings as project
from django.db import connections, router

from pgknowbase.core.routing import reads_from
from pgknowbase.errors import NotYetIndexedError
from pgknowbase.models import ExternalData
from pgknowbase.operations.drift import check, repair
from pgknowbase.sources.registry import source_of
from pgknowbase.testing import assert_in_sync, drain
from tests.projects.newsroom import reactions
from tests.projects.newsroom.models import Story
from tests.projects.press.models import Article, Author, Category, Comment, Tag

pytestmark = pytest.mark.django_db


@pytest.fixture
def article(alias, make_copy, settings):
    """An article whose related rows have all changed since the copy was made, and are not indexed again yet."""
    settings.PGKNOWBASE = {**project.PGKNOWBASE, "DATABASE": "kb"}
    settings.DATABASE_ROUTERS = ["tests.acceptance.databases.routers.Lagging"]
    kept = make_copy()
    alias("kb", kept)
    top = Category.objects.create(name="old top")
    made = Article.objects.create(
        title="Rice",
        body="Steam it.",
        author=Author.objects.create(name="old author"),
        category=Category.objects.create(name="old category", parent=top),
    )
    made.tags.add(Tag.objects.create(name="old tag"))
    made.comments.create(body="old comment")
    drain()
    alias("lagging", make_copy(kept))
    for model in (Author, Category, Tag):
        for row in model.objects.using("kb"):
            row.name = row.name.replace("old", "new")
            row.save()
    Comment.objects.update(body="new comment")
    assert Article.objects.get().author.name == "old author"
    return made


def texts(alias="kb"):
    data = ExternalData.objects.using(alias).get()
    return f"{data.content} {data.tags}"


def test_related_rows_are_rendered_as_they_were_written(article):
    drain()
    assert "old" not in texts()
    for name in ("author", "category", "top", "tag", "comment"):
        assert f"new {name}" in texts()
    assert_in_sync(Article)


def test_queries_of_hooks_ask_the_writer_too(article, monkeypatch):
    def content(self):
        return " ".join(comment.body for comment in Comment.objects.filter(article=self.pk))

    monkeypatch.setattr(Article, "get_external_content", content)
    drain()
    assert texts().startswith("new comment")


def test_check_and_repair_see_what_the_copy_does_not(article):
    # The index as a relay that read the copy would have left it: nothing waits, and the text is the old one.
    for queue in ("pgknowbase_outbox", "pgknowbase_expansion"):
        with connections["kb"].cursor() as cursor:
            cursor.execute(f"TRUNCATE {queue}")
    source = source_of(Article)
    assert check(source, "kb").counts["stale"] == 1
    assert repair(source, "kb").repaired.updated == 1
    assert "old" not in texts()


def test_a_row_read_from_the_copy_is_synchronised_where_it_is_written(article):
    row = Article.objects.get()
    assert row._state.db == "lagging"
    assert row.sync_to_external_data().updated == 1
    assert "old" not in texts("kb")
    assert "old" in texts("lagging")


def test_waiting_for_a_row_read_from_the_copy_looks_where_it_is_written(article):
    row = Article.objects.get()
    with pytest.raises(NotYetIndexedError, match="its change waits in the outbox"):
        row.wait_indexed(timeout=0.1)
    drain()
    assert row.wait_indexed()


def test_reactions_see_related_rows_as_they_were_written(article, monkeypatch):
    asked = []
    monkeypatch.setitem(reactions.STATE, "during", lambda change: asked.append(Author.objects.get().name))
    Story.objects.create(title="a", body="b", status="draft")
    drain()
    assert set(asked) == {"new author"}


def test_models_that_live_elsewhere_are_read_there(article, settings):
    class Elsewhere:
        def db_for_read(self, model, **hints):
            return "lagging" if model is Tag else None

        db_for_write = db_for_read

    settings.DATABASE_ROUTERS = [Elsewhere(), "tests.acceptance.databases.routers.Lagging"]
    with reads_from("kb"):
        assert router.db_for_read(Tag) == "lagging"
        assert router.db_for_read(Author) == "kb"
    assert router.db_for_read(Author) == "lagging"
