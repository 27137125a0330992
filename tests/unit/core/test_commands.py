from argparse import ArgumentTypeError
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from pgknowbase.core.commands import ActionCommand, add_database, as_table, between, database_alias, fraction, positive


class Command(ActionCommand):
    def add_arguments(self, parser):
        self.actions = parser.add_subparsers(metavar="ACTION", required=True)
        greet = self.add_action("greet", self.handle_greet, "Greet somebody.")
        greet.add_argument("name")
        add_database(greet)
        self.add_action("leave", self.handle_leave, "Leave.")

    def handle_greet(self, *, name, database, verbosity, **options):
        self.stdout.write(f"Hello {name}, {database}, {verbosity}")

    def handle_leave(self, **options):
        self.stdout.write("Bye")


def run(*arguments, **options):
    out = StringIO()
    call_command(Command(), *arguments, stdout=out, **options)
    return out.getvalue().strip()


def test_general_options_stand_before_or_after_the_action():
    assert run("greet", "Ann") == "Hello Ann, None, 1"
    assert run("--verbosity", "0", "greet", "Ann") == "Hello Ann, None, 0"
    assert run("greet", "Ann", "--verbosity", "2", "--database", "default") == "Hello Ann, default, 2"
    assert run("greet", "Ann", database="default", verbosity=3) == "Hello Ann, default, 3"
    assert run("leave", "--skip-checks", "--no-color") == "Bye"


@pytest.mark.parametrize("arguments", [[], ["stay"], ["greet"], ["leave", "Ann"], ["leave", "--database", "default"]])
def test_wrong_actions_are_refused(arguments):
    with pytest.raises(CommandError):
        run(*arguments)


def test_database_is_a_key_of_databases():
    assert database_alias(None) == database_alias("default") == "default"
    with pytest.raises(CommandError, match="'other' is not a key of DATABASES: use one of default"):
        database_alias("other")


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (positive, ["1", "200"], ["0", "-1", "1.5", "x", ""]),
        (between(2, 4), ["2", "4"], ["1", "5", "-3", "x", ""]),
        (fraction, ["0.001", "1"], ["0", "-0.5", "1.01", "nan", "x"]),
    ],
)
def test_argument_types(kind, good, bad):
    assert [float(kind(text)) for text in good] == [float(text) for text in good]
    for text in bad:
        with pytest.raises(ArgumentTypeError, match="is not a"):
            kind(text)


def test_columns_of_numbers_are_aligned_to_the_right():
    assert as_table(["name", "n"], [["a", 7], ["bb", None], ["c\nd", 100]]).splitlines() == [
        "name    n",
        "----  ---",
        "a       7",
        "bb      -",
        "c\\nd  100",
    ]
