"""Each SQL file is used once, and a released one is as it was."""

import importlib
import re
from collections import Counter
from pathlib import Path

import pgknowbase.migrations
import pytest
from django.db.migrations import RunPython, RunSQL

import pgknowbase
from pgknowbase.migration_operations import RunSQLFile
from tests.sql import released
from tests.sql.rendering import SQL, rendered, sql_files

PACKAGE = Path(pgknowbase.__file__).parent
MIGRATIONS = Path(pgknowbase.migrations.__file__).parent
API_MIGRATIONS = PACKAGE / "api" / "migrations"
KINDS = {
    "TRIGGER": "CREATE TRIGGER",
    "FUNCTION": "CREATE OR REPLACE FUNCTION",
    "VIEW": "CREATE OR REPLACE VIEW",
    "TABLE": "CREATE TABLE",
}


def operations():
    for directory, package in ((MIGRATIONS, "pgknowbase.migrations"), (API_MIGRATIONS, "pgknowbase.api.migrations")):
        for path in sorted(directory.glob("0*.py")):
            yield from importlib.import_module(f"{package}.{path.stem}").Migration.operations


def read_by_code():
    """Files that Python reads by name."""
    for path in PACKAGE.rglob("*.py"):
        for name in re.findall(r"read_sql\(f?\"([^\"]+)\"\)", path.read_text(encoding="utf-8")):
            if "{operation}" in name:
                yield from (name.replace("{operation}", word) for word in ("insert", "update", "delete", "truncate"))
            else:
                yield name


def test_each_file_is_used_once():
    used = Counter(op.path for op in operations() if isinstance(op, RunSQLFile)) + Counter(read_by_code())
    assert used == dict.fromkeys(sql_files(), 1)


def test_migrations_hold_no_sql_and_can_be_reversed():
    assert not [op for op in operations() if isinstance(op, RunSQL | RunPython)]
    assert all(op.reversible for op in operations())


@pytest.mark.parametrize("op", [op for op in operations() if isinstance(op, RunSQLFile)], ids=lambda op: op.path)
def test_way_back_drops_what_the_file_creates(op):
    name = op.path.rpartition("/")[2].removesuffix(".sql")
    assert f"{KINDS[op.kind]} {name}" in (SQL / op.path).read_text(encoding="utf-8")


def test_templates_are_all_rendered():
    assert not [path for path, sql in rendered() if re.search(r"\{[a-z_]+\}", sql)]


def test_released_files_are_unchanged():
    assert not released.changed(), "a released file is frozen: write a new one"


def test_a_changed_file_is_noticed(tmp_path, monkeypatch):
    frozen = tmp_path / "released.json"
    frozen.write_text('{"0_extension/vector.sql": "other", "gone.sql": ""}')
    monkeypatch.setattr(released, "LIST", frozen)
    assert released.changed() == ["0_extension/vector.sql", "gone.sql"]
