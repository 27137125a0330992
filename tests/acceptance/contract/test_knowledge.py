"""Source models: each name that users write, as they write it."""

from datetime import timedelta
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, load_command_class
from django.db.models import F

import pgknowbase.api
from pgknowbase.mixins import ExternalDataMixin
from pgknowbase.models import ExternalData, ExternalDataType
from pgknowbase.operations.status import ModelIntegrationStatus
from pgknowbase.signals import external_data_failed, external_data_removed, external_data_synced
from pgknowbase.sources.declaration import ExternalDataMetaConfig
from pgknowbase.sync.requests import ExternalDataSyncRequest, ExternalDataSyncResponse
from tests.projects.blog.models import Article, Category, Note


def test_meta():
    class ExternalDataMeta:
        watch_fields = ["title", "content", "tags", "author__username"]
        similarity_threshold = 0.6
        auto_sync = True
        is_public = True
        owner_field = "author"
        source_type = ExternalDataType.CUSTOM
        refresh_after = timedelta(days=1)

    config = ExternalDataMetaConfig.from_class(ExternalDataMeta)
    assert list(config.watch_fields) == ExternalDataMeta.watch_fields
    assert (config.similarity_threshold, config.auto_sync, config.is_public) == (0.6, True, True)
    assert (config.owner_field, config.source_type, config.refresh_after) == ("author", "custom", timedelta(days=1))


def test_every_key_is_optional_but_one():
    class ExternalDataMeta:
        watch_fields = ["title"]

    config = ExternalDataMetaConfig.from_class(ExternalDataMeta)
    assert (config.similarity_threshold, config.auto_sync, config.is_public) == (0.0, True, False)
    assert (config.owner_field, config.source_type, config.refresh_after) == (None, "model", None)
    with pytest.raises(ValueError, match="watch_fields"):
        ExternalDataMetaConfig.from_class(type("ExternalDataMeta", (), {}))
    assert ExternalDataType.values == ["model", "api", "custom"]


def test_a_declaration_that_has_changed_is_read_again():
    class Base:
        is_public = True

    class ExternalDataMeta(Base):
        watch_fields = ["title"]

    assert ExternalDataMetaConfig.from_class(ExternalDataMeta) is ExternalDataMetaConfig.from_class(ExternalDataMeta)
    Base.is_public = False
    assert ExternalDataMetaConfig.from_class(ExternalDataMeta).is_public is False
    ExternalDataMeta.is_public = True
    ExternalDataMeta.watch_fields = []
    with pytest.raises(ValueError, match="watch_fields"):
        ExternalDataMetaConfig.from_class(ExternalDataMeta)
    ExternalDataMeta.watch_fields = ["title", "name"]
    config = ExternalDataMetaConfig.from_class(ExternalDataMeta)
    assert (config.watch_fields, config.is_public) == (("title", "name"), True)


def test_hooks_are_the_mixins():
    for hook in ("content", "title", "description", "metadata", "tags", "queryset"):
        assert callable(getattr(ExternalDataMixin, f"get_external_{hook}"))
    assert Article(title="x").should_sync_to_external_data() is True
    assert Article.get_external_queryset().model is Article


@pytest.mark.django_db(transaction=True)
def test_instances(drain):
    user = User.objects.create_user("ann")
    article = Article.objects.create(
        title="Rice", body="Wash it.", author=user, category=Category.objects.create(name="c")
    )
    assert (article.external_data, article.has_external_data, article.external_data_status) == (None, False, None)
    assert list(Article.without_external_data()) == [article]
    article.sync_to_external_data(wait=False)
    assert article.external_data_status == "pending"
    drain()
    known = article.external_data
    assert isinstance(known, ExternalData)
    assert (article.has_external_data, article.external_data_status) == (True, "completed")
    assert (article.external_source_id, known.object_key) == (str(article.pk), str(article.pk))
    assert list(Article.with_external_data()) == [article]
    told = (known.source_type, known.content_type.model_class(), known.title, known.description, known.tags)
    assert told == ("model", Article, "Rice", "", ["c"])
    assert (known.owner, known.is_public, known.is_active, known.similarity_threshold) == (user, False, True, 0.0)
    assert (known.status, known.error, known.attempts, known.chunk_count) == ("completed", "", 0, 1)
    assert "Wash it." in known.content
    assert known.content_hash
    assert known.metadata == {}
    assert hasattr(known, "token_count")
    assert known.created_at <= known.updated_at <= known.processed_at
    article.regenerate_external_data()
    article.sync_to_external_data(wait=True)
    assert article.external_data_status == "completed"
    article.remove_from_external_data()
    assert not article.has_external_data
    Article.sync_all_external_data(limit=None)
    assert article.has_external_data


@pytest.mark.django_db(transaction=True)
def test_async_twins(drain):
    note = Note.notes.create(text="hello")

    async def twins():
        await note.async_to_external_data(wait=False)
        await note.aregenerate_external_data()
        await note.aremove_from_external_data()
        await Note.async_all_external_data(limit=None)

    async_to_sync(twins)()
    assert note.has_external_data


@pytest.mark.django_db(transaction=True)
def test_what_depends_on_the_query_is_read_from_the_database(drain):
    article = Article.objects.create(title="Rice", year=2025)
    article.year = F("year") + 1
    article.save()
    article.sync_to_external_data()
    assert article.external_data.metadata == {"year": 2026}
    Article(pk=article.pk, title="never saved", year=F("views")).sync_to_external_data()
    assert (article.external_data.title, article.external_data.metadata) == ("Rice", {"year": 2026})


@pytest.mark.django_db(transaction=True)
def test_signals(drain):
    heard = []

    def listen(sender, signal, **values):
        heard.append((signal, sender))

    signals = (external_data_synced, external_data_removed, external_data_failed)
    for signal in signals:
        signal.connect(listen)
    try:
        Note.notes.create(text="explode")
        note = Note.notes.create(text="hello")
        drain()
        note.delete()
        drain()
    finally:
        for signal in signals:
            signal.disconnect(listen)
    assert {(external_data_synced, Note), (external_data_removed, Note), (external_data_failed, Note)} == set(heard)


def test_shapes_and_their_interfaces():
    fields = {
        ExternalDataSyncRequest: ["model_name", "model_id", "force_update"],
        ExternalDataSyncResponse: ["success", "external_data_id", "message", "processing_time", "chunks_created"],
        ModelIntegrationStatus: [
            *("model_name", "total_instances", "synced_instances", "pending_sync", "last_sync", "sync_enabled")
        ],
        ExternalDataMetaConfig: list(ExternalDataMetaConfig.model_fields),
    }
    types = (Path(pgknowbase.api.__path__[0]) / "typescript" / "src" / "schema.ts").read_text()
    for shape, names in fields.items():
        assert list(shape.model_fields) == names
        assert f"\nexport type {shape.__name__} = components['schemas']['{shape.__name__}'];\n" in types
        interface = types.partition(f"\n        {shape.__name__}: {{\n")[2].partition("\n        };")[0]
        found = [line.strip().partition(":")[0].rstrip("?") for line in interface.splitlines() if ":" in line]
        assert [name for name in found if name in names] == names


COMMANDS = {
    "pgknowbase_worker": ["--once", "--batch-size 10", "--concurrency 2"],
    "sync_external_models": ["blog.Article blog.Note", "--batch-size 10", "--force", "--dry-run", "--check"],
    "pgknowbase_status": ["--format table", "--format json"],
    "pgknowbase_doctor": [""],
    "orchestrator_status": [""],
    "create_agent": [f"--name x --type {kind}" for kind in ("content", "data", "business", "custom")],
    "run_agent": ["x prompt", "x prompt --user ann"],
    "agent_metrics": ["--agent x", "--since 7d", "--format json", "--format table"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_take_what_they_say(name):
    for app in ("pgknowbase", "pgknowbase.agents"):
        folder = Path(apps.get_app_config(app.rpartition(".")[2] if app == "pgknowbase" else "pgknowbase_agents").path)
        if (folder / "management" / "commands" / f"{name}.py").exists():
            parser = load_command_class(app, name).create_parser("manage.py", name)
            for line in COMMANDS[name]:
                parser.parse_args(line.split())
            return
    raise AssertionError(name)


@pytest.mark.django_db(transaction=True)
def test_sync_command_brings_all_in_and_says_how_many(drain, capsys):
    Article.objects.bulk_create(Article(title=f"n {number}") for number in range(3))
    call_command("sync_external_models", "blog.Article", "--batch-size", "2")
    assert ExternalData.objects.count() == 3
    told = capsys.readouterr()
    assert "blog.Article" in told.out + told.err
    Note.notes.create(text="explode")
    Note.notes.create(text="good")
    with pytest.raises(CommandError, match="1 rows failed"):
        call_command("sync_external_models", "blog.Note")
    assert ExternalData.objects.get(title="", status="pending").content == "good"
