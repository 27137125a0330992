from docs import command_tables
from tests.unit.test_reference import COMMANDS


def test_the_tables_are_those_of_the_parsers():
    assert command_tables.page() == command_tables.PAGE.read_text(), "run 'make docs'"


def test_every_command_has_a_table():
    headings = {found[2].partition(" ")[0] for found in command_tables.TABLE.finditer(command_tables.PAGE.read_text())}
    assert {f"pgknowbase_{name}" if name == "tune" else name for name in headings} == set(COMMANDS) - {"dumpdata"}


def test_every_option_says_what_it_means():
    assert not [
        (name, option.option_strings)
        for name in COMMANDS
        for parser in [
            command_tables.parser_of(name),
            *command_tables.actions_of(command_tables.parser_of(name)).values(),
        ]
        for option in parser._actions
        if option.option_strings and not option.help
    ]
