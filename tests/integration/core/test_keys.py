"""A key has one spelling: trigger, Python and ORM agree for every type of field, whatever the session is set to."""

import datetime as dt
import ipaddress
import random
import uuid
from decimal import Decimal

import pytest
from django.contrib.postgres import fields as postgres
from django.db import connection, models
from django.test.utils import isolate_apps

from pgknowbase.core.keys import key_sql, key_text, normal_key, object_key, parse_keys
from pgknowbase.errors import ConfigurationError

pytestmark = pytest.mark.django_db

SESSIONS = [
    {},
    {"TimeZone": "Asia/Kathmandu", "DateStyle": "SQL, DMY", "IntervalStyle": "sql_standard"},
    {"TimeZone": "America/St_Johns", "DateStyle": "German", "IntervalStyle": "iso_8601"},
    {"DateStyle": "Postgres, MDY", "IntervalStyle": "postgres_verbose", "extra_float_digits": "-15"},
    {"extra_float_digits": "3", "bytea_output": "escape", "lc_time": "C", "xmlbinary": "hex"},
]
INTEGERS = [0, 7, -7, 32767]
TEXTS = ["a", "A", "", "ä ñ", '"quoted"', "东京", "a,b", "[1]", "back\\slash", "tab\t", " padded ", "null"]
MOMENTS = [
    dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    dt.datetime(2026, 7, 2, 23, 59, 59, 999999, tzinfo=dt.UTC),
    dt.datetime(987, 1, 2, 3, 4, 5, 500000, tzinfo=dt.UTC),
    dt.datetime(9999, 12, 30, tzinfo=dt.UTC),
    dt.datetime(1900, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC),
]
FLOATS = [0.0, -0.0, 1.0, 1.5, 1e15, 1e16, 1e-5, 0.1, -2.5e300, 5e-324, 123456789.123456789, float("inf"), float("nan")]
SPANS = [dt.timedelta(0), dt.timedelta(days=400, microseconds=5), dt.timedelta(hours=-30), dt.timedelta(seconds=0.25)]


def addresses():
    rng = random.Random(1)
    yield from (
        "10.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::2:0",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "2001:db8::1",
        "1:0:0:2::3",
    )
    for _ in range(300):
        words = [rng.choice((0, 0, 1, 0xFFFF, rng.randrange(65536))) for _ in range(8)]
        yield str(ipaddress.IPv6Address(sum(word << 16 * place for place, word in enumerate(words))))


class PaddedField(models.Field):
    def db_type(self, connection):
        return "char(5)"


CASES = {
    "auto": (models.AutoField, {}, [1, 2]),
    "big auto": (models.BigAutoField, {}, [1, 2**62]),
    "small auto": (models.SmallAutoField, {}, [1, 2]),
    "integer": (models.IntegerField, {}, INTEGERS),
    "big": (models.BigIntegerField, {}, [*INTEGERS, -(2**63)]),
    "small": (models.SmallIntegerField, {}, INTEGERS),
    "positive": (models.PositiveIntegerField, {}, [0, 5]),
    "positive big": (models.PositiveBigIntegerField, {}, [0, 5]),
    "positive small": (models.PositiveSmallIntegerField, {}, [0, 5]),
    "char": (models.CharField, {"max_length": 50}, TEXTS),
    "text": (models.TextField, {}, TEXTS),
    "slug": (models.SlugField, {}, ["a-b", "A-b"]),
    "email": (models.EmailField, {}, ["a@example.org"]),
    "url": (models.URLField, {}, ["https://example.org/?a=%20"]),
    "file": (models.FileField, {}, ["a/b c.txt"]),
    "file path": (models.FilePathField, {}, ["/tmp"]),
    "padded": (PaddedField, {}, ["a", "ab", "abcde", ""]),
    "uuid": (models.UUIDField, {}, [uuid.UUID(int=7), uuid.UUID(int=2**127 + 5)]),
    "decimal": (
        models.DecimalField,
        {"max_digits": 9, "decimal_places": 2},
        [Decimal("1.5"), Decimal("-0.10"), Decimal(100)],
    ),
    "boolean": (models.BooleanField, {}, [True, False]),
    "date": (models.DateField, {}, [dt.date(2026, 1, 2), dt.date(987, 12, 31), dt.date(9999, 12, 31)]),
    "moment": (models.DateTimeField, {}, MOMENTS),
    "time": (
        models.TimeField,
        {},
        [dt.time(0), dt.time(1, 2, 3), dt.time(23, 59, 59, 999999), dt.time(5, microsecond=500000)],
    ),
    "duration": (models.DurationField, {}, SPANS),
    "float": (models.FloatField, {}, FLOATS),
    "address": (models.GenericIPAddressField, {}, sorted(set(addresses()))),
    "bytes": (models.BinaryField, {}, [b"", b"\x00\xff", "é\\".encode()]),
    "integers": (postgres.ArrayField, {"base_field": models.IntegerField()}, [[], [1, 2], [None, 3]]),
    "texts": (postgres.ArrayField, {"base_field": models.TextField()}, [[], TEXTS, ["a", None]]),
    "nested": (postgres.ArrayField, {"base_field": postgres.ArrayField(models.IntegerField())}, [[[1, 2], [3, 4]]]),
    "uuids": (postgres.ArrayField, {"base_field": models.UUIDField()}, [[uuid.UUID(int=7)]]),
    "days": (postgres.ArrayField, {"base_field": models.DateField()}, [[dt.date(2026, 1, 2)]]),
    "flags": (postgres.ArrayField, {"base_field": models.BooleanField()}, [[True, False]]),
}
REFUSED = {
    "json": (models.JSONField, {}),
    "hstore": (postgres.HStoreField, {}),
    "range": (postgres.DateTimeRangeField, {}),
    "floats": (postgres.ArrayField, {"base_field": models.FloatField()}),
}


def made(field):
    """A model with this primary key, and its table."""
    with isolate_apps("tests.projects.blog"):

        class Keyed(models.Model):
            key = field

            class Meta:
                app_label = "blog"
                db_table = "test_keyed"

    with connection.schema_editor() as editor:
        editor.create_model(Keyed)
    return Keyed


def configure(session):
    with connection.cursor() as cursor:
        for name, value in session.items():
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])


def trigger_key(model):
    """The keys as a trigger spells them, by primary key."""
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT {key_sql([model._meta.pk], "NEW")} FROM test_keyed AS "NEW"'.replace("NEW.", '"NEW".'))
        return sorted(key for (key,) in cursor.fetchall())


@pytest.mark.parametrize("session", SESSIONS, ids=range(len(SESSIONS)))
@pytest.mark.parametrize("kind", CASES)
def test_one_spelling(kind, session):
    field, options, values = CASES[kind]
    model = made(field(primary_key=True, **options))
    for value in values:
        if kind != "float" or str(value) != "-0.0":
            model._base_manager.create(pk=value)
    rows = list(model._base_manager.all())
    keys = sorted(object_key(model, row.pk) for row in rows)
    assert len(set(keys)) == len(rows)
    assert keys == sorted({object_key(model, value) for value in values})
    for row in rows:
        key = object_key(model, row.pk)
        assert normal_key(model, key) == key
        (found,) = model._base_manager.filter(pk__in=parse_keys(model, [key]))
        assert object_key(model, found.pk) == key
    # A writer's session may be set to anything; psycopg reads dates of the usual style alone.
    configure(session)
    assert trigger_key(model) == keys
    assert sorted(model._base_manager.values_list(key_text(model), flat=True)) == keys


@pytest.mark.parametrize("kind", REFUSED)
def test_types_without_a_spelling_are_refused(kind):
    field, options = REFUSED[kind]
    with isolate_apps("tests.projects.blog"):

        class Keyed(models.Model):
            key = field(primary_key=True, **options)

            class Meta:
                app_label = "blog"

    with pytest.raises(ConfigurationError, match=r"'blog.Keyed.key' is of the type .* cannot serve as keys"):
        key_sql([Keyed._meta.pk], "NEW")
