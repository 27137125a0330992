"""Triggers are broken one by one; the doctor finds each, and its steps repair it."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.operations.doctor import triggers
from tests.integration.operations.doctor.conftest import findings, repair, sql, the, value
from tests.projects.blog.models import Article

pytestmark = pytest.mark.usefixtures("healthy")
NAME = (
    "SELECT tgname FROM pg_trigger WHERE tgrelid = 'blog_article'::regclass AND tgname ~ 'pgknowbase_update_[0-9a-f]+$'"
)


def test_disabled(drain):
    sql(f"ALTER TABLE blog_article DISABLE TRIGGER {value(NAME)}")
    finding = the("trigger.disabled")
    assert "blog.Article:pgknowbase_update" in finding.what
    article = Article.objects.create(title="before")
    OutboxEvent.objects.all().delete()
    call_command("sync_external_models", "blog.Article", stdout=StringIO(), stderr=StringIO(), verbosity=0)
    Article.objects.update(title="missed")
    assert not OutboxEvent.objects.exists()
    repair(finding)
    assert ExternalData.objects.of(article).get().title == "missed"
    Article.objects.update(title="seen")
    assert OutboxEvent.objects.count() == 1
    drain()


def test_fires_on_replicas_alone():
    sql(f"ALTER TABLE blog_article ENABLE REPLICA TRIGGER {value(NAME)}")
    repair(the("trigger.disabled"))
    assert value("SELECT tgenabled FROM pg_trigger WHERE tgname = %s", value(NAME)) == "O"


def test_always_firing_is_right():
    sql(f"ALTER TABLE blog_article ENABLE ALWAYS TRIGGER {value(NAME)}")
    assert findings() == []
    sql(f"ALTER TABLE blog_article ENABLE TRIGGER {value(NAME)}")


def test_missing():
    sql(f"DROP TRIGGER {value(NAME)} ON blog_article")
    finding = the("trigger.missing")
    assert finding.fix[0] == "manage.py pgtrigger install blog.Article:pgknowbase_update"
    repair(finding)
    Article.objects.create(title="a")
    OutboxEvent.objects.all().delete()
    Article.objects.update(title="b")
    assert OutboxEvent.objects.count() == 1
    Article.objects.all().delete()


def test_altered_function():
    name = value(NAME)
    sql(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog AS $$ BEGIN RETURN NULL; END $$"
    )
    finding = the("trigger.altered")
    assert "blog.Article:pgknowbase_update" in finding.what
    repair(finding)


def test_function_without_its_search_path():
    name = value(NAME)
    sql(f"ALTER FUNCTION {name}() RESET search_path")
    repair(the("trigger.altered"))


def test_drift_of_a_declaration_without_migration(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Article, "ExternalDataMeta", type("ExternalDataMeta", (), {"watch_fields": ["title", "views"]}))
        drifted = findings("trigger.drift")
    assert any("blog.Article:pgknowbase_update" in finding.what for finding in drifted)
    assert drifted[0].fix[:2] == ("manage.py makemigrations blog", "manage.py migrate blog")


def test_drift_of_an_old_trigger():
    name = value(NAME)
    sql(f"COMMENT ON TRIGGER {name} ON blog_article IS 'of another version'")
    finding = the("trigger.drift")
    assert finding.fix[0] == "manage.py pgtrigger install blog.Article:pgknowbase_update"
    repair(finding)


def test_model_that_is_no_source_any_more():
    sql(
        "CREATE FUNCTION pgtrigger_pgknowbase_insert_0123456789() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'"
    )
    sql(
        "CREATE TRIGGER pgtrigger_pgknowbase_insert_0123456789 AFTER INSERT ON blog_category"
        " EXECUTE FUNCTION pgtrigger_pgknowbase_insert_0123456789()"
    )
    finding = the("trigger.orphan")
    assert "blog_category" in finding.what
    repair(finding)


def test_source_that_the_migrations_still_know(monkeypatch):
    kept = [source for source in triggers.sources() if source.model is not Article]
    with monkeypatch.context() as patch:
        patch.setattr(triggers, "sources", lambda: kept)
        orphans = findings("trigger.orphan")
    assert {finding.fix for finding in orphans} == {("manage.py makemigrations", "manage.py migrate")}
    assert any("blog_article" in finding.what for finding in orphans)


def test_migration_with_triggers_that_is_not_applied():
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("blog", "0002_triggers")
    try:
        finding = the("migration.pending")
        assert "blog.0002_triggers is not applied" in finding.what
        assert finding.fix == ("manage.py migrate blog",)
        name = value(NAME)
        sql(f"DROP TRIGGER {name} ON blog_article")
        assert the("trigger.missing").fix[0] == "manage.py migrate blog"
    finally:
        repair(the("migration.pending"))


def test_disabled_on_a_related_table():
    ((table, name),) = sql(
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger"
        " WHERE tgname ~ '^pgtrigger_pgknowbase_update_category_' AND tgparentid = 0 ORDER BY 2 LIMIT 1"
    )
    sql(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
    finding = the("trigger.disabled")
    assert f"is disabled on {table}" in finding.what
    repair(finding)


def test_command_fails_in_ci_and_says_why():
    name = value(NAME)
    sql(f"ALTER TABLE blog_article DISABLE TRIGGER {name}")
    out = StringIO()
    with pytest.raises(CommandError, match=r"^1 error, 0 warnings, ") as failure:
        call_command("pgknowbase_doctor", stdout=out)
    assert failure.value.returncode == 2
    assert (
        "ERROR trigger.disabled: The trigger blog.Article:pgknowbase_update is disabled on blog_article"
        in out.getvalue()
    )
    assert f"\n    ALTER TABLE blog_article ENABLE TRIGGER {name};\n" in out.getvalue()
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("pgknowbase_doctor", format="json", stdout=out)
    told = json.loads(out.getvalue())
    assert told["exit_code"] == 2
    assert [each["id"] for each in told["findings"] if each["severity"] == "error"] == ["trigger.disabled"]
    repair(the("trigger.disabled"))
