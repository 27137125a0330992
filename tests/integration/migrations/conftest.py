"""Databases of the tests' own in the test server, beside the one that pytest-django makes."""

import shutil

import psycopg
import pytest
from psycopg import sql

from tests.integration.migrations.databases import PASSWORD, ROOT, Database, unique, url
from tests.integration.migrations.lab import FILL, WORK, Lab


@pytest.fixture(scope="session")
def server():
    with psycopg.connect(url("postgres"), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def make_role(server):
    """Makes roles that are no superusers; drop the databases that depend on them first."""
    made = []

    def make():
        name = unique("pgknowbase_role")
        server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(PASSWORD)))
        made.append(name)
        return name

    yield make
    for name in made:
        server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def make_database(server, make_role):
    made = []

    def make(*, template="template0", owner=None):
        name = unique("pgknowbase_migrations")
        made.append(name)
        options = sql.SQL("OWNER {}").format(sql.Identifier(owner)) if owner else sql.SQL("")
        server.execute(
            # Files as they are take a third of what a log of them takes.
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy {}").format(
                sql.Identifier(name), sql.Identifier(template), options
            )
        )
        return Database(name, owner)

    yield make
    for name in made:
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def migrated(make_database):
    """A migrated database: only to read, or as a template."""
    database = make_database()
    database.manage("migrate -v0")
    return database


@pytest.fixture
def database(make_database, migrated):
    """A migrated database of the test's own."""
    return make_database(template=migrated.name)


@pytest.fixture
def shop(tmp_path):
    """A project with a fresh copy of the blog app under another name, without migrations."""
    app = tmp_path / "shop"
    app.mkdir()
    shutil.copy(ROOT / "tests" / "projects" / "blog" / "models.py", app)
    (app / "__init__.py").touch()
    (tmp_path / "shop_settings.py").write_text(
        "from tests.settings import *\n"
        "INSTALLED_APPS = [app for app in INSTALLED_APPS if app != 'demo.library' and not app.startswith('tests.')]\n"
        "INSTALLED_APPS += ['shop']\n"
    )
    return tmp_path


@pytest.fixture(scope="session")
def owned(make_database, make_role):
    """A database that its owner, who is no superuser, has migrated: only to read, or as a template."""
    database = make_database(owner=make_role())
    with database.connect() as superuser:
        superuser.execute("CREATE EXTENSION vector")
    database.manage("migrate -v0")
    return database


@pytest.fixture(scope="session")
def base(make_database):
    """A database of a project that has no models yet: only as a template."""
    database = make_database()
    database.manage("migrate -v0", module="tests.integration.migrations.no_models")
    return database


@pytest.fixture(scope="session")
def lab_template(make_database, base, tmp_path_factory):
    made = Lab.create(make_database(template=base.name), tmp_path_factory.mktemp("lab") / "project")
    made("makemigrations lab", "migrate -v0", ["shell", "-c", FILL], WORK)
    return made


@pytest.fixture
def lab(lab_template, make_database, tmp_path):
    """A project with one app, its models migrated, one note indexed."""
    return lab_template.copy(tmp_path / "project", make_database(template=lab_template.database.name))
