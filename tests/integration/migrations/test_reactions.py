"""The triggers of a reaction go, or change their name, with it."""

import pytest

MODELS = """
from django.db import models

class Article(models.Model):
    title = models.TextField()
"""
REACTIONS = """
from pgknowbase import on_change
from shop.models import Article

@on_change(Article, fields=["title"], on=("insert", "update", "delete"))
def analyse(change):
    pass
"""
SETTINGS = """
from tests.settings import *
INSTALLED_APPS = [app for app in INSTALLED_APPS if not app.startswith("tests.") and app != "demo.library"]
INSTALLED_APPS += ["shop"]
"""
TRIGGERS = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'shop_article'::regclass AND NOT tgisinternal ORDER BY 1"
FUNCTIONS = "SELECT proname FROM pg_proc WHERE proname LIKE 'pgtrigger_pgknowbase_on%%' ORDER BY 1"
WRITE = "INSERT INTO shop_article (title) VALUES ('a'), ('b')"
EVENTS = "SELECT reaction, object_keys, op FROM pgknowbase_reaction_event"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "shop").mkdir()
    for name, text in (("__init__", ""), ("models", MODELS), ("reactions", REACTIONS)):
        (tmp_path / "shop" / f"{name}.py").write_text(text)
    (tmp_path / "shop_settings.py").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def manage(make_database, base, project):
    database = make_database(template=base.name)

    def run(*commands):
        return database.manage(*commands, project=project, module="shop_settings")

    run.database = database
    return run


def write(database):
    """Rows by raw SQL; returns what that put down for reactions."""
    with database.connect() as connection:
        connection.execute("TRUNCATE pgknowbase_reaction_event")
        connection.execute(WRITE)
        return connection.execute(EVENTS).fetchall()


def test_reaction_that_is_renamed_or_removed_makes_a_migration(project, manage):
    database, reactions = manage.database, project / "shop" / "reactions.py"
    migrate = ("makemigrations shop", "makemigrations --check --dry-run", "migrate -v0")
    manage(*migrate)
    first = database.rows(TRIGGERS)
    assert len(first) == len(database.rows(FUNCTIONS)) == 3
    assert write(database) == [("shop.analyse", ["1", "2"], "I")]

    reactions.write_text(REACTIONS.replace("def analyse", "def review"))
    manage(*migrate)
    renamed = database.rows(TRIGGERS)
    assert len(renamed) == len(database.rows(FUNCTIONS)) == 3
    assert not {*renamed} & {*first}
    assert write(database) == [("shop.review", ["3", "4"], "I")]

    reactions.write_text(REACTIONS.replace("def analyse", "def review").replace(', "delete"', ""))
    manage(*migrate)
    assert {*database.rows(TRIGGERS)} < {*renamed}
    assert len(database.rows(FUNCTIONS)) == 2

    reactions.unlink()
    manage(*migrate)
    last = sorted(path.name for path in (project / "shop" / "migrations").glob("0*.py"))[-1]
    assert (project / "shop" / "migrations" / last).read_text().count("RemoveCaptureTrigger(") == 2
    assert database.rows(TRIGGERS) == database.rows(FUNCTIONS) == []
    assert write(database) == []

    manage("migrate -v0 shop 0002")
    assert database.rows(TRIGGERS) == first
    assert write(database) == [("shop.analyse", ["7", "8"], "I")]
