"""What is beside the text reaches search without a text going to the provider; ``force`` sends every chunk."""

from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from pgknowbase.vectorizer.executor import Executor
from tests.fakes import RecordingEmbedder
from tests.projects.blog.models import Article, Category

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sent(transactional_db):
    """Let relay and executor do what is due; the texts that the provider received for it."""
    OutboxEvent.objects.all().delete()
    executor = Executor()
    executor.embedder = provider = RecordingEmbedder()

    def run():
        provider.calls.clear()
        while not Relay().run_once().idle:
            pass
        while not executor.run_once().idle:
            pass
        return provider.texts

    yield run
    executor.close()


@pytest.fixture
def article(sent, monkeypatch):
    monkeypatch.setattr(Article, "get_external_content", lambda row: row.body)
    made = Article.objects.create(title="t", body="b " * 600, year=2025)
    assert len(sent()) == 2
    return made


def found(**options):
    return list(ExternalData.objects.search("b", threshold=-1, **options).values_list("title", flat=True))


def declare(monkeypatch, **keys):
    monkeypatch.setattr(Article, "ExternalDataMeta", type("ExternalDataMeta", (Article.ExternalDataMeta,), keys))
    Article.sync_all_external_data()


def test_metadata_and_tags(article, sent):
    Article.objects.update(year=2026, category=Category.objects.create(name="c"))
    assert sent() == []
    assert found(metadata={"year": 2026}, tags=["c"]) == ["t"]
    assert found(metadata={"year": 2025}) == []


def test_visibility(article, sent, monkeypatch):
    stranger = get_user_model().objects.create(username="s")
    assert found(visible_to=stranger) == []
    declare(monkeypatch, is_public=True)
    assert sent() == []
    assert found(visible_to=stranger) == ["t"]


def test_owner(article, sent):
    owner = get_user_model().objects.create(username="o")
    assert found(visible_to=owner) == []
    Article.objects.update(author=owner)
    assert sent() == []
    assert found(visible_to=owner) == ["t"]


def test_threshold(article, sent, monkeypatch):
    assert ExternalData.objects.get().similarity_threshold == 0.0
    declare(monkeypatch, similarity_threshold=1.0)
    assert sent() == []
    assert list(ExternalData.objects.search("b")) == []


def test_description(article, sent, monkeypatch):
    monkeypatch.setattr(Article, "get_external_description", lambda row: "new")
    assert article.sync_to_external_data().metadata == 1
    assert sent() == []
    assert ExternalData.objects.get().description == "new"


def test_force(article, sent):
    for force in (
        article.regenerate_external_data,
        lambda: Article.sync_all_external_data(force=True),
        lambda: call_command("sync_external_models", "blog.Article", "--force", verbosity=0, stdout=StringIO()),
    ):
        force()
        assert len(sent()) == 2
    for gentle in (
        article.sync_to_external_data,
        Article.sync_all_external_data,
        lambda: call_command("sync_external_models", "blog.Article", verbosity=0, stdout=StringIO()),
    ):
        gentle()
        assert sent() == []
