"""A dump comes back whole, whoever restores it."""

import subprocess

import psycopg
import pytest

from tests.integration.migrations.databases import pg_program, url

NAMES = "SELECT proname FROM pg_proc WHERE proname LIKE 'pgknowbase%%' ORDER BY 1"
MARKS = """
SELECT p.proname, d.description FROM pg_proc AS p LEFT JOIN pg_description AS d ON d.objoid = p.oid
WHERE p.proname LIKE 'pgknowbase%%' ORDER BY 1
"""


@pytest.fixture
def restore(migrated, make_database):
    """Restores a dump of a migrated database as a role, into a database of that role's that has pgvector already.

    Providers of Postgres hand out such ones, and a session that restores there does not load pgvector by creating it.
    """

    def run(role, *options):
        copy = make_database(owner=role)
        with psycopg.connect(url(copy.name), autocommit=True) as superuser:
            superuser.execute("CREATE EXTENSION vector")
        dump = [pg_program("pg_dump"), "--no-owner", "--no-acl", *options, "-d", url(migrated.name)]
        into = [pg_program("psql"), "-X", "-q", "-d", url(copy.name, role)]
        text = subprocess.run(dump, capture_output=True, check=True).stdout
        told = subprocess.run(into, input=text, capture_output=True, check=True).stderr.decode()
        return copy, [line.partition("ERROR:  ")[2] for line in told.splitlines() if "ERROR:  " in line]

    return run


def test_role_that_is_no_superuser_restores_a_dump(migrated, make_role, restore):
    copy, refused = restore(make_role())
    assert refused == ["must be owner of extension vector"]  # whose comment only its owner may set
    assert copy.rows(NAMES) == migrated.rows(NAMES)


def test_dump_without_comments_is_known_to_migrate(migrated, make_role, restore):
    copy, refused = restore(make_role(), "--no-comments")
    assert refused == []
    assert copy.rows(MARKS) != migrated.rows(MARKS)
    copy.manage("migrate -v0")
    assert copy.rows(MARKS) == migrated.rows(MARKS)
