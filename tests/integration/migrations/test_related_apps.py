"""Triggers on tables of other apps stand in the source app's migrations, and go with the source model."""

import re

import pytest

SHOP = """
from django.conf import settings
from django.db import models
from pgknowbase.mixins import ExternalDataMixin

class Article(ExternalDataMixin, models.Model):
    title = models.TextField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    groups = models.ManyToManyField("auth.Group")
    class ExternalDataMeta:
        watch_fields = ["title", "author__username", "groups__name", "replies__text"]
"""
FORUM = """
from django.db import models

class Reply(models.Model):
    article = models.ForeignKey("shop.Article", models.CASCADE, related_name="replies")
    text = models.TextField()
"""
SETTINGS = """
from tests.settings import *
INSTALLED_APPS = [app for app in INSTALLED_APPS if not app.startswith("tests.") and app != "demo.library"]
INSTALLED_APPS += ["shop", "forum"]
"""
TRIGGERS = """
SELECT c.relname || ':' || regexp_replace(t.tgname, '^pgtrigger_pgknowbase_|_[0-9a-f]{10}$', '', 'g')
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE t.tgname LIKE 'pgtrigger_pgknowbase%%' ORDER BY 1
"""
FUNCTIONS = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'pgtrigger_pgknowbase%%'"


@pytest.fixture
def project(tmp_path):
    for app, models in (("shop", SHOP), ("forum", FORUM)):
        (tmp_path / app).mkdir()
        (tmp_path / app / "__init__.py").touch()
        (tmp_path / app / "models.py").write_text(models)
    (tmp_path / "shop_settings.py").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def manage(make_database, base, project):
    database = make_database(template=base.name)

    def run(*commands):
        return database.manage(*commands, project=project, module="shop_settings")

    run.database = database
    return run


def migrations(project, app):
    return sorted(path.name for path in (project / app / "migrations").glob("0*.py"))


def triggers(manage):
    return [row[0] for row in manage.database.rows(TRIGGERS)]


def test_way_of_triggers_on_tables_of_other_apps(project, manage):
    manage("makemigrations shop forum", "makemigrations --check --dry-run", "migrate -v0")
    assert not any(
        "Trigger" in (project / "forum" / "migrations" / name).read_text() for name in migrations(project, "forum")
    )
    last = migrations(project, "shop")[-1]
    text = "".join((project / "shop" / "migrations" / name).read_text() for name in migrations(project, "shop"))
    assert re.search(r"\(['\"]forum['\"], ['\"]000\d_initial['\"]\)", text)
    assert re.search(r"\(['\"]auth['\"], ['\"]0012", text)
    found = triggers(manage)
    assert "auth_user:update_author" in found
    assert "auth_group:update_groups" in found
    assert {f"shop_article_groups:{op}_groups_through" for op in ("insert", "update", "delete", "truncate")} < {*found}
    assert {f"forum_reply:{op}_replies" for op in ("insert", "update", "delete", "truncate")} < {*found}
    assert manage.database.value(FUNCTIONS) == len(found) == 4 + 2 + 2 + 4 + 4

    models = project / "shop" / "models.py"
    models.write_text(SHOP.replace(', "groups__name", "replies__text"', ""))
    manage("makemigrations shop", "makemigrations --check --dry-run", "migrate -v0")
    assert [name for name in triggers(manage) if not name.startswith("shop_article:")] == [
        "auth_user:delete_author",
        "auth_user:update_author",
    ]
    assert manage.database.value(FUNCTIONS) == 6

    manage(f"migrate -v0 shop {last.removesuffix('.py')}")
    assert triggers(manage) == found
    assert manage.database.value(FUNCTIONS) == len(found)
    manage("migrate -v0")

    (project / "forum" / "models.py").write_text("")
    models.write_text("")
    manage("makemigrations --noinput shop forum", "makemigrations --check --dry-run", "migrate -v0")
    assert triggers(manage) == []
    assert manage.database.value(FUNCTIONS) == 0


def test_a_watched_column_of_another_app_goes_after_its_trigger(project, manage):
    manage("makemigrations shop forum", "migrate -v0")
    (project / "forum" / "models.py").write_text(FORUM.replace("    text = models.TextField()\n", ""))
    (project / "shop" / "models.py").write_text(SHOP.replace(', "replies__text"', ', "replies"'))
    manage("makemigrations shop forum", "makemigrations --check --dry-run", "migrate -v0")
    assert "forum_reply:update_replies" in triggers(manage)
    assert manage.database.value(FUNCTIONS) == len(triggers(manage))


def test_the_way_back_to_before_pgknowbase_leaves_the_tables(project, manage):
    manage("makemigrations shop forum", "migrate -v0", "migrate -v0 pgknowbase zero")
    assert triggers(manage) == []
    assert manage.database.value("SELECT to_regclass('shop_article') IS NOT NULL")
    assert manage.database.value("SELECT to_regclass('forum_reply') IS NOT NULL")
    manage("migrate -v0")
    assert len(triggers(manage)) == 4 + 2 + 2 + 4 + 4


def test_renamed_model_and_column(project, manage):
    manage("makemigrations shop forum", "migrate -v0")
    reply = project / "forum" / "models.py"
    reply.write_text(FORUM.replace("text =", "words ="))
    models = project / "shop" / "models.py"
    models.write_text(SHOP.replace("replies__text", "replies__words"))
    answer = "import builtins; builtins.input = lambda *a: 'y'"
    code = (
        f"{answer}\nfrom django.core.management import call_command\ncall_command('makemigrations', interactive=True)"
    )
    manage(["shell", "-c", code], "makemigrations --check --dry-run", "migrate -v0")
    assert "forum_reply:update_replies" in triggers(manage)
    assert manage.database.value(FUNCTIONS) == len(triggers(manage))
    assert "words" in manage.database.value(
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname LIKE 'pgtrigger_pgknowbase_update_replies%%'"
    )


def test_pgtriggers_own_commands_see_triggers_on_other_tables(manage):
    manage("makemigrations shop forum", "migrate -v0")
    installed = triggers(manage)
    listed = manage("pgtrigger ls")
    assert listed.count("INSTALLED") >= len(installed)
    assert not re.search("PRUNE|OUTDATED|UNINSTALLED", listed)
    manage("pgtrigger prune")
    assert triggers(manage) == installed
    author = "SELECT tgenabled FROM pg_trigger WHERE tgname LIKE 'pgtrigger_pgknowbase_update_author%%'"
    manage("pgtrigger disable shop.Article:pgknowbase_update_author")
    assert manage.database.value(author) == "D"
    manage("pgtrigger enable shop.Article:pgknowbase_update_author")
    assert manage.database.value(author) == "O"
    manage("pgtrigger uninstall shop.Article:pgknowbase_update_author")
    assert "auth_user:update_author" not in triggers(manage)
    manage("pgtrigger install shop.Article:pgknowbase_update_author")
    assert triggers(manage) == installed
