"""The index in a database that is not called ``default``."""

import pytest
from django.conf import settings as project
from django.core.checks import run_checks
from django.db import connections

from pgknowbase.conf import use_database
from pgknowbase.models import ExternalData
from pgknowbase.search.questions import SearchQuery
from pgknowbase.search.service import search
from pgknowbase.search.visibility import UNRESTRICTED
from pgknowbase.testing import assert_in_sync
from pgknowbase.worker import Worker
from tests.acceptance.databases.conftest import configured
from tests.acceptance.databases.journey import journey
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db

ROUTER = "tests.acceptance.databases.routers.Everything"
KB = {**project.PGKNOWBASE, "DATABASE": "kb"}
BUDGETS = {"AGENTS": {"BUDGET_TOTAL": {"RUNS": 1000}, "BUDGET_PER_USER": {"TOKENS": 10**9}}}
JOURNEY = "tests.acceptance.databases.journey"


def entry(name):
    return {key: value for key, value in configured(name).items() if key not in ("TEST", "TIME_ZONE")}


def test_without_a_default_database_and_in_another_language_and_zone(in_process, make_copy):
    changed = {"USE_TZ": True, "TIME_ZONE": "Asia/Kathmandu", "USE_I18N": False, "LANGUAGE_CODE": "ar"}
    changed |= {"DATABASES": {"default": {}, "kb": {**entry(make_copy()), "ATOMIC_REQUESTS": True}}}
    changed |= {"DATABASE_ROUTERS": [ROUTER], "PGKNOWBASE": KB | BUDGETS}
    assert "arrived" in in_process(JOURNEY, "journey", "surfaces", **changed)


def test_default_is_another_database_and_nothing_is_asked_there(in_process, make_copy, server):
    empty = make_copy("template0")
    databases = {"default": entry(empty), "kb": entry(make_copy())}
    printed = in_process(JOURNEY, "journey", "surfaces", DATABASES=databases, DATABASE_ROUTERS=[ROUTER], PGKNOWBASE=KB)
    assert "arrived" in printed


def test_without_a_router_what_is_named_goes_there(alias, copied, settings):
    settings.PGKNOWBASE = KB
    journey(alias("kb", copied))


def test_an_index_in_no_database_is_an_error_of_the_checks(in_process, make_copy):
    databases = {"default": {}, "kb": entry(make_copy())}
    with pytest.raises(AssertionError, match=r"pgknowbase\.E003.*'default' is 'unknown', not Postgres"):
        in_process("django", "check", DATABASES=databases, DATABASE_ROUTERS=[ROUTER])


def test_rows_that_routers_write_elsewhere_are_reported(alias, copied, settings):
    settings.PGKNOWBASE = KB
    alias("kb", copied)
    found = [message for message in run_checks(tags=["pgknowbase"]) if message.id == "pgknowbase.W014"]
    assert "'blog.Article'" in found[0].msg
    assert "'default'" in found[0].msg
    settings.DATABASE_ROUTERS = [ROUTER]
    assert not [message for message in run_checks(tags=["pgknowbase"]) if message.id == "pgknowbase.W014"]


def test_one_model_in_two_databases(alias, make_copy, settings):
    """Each has its own rows and its own index; what is activated says which one is asked, as with tenants."""
    settings.DATABASE_ROUTERS = ["tests.acceptance.databases.routers.Tenants"]
    names = [alias(name, make_copy()) for name in ("one", "two")]
    settings.PGKNOWBASE = {**project.PGKNOWBASE, "DATABASE": "one"}
    for name in names:
        Article.objects.using(name).create(title=f"Rice of {name}", body="Wash the rice, then steam it.")
        with connections[name].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pgknowbase_outbox")
            assert cursor.fetchone() == (1,)
    for name in names:
        Worker(name).run_until_idle()
        assert_in_sync(Article, using=name)
    for name in names:
        with use_database(name):
            found = search(SearchQuery(query="steam the rice", threshold=-1), viewer=UNRESTRICTED)
            assert [result.title for result in found.results] == [f"Rice of {name}"]
            assert [row.title for row in Article.objects.semantic_search("rice", threshold=-1)] == [f"Rice of {name}"]
    # The same key in either: what happens to one is not the other's.
    Article.objects.using("two").all().delete()
    Worker("two").run_until_idle()
    assert [ExternalData.objects.using(name).count() for name in names] == [1, 0]
