"""In CI a skipped test fails, unless its reason is listed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import ALLOWED

TESTS = Path(__file__).parents[1]
SAMPLE = """
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="needs root")
def test_listed(): pass

@pytest.mark.skip(reason="it is late")
def test_unlisted(): pass

@pytest.mark.xfail(reason="known")
def test_expected_failure(): assert False
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest with the plugin on files of one folder: the exit status, and what it printed."""

    def start(ci, *arguments, **files):
        for name, source in files.items():
            (tmp_path / f"{name}.py").write_text(source)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "-p", "tests.skips", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, "-c", tmp_path / "pytest.ini", *arguments, tmp_path],
            cwd=TESTS.parent, env=os.environ | {"CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout

    return start


def test_unlisted_skip_fails(run):
    status, printed = run("true", "-p", "xdist", "-n", "1", test_sample=SAMPLE)
    assert status == 1
    assert "1 passed, 1 skipped, 1 xfailed, 1 error" in printed
    assert "Skipped in CI: 'it is late'" in printed
    assert "tests/skips.py" in printed


def test_elsewhere_it_is_a_skip(run):
    status, printed = run("", test_sample=SAMPLE)
    assert (status, "1 passed, 2 skipped, 1 xfailed" in printed) == (0, True)


def test_skipped_module_fails(run):
    status, printed = run("true", test_module="import pytest\npytest.importorskip('no_such_module')")
    assert status != 0
    assert "Skipped in CI: \"could not import 'no_such_module'" in printed


def test_every_listed_reason_is_in_use():
    paths = [path for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    used = {reason for path in paths for reason in re.findall(r'(?:reason=|skip\()"([^"]*)"', path.read_text())}
    assert ALLOWED.keys() <= used
