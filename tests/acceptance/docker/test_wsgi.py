"""The module that gunicorn serves in the container."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pgknowbase.embedded import EmbeddedPostgres

ROOT = Path(__file__).parents[3]

ASK = """
import importlib.util, os, sys
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator
from django.conf import settings
from pgknowbase.embedded import database_config
contrib = ("contenttypes", "auth", "admin", "staticfiles")
settings.configure(
    DATABASES={"default": database_config(os.environ["DATABASE_URL"])},
    ALLOWED_HOSTS=["nobody"],
    INSTALLED_APPS=[f"django.contrib.{name}" for name in contrib],
    STATIC_URL="/static/",
    SECRET_KEY="k",
    ROOT_URLCONF="urls",
)
sys.modules["urls"] = type(sys)("urls"); sys.modules["urls"].urlpatterns = []
spec = importlib.util.spec_from_file_location("wsgi", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
for path in sys.argv[2:]:
    environ = {"PATH_INFO": path, "QUERY_STRING": "", "SCRIPT_NAME": ""}
    setup_testing_defaults(environ)
    answer = []
    body = validator(module.application)(environ, lambda status, headers: answer.append(status))
    size = sum(len(part) for part in body)
    body.close()
    print(answer[0], size > 0)
"""


def ask(url: str, *paths: str) -> list[str]:
    environment = os.environ | {"DATABASE_URL": url, "PYTHONPATH": str(ROOT / "django_app")}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK, ROOT / "docker" / "wsgi.py", *paths],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture
def server():
    place = Path(tempfile.mkdtemp(prefix="pgk-"))
    place.chmod(0o711)
    with EmbeddedPostgres(place / "pg", options={"fsync": "off"}) as running:
        yield running
    shutil.rmtree(place)


def test_health_and_static_files(server):
    answers = ask(server.url, "/healthz", "/static/admin/css/base.css", "/elsewhere")
    assert answers == ["200 OK True", "200 OK True", "404 Not Found True"]


def test_health_without_a_database(server):
    url = server.url
    server.stop(force=True)
    assert ask(url, "/healthz") == ["503 Service Unavailable True"]


def test_demo_needs_no_writable_folder_with_a_database_url(monkeypatch, tmp_path):
    from demo.environment import database

    monkeypatch.setenv("DATABASE_URL", "postgresql://u@h/name")
    assert database(tmp_path / "closed" / "pgdata")["HOST"] == "h"
    assert not (tmp_path / "closed").exists()
