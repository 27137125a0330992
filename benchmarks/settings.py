"""A Django project; ``PGKNOWBASE_BENCH_URL`` names its database, ``PGKNOWBASE_BENCH_HTTP`` an embedding server.

``PGKNOWBASE_BENCH_MODEL`` is ``minilm``, ``e5`` or the default, static embeddings; ``PGKNOWBASE_BENCH_CHUNK_SIZE`` the
size of chunks. ``PGKNOWBASE_BENCH_ENCODING`` is how that sends vectors: by default ``float``, the only one that pgai's
worker has; ``PGKNOWBASE_BENCH_MAX_TEXTS`` the texts of a call, ``PGKNOWBASE_BENCH_CONCURRENCY`` the calls at the same
time.
"""

import os
from typing import Any

from pgknowbase.embedded import database_config

MODEL = {"MODEL": "wordllama-256", "DIMENSIONS": 256}
LOCAL = {"minilm": "all-MiniLM-L6-v2", "e5": "multilingual-e5-small"}


def _embedding() -> dict[str, Any]:
    if url := os.environ.get("PGKNOWBASE_BENCH_HTTP"):
        encoding = os.environ.get("PGKNOWBASE_BENCH_ENCODING", "float")
        options = {"BASE_URL": url, "API_KEY_ENV": None, "ENCODING_FORMAT": encoding}
        if max_texts := os.environ.get("PGKNOWBASE_BENCH_MAX_TEXTS"):
            options["MAX_TEXTS"] = int(max_texts)
        return {"BACKEND": "pgknowbase.embeddings.openai.OpenAIEmbedder", "OPTIONS": options, **MODEL}
    if model := LOCAL.get(os.environ.get("PGKNOWBASE_BENCH_MODEL", "")):
        return {"BACKEND": "pgknowbase.embeddings.LocalEmbedder", "MODEL": model, "DIMENSIONS": 384}
    return {"BACKEND": "pgknowbase.embeddings.static.StaticEmbedder", **MODEL}


def _space() -> dict[str, Any]:
    size = os.environ.get("PGKNOWBASE_BENCH_CHUNK_SIZE")
    return {"SPACE": {"CHUNK_SIZE": int(size), "CHUNK_OVERLAP": 0}} if size else {}


SECRET_KEY = "benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": database_config(os.environ["PGKNOWBASE_BENCH_URL"])}
if pool := os.environ.get("PGKNOWBASE_BENCH_POOL"):
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": int(pool), "timeout": 120}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "pgtrigger",
    "pgknowbase",
    "pgknowbase.agents",
    "pgknowbase.api",
    "pgknowbase.chat",
    "benchmarks.catalog",
]
ROOT_URLCONF = "benchmarks.urls"
ALLOWED_HOSTS = ["127.0.0.1"]
CONCURRENCY = int(os.environ.get("PGKNOWBASE_BENCH_CONCURRENCY", "1"))
PGKNOWBASE = {"EMBEDDINGS": {"default": _embedding()}, "WORKER": {"CONCURRENCY": CONCURRENCY}, **_space()}
