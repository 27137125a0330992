"""Triggers go into the migrations of the app whose rows they watch, and out again."""

import re

import pytest
from django.db.migrations.loader import MigrationLoader

from pgknowbase.capture.operations import AddCaptureTrigger, RemoveCaptureTrigger

APP_TRIGGERS = """
SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE t.tgname LIKE 'pgtrigger_pgknowbase%%' AND c.relnamespace = 'public'::regnamespace
"""
FUNCTIONS = "SELECT proname FROM pg_proc WHERE proname LIKE 'pgtrigger_pgknowbase%%'"
UPDATE_TRIGGER = """
SELECT pg_get_triggerdef(oid) FROM pg_trigger
WHERE tgrelid = 'shop_article'::regclass AND tgname LIKE 'pgtrigger_pgknowbase_update%%'
"""


def test_models_and_migrations_agree(migrated):
    migrated.manage("makemigrations --check --dry-run")


def test_triggers_come_and_go_without_models_rendered_again():
    state = MigrationLoader(None).project_state()
    article = state.apps.get_model("blog", "article")
    triggers = state.models["blog", "article"].options["triggers"]
    RemoveCaptureTrigger("article", triggers[0].name).state_forwards("blog", state)
    assert state.models["blog", "article"].options["triggers"] == triggers[1:]
    AddCaptureTrigger("article", triggers[0]).state_forwards("blog", state)
    assert state.models["blog", "article"].options["triggers"] == [*triggers[1:], triggers[0]]
    assert state.apps.get_model("blog", "article") is article


@pytest.fixture
def bare(make_database, migrated):
    """A database in which neither the blog nor the demo's library is migrated."""
    database = make_database(template=migrated.name)
    database.manage(
        "migrate blog zero",
        "migrate library zero",
        "migrate shapes zero",
        "migrate press zero",
        "migrate newsroom zero",
    )
    return database


def test_way_of_an_apps_triggers(bare, shop):
    def manage(*commands):
        return bare.manage(*commands, project=shop, module="shop_settings")

    assert not bare.rows(APP_TRIGGERS)
    assert not bare.rows(FUNCTIONS)

    manage("makemigrations shop")
    tables = (shop / "shop" / "migrations" / "0001_initial.py").read_text()
    triggers = (shop / "shop" / "migrations" / "0002_triggers.py").read_text()
    assert "('pgknowbase'" not in tables.replace('"', "'")
    assert re.search(r"dependencies = \[[^\]]*\(['\"]pgknowbase['\"]", triggers)
    assert triggers.count("AddCaptureTrigger(") == 3 * 4
    assert "model_name='manual'" not in triggers.replace('"', "'")

    models = shop / "shop" / "models.py"
    models.write_text(models.read_text().replace('"category", "year"]', '"category", "year", "status"]'))
    manage("makemigrations shop", "makemigrations --check --dry-run shop", "migrate -v0")
    (third,) = (shop / "shop" / "migrations").glob("0003*.py")
    operations = re.findall(r"\b(\w+Trigger)\(\s*model_name=.(\w+).,\s*(?:name=.(\w+).)?", third.read_text())
    removed = ("RemoveCaptureTrigger", "article", "pgknowbase_update")
    assert sorted(operations) == [("AddCaptureTrigger", "article", ""), removed]
    assert {table for table, _ in bare.rows(APP_TRIGGERS)} == {"shop_article", "shop_note", "tests slug ñ"}
    assert len(bare.rows(APP_TRIGGERS)) == len(bare.rows(FUNCTIONS)) == 3 * 4
    assert "status" in bare.value(UPDATE_TRIGGER)

    manage("migrate shop 0002")
    assert "status" not in bare.value(UPDATE_TRIGGER)
    assert len(bare.rows(APP_TRIGGERS)) == len(bare.rows(FUNCTIONS)) == 3 * 4

    manage("migrate shop zero")
    assert not bare.rows(APP_TRIGGERS)
    assert not bare.rows(FUNCTIONS)
