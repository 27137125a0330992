"""An update is captured if it stores another value, also one that its type holds for equal, and only then."""

import subprocess

import pytest
from django.contrib.postgres import fields as postgres
from django.db import connection, models
from django.test.utils import isolate_apps
from pgvector.django import VectorField

from pgknowbase.capture.triggers import changed_sql
from tests.integration.migrations.databases import pg_program

pytestmark = pytest.mark.django_db
COUNTER = """
CREATE TABLE test_counted (n int);
CREATE FUNCTION test_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO test_counted VALUES (1); RETURN NULL; END $$;
CREATE TRIGGER test_count AFTER UPDATE ON test_stored FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION test_count()
"""


class OtherTypeField(models.Field):
    def __init__(self, kind="text", **options):
        self.kind = kind
        super().__init__(**options)

    def db_type(self, connection):
        return self.kind


def other(kind):
    return lambda: OtherTypeField(kind, null=True)


# Two literals of one type that are stored differently. Those of the first group are equal.
EQUAL = {
    "jsonb": (lambda: models.JSONField(null=True), """'{"a": 1}'""", """'{"a": 1.0}'"""),
    "json": (other("json"), """'{"a": 1}'""", """'{"a":1}'"""),
    "numeric": (other("numeric"), "'1.0'", "'1.000'"),
    "float": (lambda: models.FloatField(null=True), "'0'", "'-0'"),
    "interval": (lambda: models.DurationField(null=True), "'1 mon'", "'30 days'"),
    "numbers": (other("numeric[]"), "'{1.0}'", "'{1.00}'"),
    "range": (lambda: postgres.DecimalRangeField(null=True), "'[1.0,2)'", "'[1.00,2)'"),
}
UNEQUAL = {
    "text": (lambda: models.TextField(null=True), "'a'", "'A'"),
    "char": (lambda: models.CharField(max_length=9, null=True), "'a'", "'a '"),
    "padded": (other("char(5)"), "'a'", "'b'"),
    "integer": (lambda: models.IntegerField(null=True), "1", "2"),
    "big": (lambda: models.BigIntegerField(null=True), "1", "2"),
    "boolean": (lambda: models.BooleanField(null=True), "true", "false"),
    "uuid": (lambda: models.UUIDField(null=True), "gen_random_uuid()", "gen_random_uuid()"),
    "moment": (lambda: models.DateTimeField(null=True), "'2026-01-01 12:00+00'", "'2026-01-01 12:00+01'"),
    "date": (lambda: models.DateField(null=True), "'2026-01-01'", "'2026-01-02'"),
    "time": (lambda: models.TimeField(null=True), "'12:00'", "'12:01'"),
    "bytes": (lambda: models.BinaryField(null=True), "'\\x00'", "'\\x01'"),
    "address": (lambda: models.GenericIPAddressField(null=True), "'10.0.0.1'", "'10.0.0.2'"),
    "array": (lambda: postgres.ArrayField(models.TextField(), null=True), "'{a}'", "'{A}'"),
    "vector": (lambda: VectorField(dimensions=2, null=True), "'[1,2]'", "'[1,3]'"),
    "bits": (other("bit(3)"), "'101'", "'100'"),
    "long text": (lambda: models.TextField(null=True), "repeat('abc', 100000)", "repeat('abc', 99999) || 'abd'"),
    "long json": (lambda: models.JSONField(null=True), "jsonb_build_array(repeat('abc', 100000))", "'[]'"),
}


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def model_of(field):
    with isolate_apps("tests.projects.blog"):

        class Stored(models.Model):
            value = field()

            class Meta:
                app_label = "blog"
                db_table = "test_stored"

    with connection.schema_editor() as editor:
        editor.create_model(Stored)
    return Stored


def fired():
    """How often the trigger has fired since the last call."""
    return execute("WITH gone AS (DELETE FROM test_counted RETURNING 1) SELECT count(*) FROM gone")[0][0]


@pytest.mark.parametrize("kind", [*EQUAL, *UNEQUAL])
def test_what_is_stored_decides(kind):
    field, first, second = {**EQUAL, **UNEQUAL}[kind]
    model = model_of(field)
    execute(COUNTER.format(condition=changed_sql([model._meta.get_field("value")])))
    execute(f"INSERT INTO test_stored (value) VALUES ({first})")
    if kind in EQUAL and kind != "json":
        # Else the case shows nothing.
        assert execute(f"SELECT value = {second} FROM test_stored") == [(True,)]
    execute("UPDATE test_stored SET value = value")
    execute("UPDATE test_stored SET id = id")
    assert fired() == 0
    execute(f"UPDATE test_stored SET value = {second}")
    assert fired() == 1
    execute("UPDATE test_stored SET value = NULL")
    assert fired() == 1
    execute("UPDATE test_stored SET value = NULL")
    assert fired() == 0
    execute(f"UPDATE test_stored SET value = {first}")
    assert fired() == 1


def test_collations_that_ignore_case():
    with_icu = execute("SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i' AND collversion IS NOT NULL)")
    if with_icu != [(True,)]:
        pytest.skip("the server is built without ICU")
    execute("CREATE COLLATION test_ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    model = model_of(lambda: models.TextField(db_collation="test_ci"))
    execute(COUNTER.format(condition=changed_sql([model._meta.get_field("value")])))
    execute("INSERT INTO test_stored (value) VALUES ('a')")
    assert execute("SELECT value = 'A' FROM test_stored") == [(True,)]
    execute("UPDATE test_stored SET value = 'A'")
    assert fired() == 1


@pytest.mark.parametrize("kind", ["json", "jsonb", "vector", "text"])
@pytest.mark.django_db(transaction=True)
def test_trigger_survives_dump_and_restore(kind, database_url):
    field, first, second = {**EQUAL, **UNEQUAL}[kind]
    model = model_of(field)
    try:
        execute(COUNTER.format(condition=changed_sql([model._meta.get_field("value")])))
        shown = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'test_count'"
        before = execute(shown)
        dump = subprocess.run(
            [pg_program("pg_dump"), "--table", "test_stored", database_url], capture_output=True, text=True, check=True
        ).stdout
        execute("DROP TABLE test_stored")
        # The newer program sets what an older server does not know.
        dump = dump.replace("SET transaction_timeout = 0;\n", "")
        restored = subprocess.run(
            [pg_program("psql"), "-v", "ON_ERROR_STOP=1", database_url],
            input=dump,
            capture_output=True,
            text=True,
        )
        assert (restored.returncode, restored.stderr) == (0, "")
        assert execute(shown) == before
        execute(f"INSERT INTO test_stored (value) VALUES ({first})")
        execute(f"UPDATE test_stored SET value = {second}")
        assert fired() == 1
    finally:
        execute("DROP TABLE IF EXISTS test_stored, test_counted; DROP FUNCTION IF EXISTS test_count CASCADE")
