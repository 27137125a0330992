"""A schema for each tenant: separate indexes in one database, as docs/tenants.md says."""

import io
import shlex
import threading
import time

import psycopg
import pytest
from django.conf import settings as project
from django.core.management import call_command
from django.db import connections

from pgknowbase.conf import get_settings, use_database
from pgknowbase.models import ExternalData
from pgknowbase.operations.doctor.examine import examine
from pgknowbase.search.questions import SearchQuery
from pgknowbase.search.service import search
from pgknowbase.search.visibility import UNRESTRICTED
from pgknowbase.testing import assert_in_sync
from pgknowbase.worker import Worker
from tests.acceptance.databases.conftest import run_module
from tests.acceptance.databases.test_aliases import entry
from tests.integration.migrations.databases import url
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db

TENANTS = ("a", "b")
ROUTER = "tests.acceptance.databases.routers.Tenants"
PGKNOWBASE = {**project.PGKNOWBASE, "DATABASE": "a"}


def options(tenant):
    return {"options": f"-c search_path={tenant},extensions"}


def databases(name):
    made = {tenant: entry(name) for tenant in TENANTS}
    for tenant in TENANTS:
        made[tenant]["OPTIONS"] = {**made[tenant]["OPTIONS"], **options(tenant)}
    return {"default": {}, **made}


@pytest.fixture(scope="module")
def migrated(make_copy, django_db_blocker):
    """A database with the schemas of two tenants, both migrated."""
    with django_db_blocker.unblock():
        name = make_copy("template0")
    with psycopg.connect(url(name), autocommit=True) as admin:
        for schema in ("extensions", *TENANTS):
            admin.execute(f"CREATE SCHEMA {schema}")
        admin.execute("CREATE EXTENSION vector SCHEMA extensions")
        for tenant in TENANTS:
            run_module("django", "migrate", "--database", tenant, "-v0", **changed(name))
            # One of the tests' apps keeps a table in a schema of this name, whoever the tenant is.
            admin.execute(f"ALTER SCHEMA lab RENAME TO lab_of_{tenant}")
        admin.execute(f"ALTER SCHEMA lab_of_{TENANTS[-1]} RENAME TO lab")
    return name


def changed(name):
    return {"DATABASES": databases(name), "DATABASE_ROUTERS": [ROUTER], "PGKNOWBASE": PGKNOWBASE}


@pytest.fixture
def tenants(migrated, alias, settings):
    """Both tenants as aliases, with the router of the page."""
    settings.PGKNOWBASE, settings.DATABASE_ROUTERS = PGKNOWBASE, [ROUTER]
    for tenant in TENANTS:
        alias(tenant, migrated, OPTIONS=options(tenant))
    yield
    for tenant in TENANTS:
        with use_database(tenant):
            Article.objects.all().delete()
            Note.notes.all().delete()
            Worker(tenant).run_until_idle()


def found(query):
    return [result.title for result in search(SearchQuery(query=query, threshold=-1), viewer=UNRESTRICTED).results]


def test_two_schemas_two_indexes(tenants):
    for tenant in TENANTS:
        with use_database(tenant):
            Article.objects.create(title=f"Rice of {tenant}", body="Wash the rice, then steam it.")
    with use_database("a"):
        Article.objects.create(title="Files of a", body="How to read a compressed file.")
    # One worker for all, as a loop.
    for tenant in TENANTS:
        Worker(tenant).run_until_idle()
    expected = {"a": ["Rice of a", "Files of a"], "b": ["Rice of b"]}
    for tenant in TENANTS:
        with use_database(tenant):
            assert get_settings().database == tenant
            assert found("steam the rice") == expected[tenant]
            assert [row.title for row in Article.objects.semantic_search("rice", limit=1)] == [f"Rice of {tenant}"]
            assert ExternalData.objects.count() == len(expected[tenant])
            assert_in_sync(using=tenant)
        faults = [finding.what for finding in examine(tenant) if finding.severity != "info"]
        assert not faults
    with use_database("b"):
        Article.objects.all().delete()
        Worker("b").run_until_idle()
        assert found("rice") == []
    with use_database("a"):
        assert found("steam the rice") == expected["a"]


def test_a_worker_for_each_tenant_sees_its_own_rows(tenants):
    workers = [Worker(tenant) for tenant in TENANTS]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        for tenant in TENANTS:
            with use_database(tenant):
                Note.notes.bulk_create([Note(text=f"note {n} of {tenant}") for n in range(5)])
        for tenant in TENANTS:
            deadline = time.monotonic() + 60
            while ExternalData.objects.using(tenant).filter(status="completed").count() < 5:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        for worker, thread in zip(workers, threads, strict=True):
            worker.stop()
            thread.join()
    for tenant in TENANTS:
        texts = [data.content for data in ExternalData.objects.using(tenant)]
        assert len(texts) == 5
        assert all(text.endswith(f"of {tenant}") for text in texts)


def test_search_path_per_request_on_one_connection(tenants, alias, migrated):
    """Without an alias for each: the search path of the one connection says whose rows these are."""
    alias("shared", migrated, OPTIONS=options("a"))
    for tenant in TENANTS:
        with use_database(tenant):
            Article.objects.create(title=f"Rice of {tenant}", body="Wash the rice, then steam it.")
        Worker(tenant).run_until_idle()
    with use_database("shared"):
        for tenant in (*TENANTS, *TENANTS):
            with connections["shared"].cursor() as cursor:
                cursor.execute(f"SET search_path = {tenant}, extensions")
            assert found("rice") == [f"Rice of {tenant}"]


def test_commands_in_messages_name_the_tenant(tenants):
    """Those of the settings' database need not: ``a``."""
    sync = "manage.py sync_external_models blog.Article"
    for tenant in TENANTS:
        with connections[tenant].cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(
                "INSERT INTO blog_article (title, body, status, views) VALUES ('old', 'row', 'published', 0)"
            )
            cursor.execute("SET session_replication_role = origin")
    printed = io.StringIO()
    call_command("migrate", database="b", stdout=printed)
    assert f"run '{sync} --database b'" in printed.getvalue()
    for tenant, line in (("a", sync), ("b", f"{sync} --database b")):
        printed = io.StringIO()
        call_command("pgknowbase_status", database=tenant, stdout=printed)
        assert f"this brings them in: {line}\n" in printed.getvalue()
        assert (line,) in [finding.fix for finding in examine(tenant)]
    call_command(*shlex.split(line.removeprefix("manage.py ")), stdout=io.StringIO())
    assert (line,) not in [finding.fix for finding in examine("b")]


def test_an_extension_in_the_schema_of_another_tenant_is_refused(make_copy, in_process):
    name = make_copy("template0")
    with psycopg.connect(url(name), autocommit=True) as admin:
        admin.execute("CREATE SCHEMA a; CREATE SCHEMA b; CREATE EXTENSION vector SCHEMA a")
    with pytest.raises(AssertionError, match=r"'vector' is in the schema 'a', which the search_path of 'b' lacks"):
        in_process("django", "migrate", "--database", "b", "-v0", **changed(name))
