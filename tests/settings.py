"""Settings of the test project: an embedded Postgres of its own for each run, or the server that DATABASE_URL names.

PGKNOWBASE_TEST_POSTGRES is the major version of the embedded one, which PGKNOWBASE_TEST_PROGRAMS, a directory such as
/usr/lib/postgresql/19/bin, has the programs of where the wheel has none. PGKNOWBASE_TEST_WORKER and
PGKNOWBASE_TEST_AGENTS are more settings of the worker and of agents.
"""

import atexit
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pgknowbase.embedded import EmbeddedPostgres, cluster, database_config, process

# Nothing here needs to survive a crash. What waits to come into a GIN index is read by each search, and autovacuum
# would seldom come for the few rows of tests.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "gin_pending_list_limit": "64kB",
}


def _use(programs: Path, version: int) -> None:
    """Start servers of this version, also the tests' replicas, with these programs."""
    shipped = process.programs

    def chosen(wanted: int, account: process.Account) -> Path:
        return programs if wanted == version else shipped(wanted, account)

    process.programs = cluster.programs = chosen


def _database() -> dict[str, Any]:
    if url := os.environ.get("DATABASE_URL"):
        return database_config(url)
    directory = tempfile.mkdtemp(prefix="pgknowbase-tests-")
    version = int(os.environ.get("PGKNOWBASE_TEST_POSTGRES", "18"))
    if programs := os.environ.get("PGKNOWBASE_TEST_PROGRAMS"):
        _use(Path(programs), version)
    server = EmbeddedPostgres(directory, version=version, options=FAST).start()

    def remove(owner: int = os.getpid()) -> None:
        if os.getpid() == owner:
            server.stop(force=True)
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    return database_config(server)


SECRET_KEY = "tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.urls"
DATABASES = {"default": _database()}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.admin",
    "django.contrib.postgres",
    "pgtrigger",
    "pgknowbase",
    "pgknowbase.agents",
    "django_tasks_db",
    "tests.projects.assistants",
    "pgknowbase.api",
    "pgknowbase.chat",
    "tests.projects.blog",
    "tests.projects.shapes",
    "demo.library",
    "tests.projects.press",
    "tests.projects.newsroom",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
STATIC_URL = "static/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# With OPENAI_BASE_URL set, every test that embeds does it over HTTP; the server there must serve the same model.
OVER_HTTP = bool(os.environ.get("OPENAI_BASE_URL"))
PGKNOWBASE = {
    "EMBEDDINGS": {
        "default": {
            "BACKEND": f"pgknowbase.embeddings.{'openai.OpenAIEmbedder' if OVER_HTTP else 'static.StaticEmbedder'}",
            "MODEL": "wordllama-256",
            "DIMENSIONS": 256,
        },
    },
    "WORKER": {
        "RETRY": {"DELAY": 0.05},
        **json.loads(os.environ.get("PGKNOWBASE_TEST_WORKER", "{}")),
    },
    "AGENTS": json.loads(os.environ.get("PGKNOWBASE_TEST_AGENTS", "{}")),
    "REACTIONS": {"RETRY": {"DELAY": 60, "MAX_ATTEMPTS": 3}},
}
