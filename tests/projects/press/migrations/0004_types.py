import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import tests.projects.press.models

# Both only where the server has them.
CITEXT = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'citext') THEN
        -- Beside vector, where each of several schemas finds it.
        EXECUTE (SELECT format('CREATE EXTENSION IF NOT EXISTS citext SCHEMA %I', nspname)
                 FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector');
    END IF;
END;
$$;
"""
COLLATION = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i' AND collversion IS NOT NULL) THEN
        CREATE COLLATION press_ignoring_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        ALTER TABLE press_record ALTER COLUMN folded TYPE text COLLATE press_ignoring_case;
    END IF;
END;
$$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("press", "0003_cascade"),
    ]

    operations = [
        migrations.RunSQL(CITEXT, migrations.RunSQL.noop),
        migrations.CreateModel(
            name="Venue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name="Host",
            fields=[
                ("text", models.TextField()),
                ("key", models.GenericIPAddressField(primary_key=True, serialize=False)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Label",
            fields=[
                ("text", models.TextField()),
                ("key", tests.projects.press.models.AsText(kind="citext", primary_key=True, serialize=False)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Leaf",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.TextField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Mark",
            fields=[
                ("text", models.TextField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "code", "level", "digest", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("code", tests.projects.press.models.AsText(kind="char(5)")),
                ("level", models.FloatField()),
                ("digest", models.BinaryField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Record",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("binary", tests.projects.press.models.AsText(kind="jsonb")),
                ("raw", tests.projects.press.models.AsText(kind="json")),
                ("amount", tests.projects.press.models.AsText(kind="numeric")),
                ("span", tests.projects.press.models.AsText(kind="interval")),
                ("level", tests.projects.press.models.AsText(kind="double precision")),
                ("caseless", tests.projects.press.models.AsText(kind="citext")),
                ("folded", models.TextField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Route",
            fields=[
                ("text", models.TextField()),
                (
                    "key",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), primary_key=True, serialize=False, size=None
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Shift",
            fields=[
                ("text", models.TextField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "start", "length", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("start", models.TimeField()),
                ("length", models.DurationField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Hall",
            fields=[
                (
                    "venue_ptr",
                    models.OneToOneField(
                        auto_created=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        parent_link=True,
                        primary_key=True,
                        serialize=False,
                        to="press.venue",
                    ),
                ),
                ("seats", models.IntegerField(default=0)),
            ],
            options={
                "abstract": False,
            },
            bases=("press.venue", models.Model),
        ),
        migrations.CreateModel(
            name="Slot",
            fields=[
                ("text", models.TextField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "host", "is_open", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("is_open", models.BooleanField()),
                ("at", models.DateTimeField()),
                ("host", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="press.host")),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.RunSQL(COLLATION, "DROP COLLATION IF EXISTS press_ignoring_case CASCADE"),
    ]
