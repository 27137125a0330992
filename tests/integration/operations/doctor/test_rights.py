"""A role that is no superuser lacks rights; the grants that the doctor writes are all that it needs."""

import json

import pytest
from psycopg import sql

from tests.integration.migrations.conftest import *  # noqa: F403 - databases and roles of the tests' own
from tests.integration.migrations.databases import Database

EXAMINE = """
import json
from pgknowbase.operations.doctor.examine import examine
print(json.dumps([each.as_dict() for each in examine('default')]))
"""
WORK = """
from django.core.management import call_command
from tests.projects.blog.models import Article
print('found', [row.title for row in Article.objects.semantic_search('reading compressed files')])
call_command('pgknowbase_worker', once=True, verbosity=0)
print('found', [row.title for row in Article.objects.semantic_search('reading compressed files')])
"""


@pytest.fixture
def visitor(database, make_role):
    """The database as seen by a role without any right but to connect and to write articles."""
    role = make_role()
    with database.connect() as admin:
        admin.execute("REVOKE ALL ON SCHEMA ai FROM PUBLIC")
        admin.execute("REVOKE EXECUTE ON FUNCTION pgknowbase_search_dense_v1 FROM PUBLIC")
        admin.execute(sql.SQL("GRANT SELECT, INSERT ON blog_article TO {}").format(sql.Identifier(role)))
    yield Database(database.name, role)
    with database.connect() as admin:
        admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))


def examined(database):
    printed = database.manage(["shell", "-v0", "-c", EXAMINE])
    return [each for each in json.loads(printed) if each["severity"] != "info"]


def grants(database):
    return [each for each in examined(database) if each["id"] == "grant.missing"]


def test_grants_are_named_and_suffice(database, visitor):
    found = examined(visitor)
    missing = [each for each in found if each["id"] == "grant.missing"]
    told = " ".join(each["what"] for each in missing)
    assert (
        f"The role {visitor.role} lacks USAGE, which searches, the worker or this command need, on 2 schemas: ai, lab."
        in told
    )
    assert "pgknowbase_search_dense_v1" in " ".join(each["fix"][0] for each in missing)
    failed = {each["what"].split("'")[1] for each in found if each["id"] == "examination.failed"}
    assert "work.failures" in failed
    assert not failed & {"triggers.triggers", "server.grants", "storage.invalid_indexes", "storage.vacuum"}
    for _ in range(2):  # what is in a schema can be seen once the schema may be used
        for each in grants(visitor):
            with database.connect() as admin:
                admin.execute(each["fix"][0])
    assert grants(visitor) == []
    # Postgres before 17 refuses the relay without it; later ones give it no low watermark.
    usage = "SELECT has_sequence_privilege(%s, 'pgknowbase_outbox_id_seq', 'USAGE')"
    assert database.value(usage, visitor.role)
    assert not [each for each in examined(visitor) if each["id"] == "examination.failed"]
    with database.connect() as admin:
        admin.execute(
            "INSERT INTO blog_article (title, body, status, views) VALUES ('Gzip', 'Reading a compressed file', '', 0)"
        )
    printed = visitor.manage(["shell", "-v0", "-c", WORK])
    assert [line for line in printed.splitlines() if "found" in line] == ["found []", "found ['Gzip']"], printed


def test_revoked_from_the_worker(database, visitor):
    for _ in range(2):
        for each in grants(visitor):
            with database.connect() as admin:
                admin.execute(each["fix"][0])
    with database.connect() as admin:
        admin.execute(sql.SQL("REVOKE DELETE ON pgknowbase_outbox FROM {}").format(sql.Identifier(visitor.role)))
    (finding,) = grants(visitor)
    assert finding["severity"] == "warning"
    assert finding["fix"] == [f"GRANT DELETE ON TABLE public.pgknowbase_outbox TO {visitor.role};"]


def test_owner_lacks_nothing(owned):
    assert examined(owned) == []
