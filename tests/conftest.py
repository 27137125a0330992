import gc
import os
import signal
from urllib.parse import quote, urlencode

import pytest
from asgiref.sync import SyncToAsync
from django.core.management.color import no_style
from django.db import connection, connections
from django.test import TransactionTestCase

from pgknowbase.agents.runs.heartbeat import heartbeat
from pgknowbase.apps import _create_space
from pgknowbase.models import OutboxEvent
from pgknowbase.worker import Worker
from tests.processes import Process

pytest_plugins = ["tests.markers", "tests.skips"]

# What is imported and collected stays; to look through it for garbage takes a tenth of a run.
gc.disable()

# A run that is terminated ends as after Ctrl-C, and so stops its Postgres.
signal.signal(signal.SIGTERM, signal.default_int_handler)

FILLED = "SELECT relname::text FROM pg_class WHERE relname = ANY(%s) AND relkind = 'r' AND pg_relation_size(oid) > 0"
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


@pytest.fixture(autouse=True, scope="session")
def _only_filled_tables_are_emptied():
    """Django truncates every table after each test that commits, and fills those of types and permissions again."""
    django_flush = TransactionTestCase._fixture_teardown
    as_migrated = []

    def empty(self):
        found = list(lasting())
        if found != as_migrated:
            django_flush(self)
            as_migrated[:] = lasting()
            return
        with connection.cursor() as cursor:
            names = {*connection.introspection.django_table_names(), "pgknowbase_throttle"} - LASTING.keys()
            cursor.execute(FILLED, [list(names)])
            filled = [name for (name,) in cursor.fetchall()]
        connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), filled, allow_cascade=True))
        _create_space("default")

    TransactionTestCase._fixture_teardown = empty
    yield
    TransactionTestCase._fixture_teardown = django_flush


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
def nothing_waits(request, _django_db_marker):
    """Tests that commit are followed by a TRUNCATE of Django's, which is captured like any other."""
    if "_django_db_helper" in request.fixturenames or request.node.get_closest_marker("django_db"):
        request.getfixturevalue("_django_db_helper")
        OutboxEvent.objects.all().delete()


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
