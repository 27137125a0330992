"""Each SQL file is used once, and a released one is as it was."""

import importlib
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pgknowbase.migrations
import pytest
from django.db.migrations import RunPython, RunSQL

import pgknowbase
from pgknowbase.core.migration_operations import RunSQLFile
from pgknowbase.core.sql_files import read_repeatable_files
from tests.unit.sql import released
from tests.unit.sql.rendering import SQL, rendered, sql_files

PACKAGE = Path(pgknowbase.__file__).parent
MIGRATIONS = Path(pgknowbase.migrations.__file__).parent
API_MIGRATIONS = PACKAGE / "api" / "migrations"
KINDS = {"TRIGGER": "CREATE TRIGGER", "TABLE": "CREATE TABLE", "TYPE": "CREATE TYPE"}


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
    run = Counter(path for op in operations() if isinstance(op, RunSQLFile) for path in (op.path, op.undo) if path)
    repeated = Counter(file.path for file in read_repeatable_files().values())
    assert run + repeated + Counter(read_by_code()) == dict.fromkeys(sql_files(), 1)


def test_migrations_hold_no_sql_and_can_be_reversed():
    assert not [op for op in operations() if isinstance(op, RunSQL | RunPython)]
    assert all(op.reversible for op in operations())


@pytest.mark.parametrize(
    "op", [op for op in operations() if isinstance(op, RunSQLFile) and not op.undo], ids=lambda op: op.path
)
def test_way_back_drops_what_the_file_creates(op):
    name = op.path.rpartition("/")[2].removesuffix(".sql")
    assert f"{KINDS[op.kind]} {name}" in (SQL / op.path).read_text(encoding="utf-8")


def test_templates_are_all_rendered():
    assert not [path for path, sql in rendered() if re.search(r"\{[a-z_]+\}", sql)]


def test_what_was_released_is_unchanged():
    assert not released.changed(), "a release has promised it: add a new one (_v2)"


@pytest.fixture
def frozen(tmp_path, monkeypatch):
    """A copy of the sql folder, all of which was just released."""
    copy = shutil.copytree(SQL, tmp_path / "sql", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(released, "SQL", copy)
    monkeypatch.setattr(released, "LIST", tmp_path / "released.json")
    released.LIST.write_text(json.dumps(dict(released.promised())), encoding="utf-8")
    return copy


@pytest.mark.parametrize(
    ("path", "old", "new", "noticed"),
    [
        ("20_relay/pgknowbase_outbox_ack_v1.sql", "(ids bigint[])", "(ids bigint[], n integer)", True),
        ("20_relay/pgknowbase_outbox_ack_v1.sql", "(ids bigint[])", "(event_ids bigint[])", True),
        ("20_relay/pgknowbase_outbox_ack_v1.sql", "RETURNS bigint", "RETURNS integer", True),
        ("50_spaces/pgknowbase_space_create_v1.sql", "DEFAULT 'recursive'", "DEFAULT 'code'", True),
        ("50_spaces/pgknowbase_space.sql", "NOT NULL", "", True),
        ("10_capture/update_v1.sql", "'U'", "'X'", True),
        ("20_relay/pgknowbase_outbox_ack_v1.sql", "o.id = ANY (ids)", "ids @> ARRAY[o.id]", False),
        ("20_relay/pgknowbase_outbox_ack_v1.sql", "-- Deletes", "-- Takes away", False),
        ("30_keywords/pgknowbase_lower.sql", "(content text)", "(content text, wide boolean)", False),
        ("90_operations/pgknowbase_status.sql", "coalesce(e.dead, 0) AS dead,", "", False),
    ],
)
def test_a_broken_promise_is_noticed(frozen, path, old, new, noticed):
    text = (frozen / path).read_text(encoding="utf-8")
    assert old in text
    assert released.changed() == []
    (frozen / path).write_text(text.replace(old, new, 1), encoding="utf-8")
    name = Path(path).stem if path.startswith(("20_", "50_")) and "_v1" in path else path
    assert released.changed() == ([name] if noticed else [])


def test_a_dropped_function_is_noticed(frozen):
    (frozen / "20_relay" / "pgknowbase_outbox_ack_v1.sql").unlink()
    assert released.changed() == ["pgknowbase_outbox_ack_v1"]
