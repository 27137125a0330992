"""Functions and views follow their files at each migrate, and nothing else is touched."""

import shutil
import threading

import pytest

from tests.unit.sql.rendering import SQL

# (name, oid, transaction that wrote it) of whatever carries a mark, and of its neighbours.
WRITTEN = """
SELECT p.proname, p.oid::bigint, p.xmin::text FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
UNION ALL SELECT c.relname, c.oid::bigint, c.xmin::text FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
ORDER BY 1, 2
"""
HELPER = "30_keywords/pgknowbase_bigrams.sql"
CONTRACT = "20_relay/pgknowbase_outbox_ack_v1.sql"
VIEW = "90_operations/pgknowbase_status.sql"


@pytest.fixture
def sql(tmp_path):
    """A copy of the sql folder, as the next release might have it."""
    return shutil.copytree(SQL, tmp_path / "sql", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture
def migrate(database, sql, tmp_path):
    """Runs migrate with the copy in the place of the installed folder."""
    (tmp_path / "next_release.py").write_text(
        "from tests.settings import *\n"
        "import pgknowbase.sql\n"
        f"pgknowbase.sql.__path__ = [{str(sql)!r}]\n"
        f"pgknowbase.sql.__spec__.submodule_search_locations = [{str(sql)!r}]\n"
        f"import importlib.resources as r, pathlib\n"
        f"plain = r.files\n"
        f"r.files = lambda name: pathlib.Path({str(sql)!r}) if name == 'pgknowbase.sql' else plain(name)\n"
    )
    return lambda *commands: database.manage(*(commands or ("migrate -v0",)), project=tmp_path, module="next_release")


def edit(sql, path, *changes):
    text = (sql / path).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (sql / path).write_text(text, encoding="utf-8")


def touched(before, after):
    return sorted({name for name, _, _ in set(before) ^ set(after)})


def source_of(database, name):
    return database.value("SELECT prosrc FROM pg_proc WHERE proname = %s", name)


def test_nothing_is_written_where_nothing_has_changed(database, migrate):
    before = database.rows(WRITTEN)
    migrate()
    assert database.rows(WRITTEN) == before


def test_one_changed_helper_is_replaced_and_nothing_else_is_touched(database, migrate, sql):
    before = database.rows(WRITTEN)
    edit(sql, HELPER, ("BEGIN\n", "BEGIN\n    -- The next release.\n"))
    migrate()
    assert "The next release" in source_of(database, "pgknowbase_bigrams")
    assert touched(before, database.rows(WRITTEN)) == ["pgknowbase_bigrams"]


def test_a_new_function_and_a_dropped_one(database, migrate, sql):
    for path in sql.rglob("*.sql"):
        if "pgknowbase_bigrams" in path.read_text(encoding="utf-8"):
            edit(sql, path, ("pgknowbase_bigrams", "pgknowbase_pairs"))
    (sql / HELPER).rename(sql / "30_keywords" / "pgknowbase_pairs.sql")
    before = database.rows(WRITTEN)
    with database.connect() as connection:
        connection.execute("CREATE FUNCTION pgknowbase_of_the_project() RETURNS integer LANGUAGE sql RETURN 1")
    migrate()
    names = {name for name, _, _ in database.rows(WRITTEN)}
    assert names - {name for name, _, _ in before} == {"pgknowbase_pairs", "pgknowbase_of_the_project"}
    assert {name for name, _, _ in before} - names == {"pgknowbase_bigrams"}
    assert any(name.startswith("pgtrigger_pgknowbase_") for name in names), "what users' migrations created stays"


def test_a_helper_with_another_signature_takes_its_dependents_along(database, migrate, sql):
    edit(
        sql,
        "30_keywords/pgknowbase_query_tokens.sql",
        ("TABLE (word text, positions smallint[])", "TABLE (word text, positions smallint[], at smallint)"),
        ("        t.positions\n", "        t.positions, t.positions[1]\n"),
    )
    before = database.rows(WRITTEN)
    migrate()
    assert touched(before, database.rows(WRITTEN)) == [
        "pgknowbase_query_tokens",
        "pgknowbase_tokenize_query",
        "pgknowbase_word_coverage",
    ]
    assert database.rows("SELECT word, at FROM pgknowbase_query_tokens('simple', 'a zebra')") == [
        ("'a'", 1),
        ("'zebra'", 2),
    ]


def test_a_helper_with_another_argument_leaves_no_overload(database, migrate, sql):
    edit(
        sql,
        HELPER,
        ("ends boolean DEFAULT false)", "ends boolean DEFAULT false, wide boolean DEFAULT true)"),
    )
    migrate()
    ((arguments,),) = database.rows("SELECT pronargs FROM pg_proc WHERE proname = 'pgknowbase_bigrams'")
    assert arguments == 3


@pytest.mark.parametrize(
    "change",
    [
        ("(ids bigint[])", "(ids bigint[], really boolean DEFAULT true)"),
        ("(ids bigint[])", "(event_ids bigint[])"),
        ("RETURNS bigint", "RETURNS integer"),
    ],
)
def test_the_signature_of_a_numbered_function_is_kept(database, migrate, sql, change):
    edit(sql, CONTRACT, change, *([("ANY (ids)", "ANY (event_ids)")] if "event_ids" in change[1] else []))
    edit(sql, HELPER, ("BEGIN\n", "BEGIN\n    -- The next release.\n"))
    before = database.rows(WRITTEN)
    with pytest.raises(AssertionError, match=r"changes the signature of 'pgknowbase_outbox_ack_v1', which client code"):
        migrate()
    assert database.rows(WRITTEN) == before, "all or nothing"


def test_a_view_that_loses_a_column(database, migrate, sql):
    edit(sql, VIEW, ("    coalesce(e.dead, 0) AS dead,\n", ""))
    before = database.rows(WRITTEN)
    migrate()
    assert "dead" not in database.value("SELECT pg_get_viewdef('pgknowbase_status'::regclass)").partition("FROM")[0]
    assert touched(before, database.rows(WRITTEN)) == ["pgknowbase_status"]


def test_a_view_of_the_project_stands_in_the_way(database, migrate, sql):
    with database.connect() as connection:
        connection.execute("CREATE VIEW backlog AS SELECT source, dead FROM pgknowbase_status")
    edit(sql, VIEW, ("    coalesce(e.dead, 0) AS dead,\n", ""))
    with pytest.raises(AssertionError, match="not pgknowbase's depend on it: drop those first"):
        migrate()


def test_zero_and_back(database, migrate, sql):
    edit(sql, HELPER, ("BEGIN\n", "BEGIN\n    -- The next release.\n"))
    migrate()
    before = database.dump()
    migrate("migrate pgknowbase_agents zero", "migrate pgknowbase zero", "migrate -v0")
    assert database.dump() == before


def test_a_role_that_is_no_superuser(owned):
    before = owned.rows(WRITTEN)
    owned.manage("migrate -v0")
    assert owned.rows(WRITTEN) == before


def test_two_at_once(database, migrate, sql):
    edit(sql, HELPER, ("BEGIN\n", "BEGIN\n    -- The next release.\n"))
    before = database.rows(WRITTEN)
    failures = []

    def run():
        try:
            migrate()
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert touched(before, database.rows(WRITTEN)) == ["pgknowbase_bigrams"]
