"""``make release`` refuses a checkout that is not ready. The checks run on a small repository of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

RELEASE = Path(__file__).parents[2] / ".ci" / "release.py"
CHANGELOG = "# Changelog\n\n## 1.2.0 (2027-01-31)\n\n- Faster.\n\n## 1.1.0 (2026-12-01)\n\n- First.\n"


def git(root, *arguments):
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def commit(root, **files):
    for name, text in files.items():
        (root / {"pyproject": "pyproject.toml", "changelog": "CHANGELOG.md"}.get(name, name)).write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-m", "Change")


@pytest.fixture
def checkout(tmp_path):
    """A repository that is ready to be released."""
    git(tmp_path, "init", "-q")
    commit(
        tmp_path,
        pyproject='[project]\nname = "django-pgknowbase"\nversion = "1.2.0"\n',
        changelog=CHANGELOG,
        Makefile="release-sql:\n\t@true\n",
    )
    return tmp_path


def faults(root):
    """What the checks say, empty where they pass."""
    command = [sys.executable, RELEASE, "--check", "--root", root]
    done = subprocess.run(command, capture_output=True, text=True)
    assert bool(done.returncode) == bool(done.stderr), done.stderr
    return done.stderr


def test_ready(checkout):
    assert faults(checkout) == ""


@pytest.mark.parametrize(
    ("changelog", "fault"),
    [
        (CHANGELOG.replace("2027-01-31", "unreleased"), "has 'unreleased' as the date of 1.2.0"),
        (CHANGELOG.replace("2027-01-31", "2027-02-30"), "has '2027-02-30' as the date of 1.2.0"),
        (CHANGELOG.replace("1.2.0", "1.3.0"), "does not begin with an entry of 1.2.0"),
        (CHANGELOG.replace("- Faster.\n", ""), "says nothing about 1.2.0"),
        ("# Changelog\n", "does not begin with an entry of 1.2.0"),
    ],
)
def test_changelog(checkout, changelog, fault):
    commit(checkout, changelog=changelog)
    assert fault in faults(checkout)


def test_changed_sql(checkout):
    commit(checkout, Makefile="release-sql:\n\t@echo 'pgknowbase_search_v1 has changed'; exit 1\n")
    assert "pgknowbase_search_v1 has changed" in faults(checkout)


def test_sql_that_was_not_frozen_yet(checkout):
    commit(checkout, Makefile="release-sql:\n\t@echo new > frozen.json\n")
    said = faults(checkout)
    assert "not clean" in said
    assert "frozen.json" in said


def test_what_is_not_committed(checkout):
    (checkout / "forgotten.py").write_text("")
    assert "forgotten.py" in faults(checkout)


def test_released_already(checkout):
    git(checkout, "tag", "v1.2.0")
    assert "The tag v1.2.0 exists" in faults(checkout)


def test_every_fault_is_named(checkout):
    (checkout / "CHANGELOG.md").write_text("")
    said = faults(checkout)
    assert "does not begin with" in said
    assert "not clean" in said
