"""What only another kind of server has: prepared transactions, replication slots, subscriptions."""

import json
import os
import shutil
import tempfile

import psycopg
import pytest
from django.db import transaction

from pgknowbase.embedded import EmbeddedPostgres
from pgknowbase.operations.doctor import storage
from tests.integration.operations.doctor.conftest import findings, sql
from tests.processes import run

HORIZON = """
import json, django
django.setup()
from pgknowbase.operations.doctor.storage import vacuum
print(json.dumps([finding.as_dict() for finding in vacuum('default')]))
"""
OPTIONS = {"fsync": "off", "wal_level": "logical", "max_prepared_transactions": "4"}


@pytest.fixture
def replicating():
    """A server that allows prepared transactions and logical slots."""
    directory = tempfile.mkdtemp(prefix="pgknowbase-tests-")
    server = EmbeddedPostgres(directory, options=OPTIONS).start()
    try:
        yield server
    finally:
        server.stop(force=True)
        shutil.rmtree(directory, ignore_errors=True)


def held(server):
    environment = {**os.environ, "DATABASE_URL": server.url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    environment["PYTHONPATH"] = os.pathsep.join([".", "django_app"])
    done = run("-W", "ignore", "-c", HORIZON, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_slot_and_prepared_transaction(replicating):
    with psycopg.connect(replicating.url, autocommit=True) as connection:
        connection.execute("SELECT pg_create_logical_replication_slot('left_behind', 'pgoutput')")
        (slot,) = held(replicating)
        assert "Nobody reads the replication slot 'left_behind'" in slot["what"]
        connection.execute(slot["fix"][0])
        assert held(replicating) == []
        connection.execute("CREATE TABLE t (i int)")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("PREPARE TRANSACTION 'it''s open'")
        assert held(replicating) == [], "a young one holds nothing back for long"
        (row,) = connection.execute("SELECT gid FROM pg_prepared_xacts").fetchall()
        assert row == ("it's open",)
        finding = storage._held({"kind": "prepared", "name": row[0], "who": "postgres", "seconds": 700.0})
        assert "is 12 minutes old" in finding.what
        connection.execute(finding.fix[0])
        assert connection.execute("SELECT count(*) FROM pg_prepared_xacts").fetchone() == (0,)


@pytest.mark.django_db(transaction=True)
def test_table_that_logical_replication_fills():
    with transaction.atomic():
        sql(
            "CREATE SUBSCRIPTION copied CONNECTION 'dbname=other' PUBLICATION p"
            " WITH (connect = false, slot_name = NONE)"
        )
        sql(
            "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)"
            " SELECT oid, 'blog_article'::regclass, 'r' FROM pg_subscription WHERE subname = 'copied'"
        )
        (finding,) = findings("server.replicated")
        assert "watched tables of blog.Article" in finding.what
        transaction.set_rollback(True)
