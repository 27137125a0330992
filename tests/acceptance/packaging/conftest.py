"""A built distribution, and environments that have it."""

import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "django_app", "migrations", "sql", "tests")


def copy_source(target):
    """A clean copy: a stale build/lib or egg-info of the checkout must not help."""
    target.mkdir()
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, target)
    return target


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A directory with the sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("build")
    source = copy_source(folder / "source")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "dist"


@pytest.fixture(scope="session")
def wheel(built):
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def sdist(built):
    (found,) = built.glob("*.tar.gz")
    return found


def _environment(directory, *requirement):
    """The Python of a fresh environment that has ``requirement`` and sees the dependencies installed here."""
    venv.create(directory, with_pip=False)
    python = directory / "bin" / "python"
    find = [python, "-c", "import site; print(site.getsitepackages()[0])"]
    packages = subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip()
    # A directory that a .pth file adds comes after, and its own .pth files, an editable install's, are not read.
    Path(packages, "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-qq", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*install, *requirement], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return python


@pytest.fixture(scope="session", params=["wheel", "editable"])
def python(request, tmp_path_factory):
    """Python with the wheel, then one with an editable install."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "wheel":
        return _environment(folder / "venv", request.getfixturevalue("wheel"))
    return _environment(folder / "venv", "-e", copy_source(folder / "source"))
