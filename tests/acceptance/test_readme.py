"""The README's quick start and the tutorial run as written."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.integration.embedded.conftest import end_servers_in

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
QUICK_START = README.partition("\n## Quick start\n")[2].partition("\n## ")[0]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
SEARCHING = (ROOT / "docs" / "searching.md").read_text()
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


def run_blocks(text, folder):
    """Do what the blocks of ``text`` say, and return the output that the last one expects."""
    blocks = list(BLOCK.finditer(text))
    assert text.count("```") == 2 * len(blocks)
    directory, printed = folder / "work", ""
    for block in blocks:
        before, language, code = block["before"], block["language"], block["code"]
        if language == "sh":
            lines = [line for line in code.splitlines() if not line.startswith("pip install ")]
            printed, directory = shell("\n".join(lines), directory, folder)
        elif language == "python":
            path = directory / re.search(r"`([\w/]+\.py)`", before)[1]
            kept = path.read_text() if "At the end of" in before else ""
            path.write_text(kept + code)
        else:
            assert printed.endswith(code), f"expected {code!r}, got {printed!r}"
    return printed


def test_quick_start(folder):
    assert run_blocks(QUICK_START, folder) == "0.28 Bicycle\n"
    psql, printed = re.search(r"^```sh\n(query=.*?)^```\n```\n(.*?)^```", SEARCHING, re.MULTILINE | re.DOTALL).groups()
    assert shell(psql, folder / "work" / "mysite", folder)[0].strip() == printed.strip()


def test_tutorial(folder):
    assert run_blocks(TUTORIAL, folder).startswith("3 events: ")
