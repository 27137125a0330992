"""What hooks read though no path watches it is named: model, hook and column."""

import pytest
from django.contrib.auth import get_user_model

from pgknowbase.models import OutboxEvent, RenderCost
from pgknowbase.operations.doctor import work
from pgknowbase.relay import hook_costs
from pgknowbase.relay.default_document import _values
from pgknowbase.relay.relay import Relay
from pgknowbase.sources.declaration import ExternalDataMetaConfig
from pgknowbase.sources.paths import walk
from pgknowbase.sources.registry import Source
from tests.projects.blog.models import Article, Category
from tests.projects.shapes.models import Topic

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def empty_outbox(transactional_db):
    OutboxEvent.objects.all().delete()


@pytest.fixture
def article():
    food = Category.objects.create(name="Food")
    writer = get_user_model().objects.create_user("ann")
    return Article.objects.create(title="Rice", body="Steam it.", category=food, author=writer, year=2026)


def reads():
    Relay().run_once()
    return RenderCost.objects.get().unwatched


def test_watched_columns_are_not_named(monkeypatch, article):
    monkeypatch.setattr(Article, "get_external_content", lambda row: f"{row.title} {row.body} {row.year} {row.pk}")
    monkeypatch.setattr(Article, "get_external_tags", lambda row: [str(row.category_id), str(row.author_id)])
    assert reads() == []


def test_what_the_default_text_of_a_relation_reads(article):
    assert reads() == ["get_external_content: blog.Category.name", "get_external_tags: blog.Category.name"]


@pytest.mark.parametrize(
    ("hook", "act", "named"),
    [
        ("get_external_title", lambda row: str(row.views), ["blog.Article.views"]),
        ("get_external_title", lambda row: row.author.username, ["auth.User.username"]),
        ("get_external_metadata", lambda row: {"n": Category.objects.count()}, ["blog.Category"]),
        ("get_external_metadata", lambda row: {"n": row.category.article_set.count()}, []),
        (
            "get_external_metadata",
            lambda row: {"n": Article.objects.filter(category=row.category, status="draft").count()},
            ["blog.Article.status"],
        ),
        (
            "get_external_metadata",
            lambda row: {"n": list(Article.objects.values_list("views", flat=True))},
            ["blog.Article.views"],
        ),
        ("should_sync_to_external_data", lambda row: getattr(row, "status") == "published", ["blog.Article.status"]),  # noqa: B009
    ],
)
def test_reads_are_named_with_their_hook(monkeypatch, caplog, article, hook, act, named):
    monkeypatch.setattr(Article, "get_external_content", lambda row: row.body)
    monkeypatch.setattr(Article, "get_external_tags", lambda row: [])
    monkeypatch.setattr(Article, hook, act)
    found = reads()
    assert found == [f"{hook}: {name}" for name in named]
    said = [finding.what for finding in work.unwatched("default")]
    assert len(said) == bool(named)
    for name in named:
        assert f"{hook} of blog.Article reads {name}, which is not watched, so" in caplog.text
        assert (
            f"blog.Article read what is not watched, so changes there do not reach the index: {hook}: {name}."
            in said[0]
        )


def test_rows_are_as_they_were_after_it(monkeypatch, article):
    seen = []
    monkeypatch.setattr(Article, "get_external_content", lambda row: seen.append(row) or row.body)
    reads()
    (row,) = seen
    assert type(row) is Article
    assert "_pgknowbase_read" not in vars(row)
    assert type(row.category) is Category


def test_a_mended_hook_is_not_named_any_more(monkeypatch, article):
    monkeypatch.setattr(Article, "get_external_content", lambda row: row.body)
    monkeypatch.setattr(Article, "get_external_tags", lambda row: [row.status])
    assert reads() == ["get_external_tags: blog.Article.status"]
    monkeypatch.setattr(Article, "get_external_tags", lambda row: [])
    hook_costs.forget()  # as another process has it
    article.title = "Noodles"
    article.save()
    assert reads() == []


def test_the_default_title_is_watched(monkeypatch):
    text_only = ExternalDataMetaConfig(watch_fields=["body"])
    assert Source(Article, text_only).paths == ("body", "title", "author")
    monkeypatch.setattr(Article, "get_external_title", lambda row: "")
    assert Source(Article, text_only).paths == ("body", "author")


@pytest.mark.parametrize(("ordering", "shown"), [(["name"], "b, a"), (["pk"], "b, a"), (["-pk"], "a, b")])
def test_related_rows_are_listed_in_an_order_that_is_watched(monkeypatch, ordering, shown):
    """By their names, which an essay that shows slugs does not watch, they would change places unseen."""
    parent = Topic.objects.create(name="p", slug="p")
    for name, slug in (("2", "b"), ("1", "a")):
        Topic.objects.create(name=name, slug=slug, parent=parent)
    monkeypatch.setattr(Topic._meta, "ordering", ordering)
    steps = list(walk(Topic, "children__slug"))
    values = [target.slug for target, _ in _values(parent, steps, "", frozenset({"children__slug"}))]
    assert ", ".join(values) == shown


def test_related_rows_are_listed_by_what_is_watched(monkeypatch):
    parent = Topic.objects.create(name="p", slug="p")
    for name, slug in (("2", "b"), ("1", "a")):
        Topic.objects.create(name=name, slug=slug, parent=parent)
    monkeypatch.setattr(Topic._meta, "ordering", ["slug"])
    steps = list(walk(Topic, "children__slug"))
    values = [target.slug for target, _ in _values(parent, steps, "", frozenset({"children__slug"}))]
    assert values == ["a", "b"]
