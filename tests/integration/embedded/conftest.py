"""Real servers in directories of their own; a test that leaves one running fails."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pgknowbase.embedded import EmbeddedPostgres

FAST = {"fsync": "off", "shared_buffers": "16MB"}
AS_ROOT = os.geteuid() == 0


def servers_in(directory: Path) -> list[psutil.Process]:
    """Postgres processes that work somewhere under ``directory``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres") and process.cwd().startswith(str(directory)):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def postmasters_in(directory: Path) -> list[psutil.Process]:
    """Those of ``servers_in`` that are not children of another."""
    parents = {}
    for process in servers_in(directory):
        # A child may end at any moment.
        with suppress(psutil.NoSuchProcess):
            parents[process] = process.ppid()
    pids = {process.pid for process in parents}
    return [process for process, parent in parents.items() if parent not in pids]


def end_servers_in(directory: Path) -> list[psutil.Process]:
    """Kill what should not be there; returns what was."""
    left = servers_in(directory)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=10)
    return left


@pytest.fixture(scope="session")
def cluster_template() -> Iterator[Path]:
    """One cluster made by initdb, for tests that are not about making one."""
    directory = Path(tempfile.mkdtemp(prefix="pgk-"))
    directory.chmod(0o711)
    with EmbeddedPostgres(directory / "pg", options=FAST):
        pass
    yield directory / "pg"
    shutil.rmtree(directory)


@pytest.fixture
def cluster(cluster_template: Path) -> Iterator[Path]:
    """The same stopped cluster for every test that leaves it as it was."""
    yield cluster_template
    assert not end_servers_in(cluster_template)
    (cluster_template / "pgknowbase.keep").unlink(missing_ok=True)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that Postgres may pass through (``tmp_path`` is closed to all but root)."""
    directory = Path(tempfile.mkdtemp(prefix="pgk-"))
    directory.chmod(0o711)
    yield directory
    left = end_servers_in(directory)
    shutil.rmtree(directory)
    assert not left, f"left running: {left}"


@pytest.fixture
def data_dir(place: Path, cluster_template: Path) -> Path:
    """A stopped cluster."""
    copy = place / "pg"
    subprocess.run(["cp", "-a", cluster_template, copy], check=True)
    return copy


def python(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    """Another Python process that runs ``code``; its arguments are in ``sys.argv[1:]``."""
    library = Path(__file__).parents[3] / "django_app"
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(library), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONWARNINGS": "error::ResourceWarning",
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | options.pop("env", {}),
        **options,
    )
