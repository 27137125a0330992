"""A wrong declaration or setting is reported at start-up, with its name and what to do."""

from datetime import timedelta

import pytest
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.core import checks
from django.db import models
from django.test.utils import isolate_apps

from pgknowbase.checks import check_database, check_settings, check_source_models
from pgknowbase.errors import PathNotSupportedError
from pgknowbase.mixins import ExternalDataMixin
from pgknowbase.sources.paths import watched_tables
from tests.projects.blog.models import Article


def declare(monkeypatch, **keys):
    monkeypatch.setattr(Article, "ExternalDataMeta", type("ExternalDataMeta", (), keys))
    return [(error.id, error.msg) for error in check_source_models() if error.obj is Article]


@pytest.mark.parametrize(
    ("keys", "number", "told"),
    [
        ({}, "E010", "'watch_fields' is missing"),
        ({"watch_fields": []}, "E010", "'watch_fields': Tuple should have at least 1 item"),
        ({"watch_fields": "title"}, "E010", "write a list of names, such as ['title']"),
        ({"watch_fields": ["title", "title"]}, "E010", "'title' is named twice"),
        ({"watch_fields": ["titel"]}, "E010", "'titel' is not a field of 'blog.Article': use one of author, body"),
        ({"watch_fields": ["title"], "watch": 1}, "E010", "'watch' is not a key of it: use one of watch_fields"),
        (
            {"watch_fields": ["title"], "similarity_threshold": 1.5},
            "E010",
            "'similarity_threshold': Input should be less",
        ),
        ({"watch_fields": ["title"], "similarity_threshold": "x"}, "E010", "got 'x'"),
        ({"watch_fields": ["title"], "source_type": "file"}, "E010", "'source_type'"),
        ({"watch_fields": ["title"], "refresh_after": timedelta(0)}, "E010", "'refresh_after'"),
        ({"watch_fields": ["title"], "owner_field": "editor"}, "E010", "'blog.Article' has no field 'editor'"),
        ({"watch_fields": ["title"], "owner_field": "category"}, "E010", "does not lead to 'auth.User'"),
        ({"watch_fields": ["title__x"]}, "E010", "goes through 'title', which is not a relation"),
        ({"watch_fields": ["category__nam"]}, "E010", "'blog.Category' has no field 'nam'"),
        ({"watch_fields": ["pk"]}, "E010", "names the key, which is always watched"),
    ],
)
def test_wrong_declaration(monkeypatch, keys, number, told):
    ((found, message),) = declare(monkeypatch, **keys)
    assert found == f"pgknowbase.{number}"
    assert "'blog.Article'" in message
    assert told in message


def test_many_watched_fields(monkeypatch):
    monkeypatch.setattr("pgknowbase.checks.MANY_FIELDS", 5)
    fields = ["title", "body", "year", "status", "views"]
    assert declare(monkeypatch, watch_fields=fields) == []
    ((number, told),) = declare(monkeypatch, watch_fields=[*fields, "category"])
    assert number == "pgknowbase.W013"
    assert told.startswith("'blog.Article' watches 6 fields")


def test_refresh_after_is_accepted(monkeypatch):
    assert declare(monkeypatch, watch_fields=["title"], refresh_after=timedelta(days=1)) == []


@isolate_apps("tests.projects.blog")
def test_generic_relations_cannot_be_captured():
    class Label(models.Model):
        content_type = models.ForeignKey(ContentType, models.CASCADE)
        object_id = models.TextField()
        target = GenericForeignKey()

        class Meta:
            app_label = "blog"

    class Post(ExternalDataMixin, models.Model):
        labels = GenericRelation(Label)

        class Meta:
            app_label = "blog"

    for model, path in ((Post, "labels"), (Post, "labels__object_id"), (Label, "target")):
        with pytest.raises(PathNotSupportedError, match=f"'{path}' of .* generic relation .* cannot be captured"):
            watched_tables(model, [path])


def test_declaration_is_inherited_key_by_key(monkeypatch):
    from pgknowbase.sources.registry import source_of

    base = type("Base", (), {"watch_fields": ["title"], "is_public": True})
    monkeypatch.setattr(Article, "ExternalDataMeta", type("ExternalDataMeta", (base,), {"similarity_threshold": 0.3}))
    config = source_of(Article).config
    assert (config.watch_fields, config.is_public, config.similarity_threshold) == (("title",), True, 0.3)


def test_right_project_has_no_messages():
    assert check_source_models() == []
    assert check_settings() == []


@pytest.mark.parametrize(
    ("change", "number", "told"),
    [
        (None, "E001", "settings.PGKNOWBASE is missing"),
        ({"EMBEDINGS": {}}, "E001", "EMBEDINGS: unknown key"),
        ({"EMBEDDINGS": {}}, "E001", "SPACE names the embedding 'default'"),
        ({"SPACE": {"CHUNK_SIZE": 100, "CHUNK_OVERLAP": 100}}, "E001", "CHUNK_OVERLAP must be smaller"),
        ({"SPACE": {"TEMPLATE": "$title"}}, "E001", "must contain '$chunk'"),
        ({"WORKER": {"HEARTBEAT_TIMEOUT": -1}}, "E001", "WORKER.HEARTBEAT_TIMEOUT"),
        ({"DATABASE": "other"}, "E003", "names 'other'"),
    ],
)
def test_wrong_settings(settings, change, number, told):
    settings.PGKNOWBASE = None if change is None else {**settings.PGKNOWBASE, **change}
    (message,) = check_settings()
    assert message.id == f"pgknowbase.{number}"
    assert told in message.msg


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"BACKEND": "no.such.Backend"}, "cannot be imported"),
        ({"BACKEND": "decimal.Decimal"}, "is not a subclass of Embedder"),
        ({"BACKEND": "pgknowbase.embeddings.static.StaticEmbedder", "DIMENSIONS": 100}, "256"),
        ({"OPTIONS": {"NONSENSE": 1}}, "refuses its options"),
    ],
)
def test_wrong_backend(settings, entry, told):
    default = {**settings.PGKNOWBASE["EMBEDDINGS"]["default"], **entry}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "EMBEDDINGS": {"default": default}}
    (message,) = check_settings()
    assert message.id == "pgknowbase.E004"
    assert told in message.msg


def test_database_that_differs_from_the_settings(db, settings):
    assert check_database(databases=["default"]) == []
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SPACE": {"CHUNK_SIZE": 300}}
    (message,) = check_database(databases=["default"])
    assert message.id == "pgknowbase.E020"
    assert "chunk_size is 700, the settings say 300" in message.msg
    assert check_database(databases=None) == []


def test_checks_are_registered():
    names = {check.__name__ for check in checks.registry.registry.get_checks(include_deployment_checks=True)}
    assert {"check_settings", "check_source_models", "check_database"} <= names


@pytest.mark.parametrize(
    ("orm", "told"),
    [
        ({"no.Model": ["x"]}, "['AGENTS']['ORM_TOOL_MODELS'] names 'no.Model', which is not a model"),
        ({"nothing": ["x"]}, "['AGENTS']['ORM_TOOL_MODELS'] names 'nothing', which is not a model"),
        (
            {"blog.Article": ["titel"]},
            "['AGENTS']['ORM_TOOL_MODELS'] names 'titel', which is not a field of 'blog.Article': use one of",
        ),
        ({"blog.Article": ["category__name"]}, "names 'category__name', which is not a field"),
        ({"blog.Article": []}, None),
        ({"blog.article": ["pk", "id", "title", "category", "category_id"]}, None),
    ],
)
def test_models_of_the_orm_tools(settings, orm, told):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": {"ORM_TOOL_MODELS": orm}}
    found = [(error.id, error.msg) for error in check_settings()]
    assert [number for number, _ in found] == (["pgknowbase.E006"] if told else [])
    assert told is None or told in found[0][1]


def test_own_apps_without_migrations(settings):
    settings.MIGRATION_MODULES = {"pgknowbase": None, "pgknowbase_chat": None, "blog": None}
    found = [error.msg for error in check_settings() if error.id == "pgknowbase.E009"]
    assert [name for name in ("'pgknowbase'", "'pgknowbase_chat'") if any(name in text for text in found)] == [
        "'pgknowbase'",
        "'pgknowbase_chat'",
    ]
    assert len(found) == 2


def test_replicas(settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REPLICAS": ["away"]}
    found = {message.id: message.msg for message in check_settings()}
    assert found == {
        "pgknowbase.E050": "REPLICAS names 'away', which is not a Postgres of DATABASES.",
        "pgknowbase.W051": "REPLICAS names replicas, and no router sends searches to them.",
    }
    settings.DATABASE_ROUTERS = ["pgknowbase.replicas.ReplicaRouter"]
    assert {message.id for message in check_settings()} == {"pgknowbase.E050"}
    for replicas in (["default"], ["away", "away"], {"default": ["away"], "away": []}):
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REPLICAS": replicas}
        ((number, told),) = [(message.id, message.msg) for message in check_settings()]
        assert number == "pgknowbase.E001"
        assert "twice, or a primary: name each replica of one primary once" in told
