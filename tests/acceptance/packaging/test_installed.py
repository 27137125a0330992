"""The installed package works away from the checkout, as a wheel and editable."""

import os
import subprocess

import pytest

from tests.integration.migrations.databases import url

SETTINGS = """
import os
from pgknowbase.embedded import database_config
SECRET_KEY = "x"
DATABASES = {"default": database_config(os.environ["DATABASE_URL"])}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.postgres"]
INSTALLED_APPS += ["pgtrigger", "pgknowbase"]
PGKNOWBASE = {"EMBEDDINGS": {"default": {
    "BACKEND": "pgknowbase.embeddings.static.StaticEmbedder", "MODEL": "wordllama-256", "DIMENSIONS": 256}}}
"""
LOOK = """
import importlib.metadata, importlib.resources, pathlib, pgknowbase
from pgknowbase.core.queries import find_query
from pgknowbase.core.sql_files import read_sql
assert read_sql("90_operations/pgknowbase_status.sql").startswith("-- Per source model")
assert find_query("outbox_claim").names == ("labels", "low_watermark", "open", "since", "max_keys")
assert importlib.resources.files("pgknowbase").joinpath("py.typed").is_file()
print(importlib.metadata.version("django-pgknowbase"), pathlib.Path(pgknowbase.__file__).resolve().parent)
"""


@pytest.fixture
def run(python, tmp_path):
    (tmp_path / "project_settings.py").write_text(SETTINGS)

    def run(*arguments):
        done = subprocess.run(
            [python, "-W", "ignore", *arguments],
            cwd=tmp_path,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
            | {"DJANGO_SETTINGS_MODULE": "project_settings", "DATABASE_URL": url("postgres")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_package_comes_from_where_it_was_installed(run, python):
    version, directory = run("-c", LOOK).split()
    assert version == "0.1.0"
    assert directory.startswith(str(python.parents[2].resolve()))


def test_migrations_are_found(run):
    plan = run("-m", "django", "migrate", "--plan")
    for name in ("0001_extensions", "0002_models", "0003_functions"):
        assert f"pgknowbase.{name}" in plan
    assert "Bring the functions and views of pgknowbase up to date" in plan


def test_nothing_is_left_to_migrate(run):
    assert "No changes detected" in run("-m", "django", "makemigrations", "--check", "--dry-run")
