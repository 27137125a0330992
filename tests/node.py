"""What the tests take from npm, installed once for all of them, and programs of Node that use it."""

import fcntl
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = Path(__file__).parent / "npm"
needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="node and npm are not installed")


def packages():
    """The folder whose node_modules has the packages of tests/npm; it is kept in build/ from run to run.

    A program finds them from any folder below it.
    """
    locked = (PACKAGES / "package-lock.json").read_bytes()
    folder = ROOT / "build" / "npm" / hashlib.sha256(locked).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    # Processes of the suite that begin together wait for the first.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for path in PACKAGES.iterdir():
                shutil.copy(path, folder)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
            (folder / "installed").touch()
    return folder


def node(program, *arguments):
    """Run a program and return what it prints as JSON. One that does not lie below ``packages()`` is copied there."""
    if packages() not in program.parents:
        program = shutil.copy(program, packages() / f"{program.parent.name}-{program.name}")
    done = subprocess.run(["node", program, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
