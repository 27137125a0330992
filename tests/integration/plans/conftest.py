import pytest
from django.db import connection


@pytest.fixture
def session(transactional_db):
    """Begin a session of the database that has no plans yet, and makes them as ``plan_cache_mode`` says."""

    def begin(plans="auto"):
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute(f"SET plan_cache_mode = {plans}")
            # What a plan reads over and over is then read from blocks, where it can be counted.
            cursor.execute("SET work_mem = '64kB'")

    yield begin
    connection.close()


@pytest.fixture
def no_autovacuum(transactional_db):
    """Nobody but the test makes statistics."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET autovacuum = off")
        cursor.execute("SELECT pg_reload_conf()")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM RESET autovacuum")
        cursor.execute("SELECT pg_reload_conf()")
