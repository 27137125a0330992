import gc
import os
import signal
from urllib.parse import quote, urlencode

import pytest
from asgiref.sync import SyncToAsync
from django.db import connection, connections, transaction
from django.test import TransactionTestCase

from pgknowbase.agents.runs.heartbeat import heartbeat
from pgknowbase.apps import _create_space
from pgknowbase.worker import Worker
from tests.processes import Process

pytest_plugins = ["tests.markers", "tests.skips"]

# What is imported and collected stays; to look through it for garbage takes a tenth of a run.
gc.disable()

# A run that is terminated ends as after Ctrl-C, and so stops its Postgres.
signal.signal(signal.SIGTERM, signal.default_int_handler)

# With those that follow the documents. Where much was, or vectors in an index, the file is better begun anew.
FILLED = """
SELECT t.oid::regclass::text, pg_relation_size(t.oid) > 131072 OR EXISTS (
    SELECT FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam
    WHERE i.indrelid = t.oid AND a.amname = 'hnsw')
FROM pg_class AS t
WHERE t.relkind = 'r' AND pg_relation_size(t.oid) > 0
    AND (t.relname = ANY(%s) OR t.relname ~ '^(pgknowbase|_vectorizer_q)_' AND t.relname <> 'pgknowbase_space')
"""
# What migrate writes, and hardly a test changes.
LASTING = {"django_content_type": "id, app_label, model", "auth_permission": "id, content_type_id, codename, name"}


def pytest_collection_finish():
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()


def lasting():
    with connection.cursor() as cursor:
        for table, columns in LASTING.items():
            cursor.execute(f"SELECT md5(string_agg(({columns})::text, '' ORDER BY id)) FROM {table}")
            yield cursor.fetchone()


def empty_filled_tables(names):
    """No trigger fires. Rows are deleted: after a TRUNCATE, Postgres plans every statement on the table anew."""
    with connection.cursor() as cursor:
        cursor.execute(FILLED, [names])
        filled = cursor.fetchall()
        if not filled:
            return
        tables = ", ".join(table for table, _ in filled)
        steps = ["SET LOCAL session_replication_role = replica", f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"]
        steps += [f"TRUNCATE {table} CASCADE" if anew else f"DELETE FROM {table}" for table, anew in filled]
        with transaction.atomic():
            cursor.execute("; ".join(steps))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """An earlier run with ``--reuse-db`` may have ended within a test."""
    with django_db_blocker.unblock():
        empty_filled_tables(["pgknowbase_outbox"])


@pytest.fixture(autouse=True, scope="session")
def _only_filled_tables_are_emptied():
    """Django truncates every table after each test that commits, and fills those of types and permissions again."""
    django_flush = TransactionTestCase._fixture_teardown
    names = sorted({*connection.introspection.django_table_names()} - LASTING.keys())
    as_migrated = []

    def empty(self):
        found = list(lasting())
        if found != as_migrated:
            django_flush(self)
            as_migrated[:] = lasting()
        empty_filled_tables(names)
        _create_space("default")

    TransactionTestCase._fixture_teardown = empty
    yield
    TransactionTestCase._fixture_teardown = django_flush


# DISCARD ALL, but for what Postgres has planned.
AS_NEW = (
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all();"
    " DISCARD TEMP; DISCARD SEQUENCES"
)


@pytest.fixture(autouse=True, scope="session")
def _connection_outlives_its_test():
    """Django closes all connections after each test that commits; a new one plans every statement anew."""
    reload = TransactionTestCase._should_reload_connections

    def make_as_new(self):
        if not reload(self):
            return False
        for one in connections.all(initialized_only=True):
            if one is not connections["default"] or not one.is_usable():
                one.close()
            elif one.connection is not None:
                with one.cursor() as cursor:
                    cursor.execute(AS_NEW)
                one.init_connection_state()
        return False

    TransactionTestCase._should_reload_connections = make_as_new
    yield
    TransactionTestCase._should_reload_connections = reload


@pytest.fixture
def drain(transactional_db):
    """Work off outbox and queue, as ``pgknowbase_worker --once`` does."""

    def run():
        return Worker().run_until_idle()

    return run


@pytest.fixture
def database_url():
    """The test database as a URL, for processes of their own."""
    params = connection.get_connection_params()
    user, password = quote(params.get("user", "")), quote(params.get("password", ""))
    options = urlencode({key: params[key] for key in ("host", "port") if params.get(key)})
    return f"postgresql://{user}:{password}@/{quote(params['dbname'])}?{options}"


@pytest.fixture
def manage(transactional_db, database_url):
    """Start a management command in a process of its own on the test database; none outlives the test."""
    started = []

    def start(*arguments, **environment):
        process = Process(
            *("-m", "django", *arguments),
            env={
                **os.environ,
                "DATABASE_URL": database_url,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "PYTHONPATH": os.pathsep.join([".", "django_app"]),
                **environment,
            },
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def no_connection_without_a_database(request, _django_db_marker):
    """A test that asks for no database finds none open, through which something might write."""
    if "_django_db_helper" not in request.fixturenames and not request.node.get_closest_marker("django_db"):
        for one in connections.all(initialized_only=True):
            if not one.in_atomic_block:
                one.close()


@pytest.fixture(autouse=True)
def heartbeat_ends_with_its_test(request, _django_db_marker):
    """The thread of an agent's run looks once more after the run; it must not reach into a test without a database."""
    if "_django_db_helper" in request.fixturenames or request.node.get_closest_marker("django_db"):
        request.getfixturevalue("_django_db_helper")
    yield
    thread = heartbeat._thread
    if thread is not None and not heartbeat._cancels and not heartbeat._workflows:
        heartbeat._thread = None
        thread.stop()


@pytest.fixture(autouse=True)
def loops_of_tests_leave_no_connection():
    """``asyncio.run`` does the ORM's work on one thread that outlives it."""
    yield
    if SyncToAsync.single_thread_executor._threads:
        SyncToAsync.single_thread_executor.submit(connections.close_all).result()
