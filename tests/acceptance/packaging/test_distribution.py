"""What is built is what the tree holds: an editable install hides an omission."""

import email
import tarfile
import tomllib
import zipfile
from pathlib import PurePosixPath

import pytest

from tests.acceptance.packaging.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLACES = {"django_app/pgknowbase": "pgknowbase", "migrations": "pgknowbase/migrations", "sql": "pgknowbase/sql"}


def files():
    """Pairs of each file of the library: its path in the checkout and the one it has when installed."""
    for place, package in PLACES.items():
        for path in (ROOT / place).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), f"{package}/{path.relative_to(ROOT / place).as_posix()}"


def tree():
    return {installed for _, installed in files()}


@pytest.fixture(scope="module")
def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def metadata(contents):
    (text,) = (data for name, data in contents.items() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(text)


def test_wheel_holds_the_tree_and_nothing_else(contents):
    assert {name for name in contents if ".dist-info/" not in name} == tree()


def test_tree_is_more_than_modules():
    assert tree() > {
        "pgknowbase/py.typed",
        "pgknowbase/migrations/0002_models.py",
        "pgknowbase/sql/90_operations/pgknowbase_status.sql",
    }


def test_packages_are_listed_in_full():
    packages = {PurePosixPath(name).parent for name in tree() if name.endswith("/__init__.py")}
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(".".join(path.parts) for path in packages)


def test_every_module_is_in_a_package():
    packages = set(PROJECT["tool"]["setuptools"]["packages"])
    assert {".".join(PurePosixPath(name).parent.parts) for name in tree() if name.endswith(".py")} == packages


def test_metadata(metadata, contents):
    assert metadata["Name"] == "django-pgknowbase"
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in contents)
    assert metadata["Requires-Python"] == ">=3.11"
    extras = set(PROJECT["project"]["optional-dependencies"])
    assert set(metadata.get_all("Provides-Extra")) == extras
    assert metadata["Version"] == PROJECT["project"]["version"]


def test_readme_is_the_description(metadata):
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()


def test_sdist_holds_what_a_wheel_needs(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert {source for source, _ in files()} <= names
    assert not [name for name in names if name.startswith(("django_app/demo", "docker"))]
