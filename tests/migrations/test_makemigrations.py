"""Triggers go into the migrations of the app whose rows they watch, and out again."""

import re

import pytest

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


@pytest.fixture
def bare(make_database, migrated):
    """A database in which neither the blog nor the demo's library is migrated."""
    database = make_database(template=migrated.name)
    database.manage("migrate blog zero", "migrate library zero")
    return database


def test_way_of_an_apps_triggers(bare, shop):
    def manage(*commands):
        return bare.manage(*commands, project=shop, module="shop_settings")

    assert not bare.rows(APP_TRIGGERS)
    assert not bare.rows(FUNCTIONS)

    manage("makemigrations shop")
    first = (shop / "shop" / "migrations" / "0001_initial.py").read_text()
    assert re.search(r"dependencies = \[[^\]]*\(['\"]pgknowbase['\"]", first)
    assert first.count("pgtrigger.migrations.AddTrigger") == 3 * 4
    assert "model_name='manual'" not in first.replace('"', "'")

    models = shop / "shop" / "models.py"
    models.write_text(models.read_text().replace('"category", "year"]', '"category", "year", "status"]'))
    manage("makemigrations shop", "makemigrations --check --dry-run shop", "migrate -v0")
    (second,) = (shop / "shop" / "migrations").glob("0002*.py")
    operations = re.findall(
        r"pgtrigger.migrations.(\w+)\(\s*model_name=.(\w+).,\s*(?:name=.(\w+).)?", second.read_text()
    )
    assert sorted(operations) == [("AddTrigger", "article", ""), ("RemoveTrigger", "article", "pgknowbase_update")]
    assert {table for table, _ in bare.rows(APP_TRIGGERS)} == {"shop_article", "shop_note", "tests slug ñ"}
    assert len(bare.rows(APP_TRIGGERS)) == len(bare.rows(FUNCTIONS)) == 3 * 4
    assert "status" in bare.value(UPDATE_TRIGGER)

    manage("migrate shop 0001")
    assert "status" not in bare.value(UPDATE_TRIGGER)
    assert len(bare.rows(APP_TRIGGERS)) == len(bare.rows(FUNCTIONS)) == 3 * 4

    manage("migrate shop zero")
    assert not bare.rows(APP_TRIGGERS)
    assert not bare.rows(FUNCTIONS)
