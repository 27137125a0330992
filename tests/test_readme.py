"""The README's quick start runs as written, and the reference pages say all that is there."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from pgknowbase.conf import Settings
from pgknowbase.meta import ExternalDataMetaConfig
from tests.embedded.conftest import end_servers_in

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
LIBRARY = ROOT / "django_app" / "pgknowbase"
QUICK_START = README.partition("\n## Quick start\n")[2].partition("\n## ")[0]
BLOCK = re.compile(r"^(?P<before>[^\n]*)\n\n?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder():
    """An empty folder that Postgres may pass through, with this interpreter as ``python``."""
    directory = Path(tempfile.mkdtemp(prefix="pgk-"))
    directory.chmod(0o711)
    (directory / "bin").mkdir()
    for name, call in (("python", ""), ("django-admin", " -m django")):
        script = directory / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}"{call} "$@"\n')
        script.chmod(0o755)
    (directory / "work").mkdir(mode=0o711)
    yield directory
    left = end_servers_in(directory)
    shutil.rmtree(directory)
    assert not left, f"left running: {left}"


def shell(code, directory, folder):
    """Run ``code`` in ``directory``: what it printed, and the directory that it ended in."""
    leave_out = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in leave_out}
    environment["PATH"] = os.pathsep.join([str(folder / "bin"), environment["PATH"]])
    script = f'set -eu\n{code}\npwd > "{folder}/pwd"\n'
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=directory, env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, Path((folder / "pwd").read_text().strip())


def test_quick_start(folder):
    blocks = list(BLOCK.finditer(QUICK_START))
    assert QUICK_START.count("```") == 2 * len(blocks)
    directory, printed = folder / "work", ""
    for block in blocks:
        before, language, code = block["before"], block["language"], block["code"]
        if language == "sh":
            lines = [line for line in code.splitlines() if not line.startswith("pip install ")]
            printed, directory = shell("\n".join(lines), directory, folder)
        elif language == "python":
            path = directory / re.search(r"`([\w/]+\.py)`", before)[1]
            kept = path.read_text() if before.startswith("At the end of") else ""
            path.write_text(kept + code)
        else:
            assert printed.endswith(code), f"expected {code!r}, got {printed!r}"
    assert printed == "0.28 Bicycle\n"


def test_quick_start_installs_what_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"^pip install '?django-pgknowbase\[([\w,]+)\]'?$", "\n".join([README, *PAGES.values()]), re.M)
    assert named
    assert {extra for names in named for extra in names.split(",")} <= set(extras)
    assert import_module("pgknowbase.embeddings.minilm").INSTALL.split("`")[-2] in QUICK_START


# The reference pages


def documented(page, pattern):
    """Names that ``page`` defines: code at the start of a heading or of a table row."""
    return re.findall(rf"^(?:#+ |\| )`({pattern})[`(]", PAGES[page], re.MULTILINE)


def test_every_command_once_with_its_options():
    commands = {
        path.stem: ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts)
        for path in LIBRARY.glob("**/management/commands/[a-z]*.py")
    }
    assert sorted(documented("commands.md", r"\w+")) == sorted(commands)
    general = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color"}
    general |= {"--force-color", "--skip-checks"}
    for name, module in commands.items():
        command = import_module(module).Command()
        parser = command.create_parser("manage.py", name)
        options = {option for action in parser._actions for option in action.option_strings if option[:2] == "--"}
        section = PAGES["commands.md"].partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
        assert set(re.findall(r"^\| `(--[\w-]+)", section, re.MULTILINE)) == options - general, name


def test_every_setting_once_with_its_default():
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGES["settings.md"], re.MULTILINE | re.DOTALL))
    assert list(sections) == [
        "PGKNOWBASE",
        "EMBEDDINGS",
        "SPACE",
        "WORKER",
        "SEARCH",
        "REACTIONS",
        "AGENTS",
        "API",
        "CHAT",
    ]

    def check(model: type[BaseModel], section: str) -> None:
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|", sections[section], re.MULTILINE)
        assert [row[0] for row in rows] == [name.upper() for name in model.model_fields], section
        for (key, _, shown), field in zip(rows, model.model_fields.values(), strict=True):
            if field.is_required():
                assert shown == "required", key
            elif not isinstance(field.default, BaseModel):
                assert shown == f"`{field.default!r}`", key

    check(Settings, "PGKNOWBASE")
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            check(type(field.default), name.upper())
    check(Settings.model_fields["embeddings"].annotation.__args__[1], "EMBEDDINGS")


def test_every_meta_key_once():
    assert documented("models.md", "|".join(ExternalDataMetaConfig.model_fields)) == list(
        ExternalDataMetaConfig.model_fields
    )


def test_every_check_once():
    sources = "\n".join(path.read_text() for path in (LIBRARY / "checks").glob("*.py"))
    known = set(re.findall(r'id="(pgknowbase\.[EW]\d+)"', sources))
    assert sorted(documented("checks.md", r"pgknowbase\.[EW]\d+")) == sorted(known)


def test_every_finding_of_the_doctor_once():
    sources = "\n".join(path.read_text() for path in (LIBRARY / "doctor").glob("*.py"))
    found = set(re.findall(r'^ +(?:.*(?:error|warning|info)\()?"([a-z]+\.[a-z_]+)",', sources, re.MULTILINE))
    assert len(found) > 25
    assert sorted(documented("doctor.md", r"[a-z]+\.[a-z_]+")) == sorted(found)


def test_every_sql_object_once():
    from django.apps import apps

    names = {path.stem for path in (ROOT / "sql").glob("*/pgknowbase_*.sql")}
    for app in ("pgknowbase", "pgknowbase_api"):
        names |= {model._meta.db_table for model in apps.get_app_config(app).get_models()}
    assert sorted(documented("sql.md", r"pgknowbase_\w+")) == sorted(names)


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in extras for line in extras[name])]
    wanted = {re.match(r"[\w-]+", line)[0] for line in lines} - {"django-pgknowbase"}
    assert set(documented("dependencies.md", r"[\w-]+")) == wanted


def test_migrations_are_in_the_changelog():
    names = {path.stem for path in (ROOT / "migrations").glob("0*.py")}
    assert set(re.findall(r"`(\d{4}_\w+)`", (ROOT / "CHANGELOG.md").read_text())) == names


# Links


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))])
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
