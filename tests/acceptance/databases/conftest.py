"""Databases beside the one that pytest-django makes, and aliases of their own in ``DATABASES``."""

import copy
import json
import os

import pytest
from django.db import connections

from tests.integration.migrations.conftest import *  # noqa: F403 - databases of the tests' own
from tests.integration.migrations.databases import ROOT, url
from tests.processes import run


@pytest.fixture(scope="session")
def make_copy(django_db_setup, make_database):
    """Makes copies of the migrated, empty test database; returns the name of each."""

    def make(template=None):
        connections.close_all()
        return make_database(template=template or connections["default"].settings_dict["NAME"]).name

    return make


@pytest.fixture(scope="module")
def copied(make_copy):
    """One copy for the tests of a module that leave it as they found it."""
    return make_copy()


def configured(name, **changes):
    """The entry of ``DATABASES`` for a database of the test server."""
    found = copy.deepcopy(connections["default"].settings_dict)
    options = {**found.pop("OPTIONS"), **changes.pop("OPTIONS", {})}
    return {**found, "NAME": name, "OPTIONS": options, **changes}


@pytest.fixture
def _django_db_helper(django_db_setup, django_db_blocker):
    """In the place of pytest-django's, which knows the aliases that there were before the test and allows no other."""
    with django_db_blocker.unblock():
        yield
        connections.close_all()


@pytest.fixture
def alias(_django_db_helper):
    """Adds aliases to ``DATABASES``, as far as this process goes."""
    added = []

    def add(name, database, **changes):
        entry = configured(database, **changes)
        connections.settings[name] = connections.configure_settings({"default": {}, name: entry})[name]
        added.append(name)
        return name

    yield add
    for name in added:
        connections[name].close()
        connections[name].close_pool()
        del connections[name]
        del connections.settings[name]


def run_module(*arguments, **settings):
    """Run a module in a process of its own under other settings; returns what it printed."""
    done = run(
        *("-W", "ignore", "-m", *arguments),
        cwd=ROOT,
        env=os.environ
        | {
            "DATABASE_URL": url(connections["default"].settings_dict["NAME"]),
            "DJANGO_SETTINGS_MODULE": "tests.acceptance.databases.settings",
            "PGKNOWBASE_TEST_SETTINGS": json.dumps(settings),
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "django_app"))),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def in_process(_django_db_helper):
    return run_module
