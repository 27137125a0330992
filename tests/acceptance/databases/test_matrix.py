"""The short journey under each setting of Django's connections and of Postgres' sessions that a project may have."""

import psycopg
import pytest
from django.conf import settings as project
from django.core.checks import run_checks
from django.db import DatabaseError, connections

from tests.acceptance.databases.journey import journey
from tests.integration.migrations.databases import url

pytestmark = pytest.mark.django_db

# Entries of DATABASES.
CONNECTIONS = {
    "plain": {},
    "persistent": {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
    "atomic requests": {"ATOMIC_REQUESTS": True},
    "no server-side cursors": {"DISABLE_SERVER_SIDE_CURSORS": True},
    "time zone": {"TIME_ZONE": "Asia/Kathmandu"},
    "server-side binding": {"OPTIONS": {"server_side_binding": True}},
    "prepared at once": {"OPTIONS": {"prepare_threshold": 0}},
    "never prepared": {"OPTIONS": {"prepare_threshold": None}},
    "bound and prepared": {"OPTIONS": {"server_side_binding": True, "prepare_threshold": 0}},
    "repeatable read": {"OPTIONS": {"isolation_level": psycopg.IsolationLevel.REPEATABLE_READ}},
    "serializable": {"OPTIONS": {"isolation_level": psycopg.IsolationLevel.SERIALIZABLE}},
    "pool": {"OPTIONS": {"pool": True}},
    "pool of two": {"OPTIONS": {"pool": {"min_size": 1, "max_size": 2}}},
    "role": {"OPTIONS": {"assume_role": "pgknowbase_matrix"}},
    "keepalives": {"OPTIONS": {"keepalives_idle": 5, "application_name": 'it\'s "quoted"'}},
}
# What a role, a database or OPTIONS["options"] may set for every session.
SESSIONS = {
    "search_path": "public,pg_temp",
    "TimeZone": "America/St_Johns",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-3",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "xmloption": "document",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "plan_cache_mode": "force_generic_plan",
    "row_security": "off",
    "synchronous_commit": "off",
    "work_mem": "64kB",
    "enable_indexscan": "off",
    "enable_seqscan": "off",
    "jit_above_cost": "0",
    "default_text_search_config": "pg_catalog.simple",
    "client_min_messages": "error",
    "check_function_bodies": "off",
    "idle_in_transaction_session_timeout": "60000",
    "statement_timeout": "60000",
    "lock_timeout": "30000",
}


@pytest.fixture(scope="module")
def role(copied, server):
    """A role that is not a superuser and has what docs/sql.md asks for."""
    server.execute("CREATE ROLE pgknowbase_matrix")
    with psycopg.connect(url(copied), autocommit=True) as admin:
        for schema in ("public", "ai", "lab"):
            admin.execute(f"GRANT USAGE ON SCHEMA {schema} TO pgknowbase_matrix")
            for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
                admin.execute(f"GRANT ALL ON ALL {kind} IN SCHEMA {schema} TO pgknowbase_matrix")
        yield
        admin.execute("DROP OWNED BY pgknowbase_matrix")
    server.execute("DROP ROLE pgknowbase_matrix")


@pytest.fixture
def kb(alias, copied, settings):
    """Make the alias ``kb`` with these changes, and the database of the index."""
    settings.PGKNOWBASE = {**project.PGKNOWBASE, "DATABASE": "kb"}
    yield lambda **changes: alias("kb", copied, **changes)
    with psycopg.connect(url(copied), autocommit=True) as admin:  # what a journey that failed has left
        admin.execute("TRUNCATE blog_article, blog_category, pgknowbase_document, pgknowbase_externaldata CASCADE")
        admin.execute("TRUNCATE pgknowbase_outbox, pgknowbase_expansion")


@pytest.mark.parametrize("name", CONNECTIONS)
def test_connection(kb, role, name):
    journey(kb(**CONNECTIONS[name]))


@pytest.mark.parametrize("name", SESSIONS)
def test_session(kb, name):
    value = SESSIONS[name].replace(" ", "\\ ")
    using = kb(OPTIONS={"options": f"-c {name}={value}"})
    with connections[using].cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        assert cursor.fetchone()
    journey(using)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu"])
@pytest.mark.parametrize("is_aware", [True, False])
def test_time_zone(kb, settings, zone, is_aware):
    settings.USE_TZ, settings.TIME_ZONE = is_aware, zone
    journey(kb())


@pytest.mark.parametrize("language", ["de", "ar", "tr"])
def test_language(kb, settings, language):
    settings.LANGUAGE_CODE, settings.USE_THOUSAND_SEPARATOR = language, True
    journey(kb())


def test_mirror(kb, alias, settings):
    """``TEST["MIRROR"]``: in tests an alias of a copy is a second connection to the database itself."""
    using = kb()
    copy = alias("lagging", "no_such_database")
    connections[copy].creation.set_as_test_mirror(connections[using].settings_dict)
    settings.DATABASE_ROUTERS = ["tests.acceptance.databases.routers.Lagging"]
    journey(using)


def test_a_database_that_only_reads_says_so(kb):
    with pytest.raises(DatabaseError, match="read-only transaction"):
        journey(kb(OPTIONS={"options": "-c default_transaction_read_only=on"}))


def test_without_autocommit_nothing_would_be_committed(kb):
    kb(AUTOCOMMIT=False)
    (found,) = [message for message in run_checks(tags=["pgknowbase"]) if message.id == "pgknowbase.E003"]
    assert "AUTOCOMMIT off" in found.msg
