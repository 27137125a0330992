import os
import signal
import subprocess
import sys
from urllib.parse import quote, urlencode

import pytest
from asgiref.sync import SyncToAsync
from django.db import connection, connections

from pgknowbase.models import OutboxEvent
from pgknowbase.worker import Worker

# A run that is terminated ends as after Ctrl-C, and so stops its Postgres.
signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture
def drain(transactional_db):
    """Work off outbox and queue, as ``pgknowbase_worker --once`` does."""
    # Django empties tables between tests with TRUNCATE, which is captured like any other.
    OutboxEvent.objects.all().delete()

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
        process = subprocess.Popen(
            [sys.executable, "-m", "django", *map(str, arguments)],
            env={
                **os.environ,
                "DATABASE_URL": database_url,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "PYTHONPATH": os.pathsep.join([".", "django_app"]),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    OutboxEvent.objects.all().delete()
    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def nothing_waits(request, _django_db_marker):
    """Tests that commit are followed by a TRUNCATE of Django's, which is captured like any other."""
    if "_django_db_helper" in request.fixturenames or request.node.get_closest_marker("django_db"):
        request.getfixturevalue("_django_db_helper")
        OutboxEvent.objects.all().delete()


@pytest.fixture(autouse=True)
def loops_of_tests_leave_no_connection():
    """``asyncio.run`` does the ORM's work on one thread that outlives it."""
    yield
    if SyncToAsync.single_thread_executor._threads:
        SyncToAsync.single_thread_executor.submit(connections.close_all).result()
