"""A Citus cluster: CITUS_URL names the database of a coordinator, whose worker nodes hold shards.

DATABASE_URL is the same URL: the suite's database is one on that coordinator, and the nodes get one of the same name.
"""

import os

import psycopg
import pytest
from django.db import connection

from pgknowbase.embedded import database_config


def connect(host, port, database):
    known = database_config(os.environ["CITUS_URL"])
    return psycopg.connect(
        host=host, port=port, dbname=database, user=known["USER"], password=known["PASSWORD"] or None, autocommit=True
    )


def _is_cluster():
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('pg_dist_node') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return False
        cursor.execute("SELECT count(*) > 1 FROM pg_dist_node")
        return cursor.fetchone()[0]


@pytest.fixture(scope="session")
def django_db_setup(request, django_db_setup, django_db_blocker):
    """The cluster of the coordinator, once more for the test database; with --reuse-db it stays for the next run."""
    keeps = request.config.getvalue("reuse_db")
    with psycopg.connect(os.environ["CITUS_URL"]) as coordinator:
        nodes = coordinator.execute(
            "SELECT nodename, nodeport, groupid = 0 FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"
        ).fetchall()
    with django_db_blocker.unblock():
        name = connection.settings_dict["NAME"]
        workers = [(host, port) for host, port, is_coordinator in nodes if not is_coordinator]
        if keeps and not request.config.getvalue("create_db") and _is_cluster():
            yield
            return
        for host, port in workers:
            with connect(host, port, "postgres") as node:
                node.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
                node.execute(f'CREATE DATABASE "{name}"')
            with connect(host, port, name) as node:
                node.execute("CREATE EXTENSION citus")
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS citus")
            for host, port, is_coordinator in nodes:
                if is_coordinator:
                    cursor.execute("SELECT citus_set_coordinator_host(%s, %s)", [host, port])
                else:
                    cursor.execute("SELECT citus_add_node(%s, %s)", [host, port])
        connection.close()
    yield
    if keeps:
        return
    with django_db_blocker.unblock():
        connection.close()
    for host, port in workers:
        with connect(host, port, "postgres") as node:
            node.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
