"""The order of functions and views: what a file requires comes before it."""

import re

import pytest

from pgknowbase.core.sql_files import read_repeatable_files

BODY = "CREATE OR REPLACE FUNCTION {}() RETURNS integer LANGUAGE sql\nRETURN 1;\n"


@pytest.fixture
def folder(tmp_path):
    """Writes files of functions with the lines that they begin with."""

    def write(**files):
        directory = tmp_path / "20_relay"
        directory.mkdir()
        for name, head in files.items():
            (directory / f"{name}.sql").write_text(f"-- Says something.\n{head}{BODY.format(name)}", encoding="utf-8")
        return str(tmp_path)

    return write


def test_each_stands_after_what_it_requires(folder):
    directory = folder(
        pgknowbase_a="-- requires: pgknowbase_b, pgknowbase_c\n",
        pgknowbase_b="-- requires: pgknowbase_d\n-- requires: pgknowbase_document\n",
        pgknowbase_c="",
        pgknowbase_d="",
    )
    names = list(read_repeatable_files(directory))
    assert sorted(names) == ["pgknowbase_a", "pgknowbase_b", "pgknowbase_c", "pgknowbase_d"]
    assert names.index("pgknowbase_d") < names.index("pgknowbase_b") < names.index("pgknowbase_a")
    assert names.index("pgknowbase_c") < names.index("pgknowbase_a")


def test_a_name_that_nothing_creates(folder):
    with pytest.raises(ValueError, match=r"sql/20_relay/pgknowbase_a.sql requires 'pgknowbase_b', which no file"):
        read_repeatable_files(folder(pgknowbase_a="-- requires: pgknowbase_b\n"))


def test_a_circle(folder):
    directory = folder(pgknowbase_a="-- requires: pgknowbase_b\n", pgknowbase_b="-- requires: pgknowbase_a\n")
    with pytest.raises(ValueError, match=r"in a circle: sql/20_relay/pgknowbase_\w.sql -> .*Remove one requirement"):
        read_repeatable_files(directory)


def test_what_postgres_looks_at_is_required():
    """Bodies of views and SQL functions are looked at as they are created; those of PL/pgSQL are not."""
    files = read_repeatable_files()
    for file in files.values():
        code = re.sub(r"--.*", "", file.text)
        if file.kind == "VIEW" or "LANGUAGE sql" in code:
            assert (
                set(re.findall(r"pgknowbase_\w+", code)) & files.keys() - {file.name}
                == set(file.requires) & files.keys()
            ), file.path
