"""The README and the pages of docs/ name every command, check and SQL object. The names come from the code.

``test_settings_page`` is about docs/settings.md.
"""

import argparse
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management.commands import dumpdata

from pgknowbase.conf import Settings
from pgknowbase.sources.declaration import ExternalDataMetaConfig

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
LIBRARY = ROOT / "django_app" / "pgknowbase"
COMMANDS = {
    path.stem: ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts)
    for path in LIBRARY.glob("**/management/commands/[a-z]*.py")
}


def rows_of_readme(title):
    """The names in the first column of the table that follows ``title`` in the README's section Reference."""
    section = README.partition("\n## Reference\n")[2].partition("\n## ")[0]
    (table,) = re.findall(rf"^{title}.*:\n\n((?:\|.*\n)+)", section, re.MULTILINE)
    return re.findall(r"^\| `(\w+)`", table, re.MULTILINE)


def check_ids():
    """The ids of the system checks that the code can give."""
    sources = "\n".join(path.read_text() for path in LIBRARY.rglob("*.py"))
    return set(re.findall(r'"(pgknowbase\.[EW]\d+)"', sources))


def test_extras_that_are_named_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"^pip install '?django-pgknowbase\[([\w,]+)\]'?$", "\n".join([README, *PAGES.values()]), re.M)
    assert named
    assert {extra for names in named for extra in names.split(",")} <= set(extras)
    assert import_module("pgknowbase.embeddings.minilm").INSTALL.split("`")[-2] in README


# The reference pages


def documented(page, pattern):
    """Names that ``page`` defines: code at the start of a heading or of a table row."""
    return re.findall(rf"^(?:#+ |\| )`({pattern})[`(]", PAGES[page], re.MULTILINE)


def all_actions(parser):
    """The arguments of a parser and of its sub-commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from all_actions(sub)


def long_options(command):
    actions = all_actions(command.create_parser("manage.py", "name"))
    return {option for action in actions for option in action.option_strings if option[:2] == "--"}


def test_every_command_once_with_its_options():
    assert sorted(documented("commands.md", r"\w+")) == sorted(COMMANDS)
    general = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color"}
    general |= {"--force-color", "--skip-checks"}
    for name, module in COMMANDS.items():
        command = import_module(module).Command()
        options = long_options(command)
        if isinstance(command, dumpdata.Command):  # Django documents its own
            options -= long_options(dumpdata.Command())
        section = PAGES["commands.md"].partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
        assert set(re.findall(r"^\| `(--[\w-]+)", section, re.MULTILINE)) == options - general, name


def test_every_meta_key_once():
    assert documented("models.md", "|".join(ExternalDataMetaConfig.model_fields)) == list(
        ExternalDataMetaConfig.model_fields
    )


def test_every_check_once():
    assert len(check_ids()) > 10
    assert sorted(documented("checks.md", r"pgknowbase\.[EW]\d+")) == sorted(check_ids())


def test_every_finding_of_the_doctor_once():
    sources = "\n".join(path.read_text() for path in LIBRARY.glob("**/doctor/*.py"))
    found = set(re.findall(r'^ +(?:.*(?:error|warning|info)\()?"([a-z]+\.[a-z_]+)",', sources, re.MULTILINE))
    assert len(found) > 25
    assert sorted(documented("doctor.md", r"[a-z]+\.[a-z_]+")) == sorted(found)


def test_every_sql_object_once():
    names = {path.stem for path in (ROOT / "sql").glob("*/pgknowbase_*.sql")}
    for app in ("pgknowbase", "pgknowbase_api"):
        names |= {model._meta.db_table for model in apps.get_app_config(app).get_models()}
    assert sorted(documented("sql.md", r"pgknowbase_\w+")) == sorted(names)


# The README's section Reference


def test_readme_has_every_setting():
    assert rows_of_readme("Settings") == [name.upper() for name in Settings.model_fields]


def test_readme_has_every_command():
    assert sorted(rows_of_readme("Commands")) == sorted(COMMANDS)


def test_readme_has_every_check():
    (line,) = re.findall(r"^Checks .*(?:\n.+)*", README, re.MULTILINE)
    assert sorted(re.findall(r"`([EW]\d+)`", line)) == sorted(name.partition(".")[2] for name in check_ids())


def test_readme_has_only_sql_that_is_there():
    named = rows_of_readme("SQL")
    assert named
    assert set(named) <= set(documented("sql.md", r"pgknowbase_\w+"))


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in extras for line in extras[name])]
    wanted = {re.match(r"[\w-]+", line)[0] for line in lines} - {"django-pgknowbase"}
    assert set(documented("dependencies.md", r"[\w-]+")) == wanted


def test_migrations_are_in_the_changelog():
    names = {path.stem for path in (ROOT / "migrations").glob("0*.py")}
    assert set(re.findall(r"`(\d{4}_\w+)`", (ROOT / "CHANGELOG.md").read_text())) == names


# Paths and links


@pytest.mark.parametrize(
    "path", [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"], ids=lambda path: path.name
)
def test_named_files_exist(path):
    named = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|md|sql|toml|json)))`", path.read_text()))
    assert len(named) > 10
    assert {name for name in named if not any((root / name).exists() for root in (ROOT, LIBRARY))} == set()


def test_security_names_tests_that_there_are():
    named = set(re.findall(r"`(test_\w+)`", PAGES["security.md"]))
    assert len(named) > 10
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in named if f"def {name}(" not in tests} == set()


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))])
def test_links_resolve(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name) if name else path
        assert found.exists(), target
        assert not anchor or anchor in anchors(found.read_text()), target


def test_every_page_is_in_the_index():
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", PAGES["index.md"]))
    assert linked >= set(PAGES) - {"index.md"}
