"""The tables; the triggers on them follow in 0002."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Module",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("name", models.CharField(max_length=200, unique=True)),
                (
                    "library",
                    models.CharField(choices=[("python", "Python"), ("django", "Django")], max_length=10),
                ),
                ("docstring", models.TextField(blank=True)),
            ],
            options={"ordering": ["name"]},
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("class", "Class"), ("function", "Function"), ("method", "Method")],
                        max_length=10,
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("qualname", models.CharField(max_length=255, unique=True)),
                ("signature", models.TextField(blank=True)),
                ("docstring", models.TextField()),
                ("line", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "module",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="entries",
                        to="library.module",
                    ),
                ),
            ],
            options={"ordering": ["qualname"], "verbose_name_plural": "entries"},
        ),
    ]
