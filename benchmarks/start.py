"""What it costs to start a process: two projects, three kinds of processes, their processor time.

``PGKNOWBASE_BENCH_BEFORE`` names a checkout of another version, which is measured in turn with this one.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.database import Database, created
from benchmarks.report import Figure, figure, middle, ratio
from benchmarks.stats import alternate

SETTINGS = """
from pgknowbase.embedded import database_config

SECRET_KEY = "benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["localhost"]
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.postgres", "pgtrigger", "pgknowbase"
] + {apps!r}
DATABASES = {{"default": database_config({url!r})}}
MODEL = {{"MODEL": "wordllama-256", "DIMENSIONS": 256}}
PGKNOWBASE = {{"EMBEDDINGS": {{"default": {{"BACKEND": "pgknowbase.embeddings.static.StaticEmbedder", **MODEL}}}}}}
"""
URLS = """
from django.http import HttpResponse
from django.urls import include, path

urlpatterns = [path("hello/", lambda request: HttpResponse("hello"))]
urlpatterns += [path(name + "/", include(f"pgknowbase.{{name}}.urls")) for name in {urls!r}]
"""
# The first example of the documentation.
AGENTS = (Path(__file__).parents[1] / "docs" / "agents.md").read_text().split("```python")[1].split("```")[0]
AGENT_APPS = ["pgknowbase.agents", "pgknowbase.api", "pgknowbase.chat", "assistants"]
# Apps beside pgknowbase, and what its URLs include.
PROJECTS: dict[str, tuple[list[str], list[str]]] = {
    "search": ([], []),
    "agents": (AGENT_APPS, ["api"]),
    "all surfaces": (AGENT_APPS, ["api", "openai", "mcp"]),
}
REQUEST = """
from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory

application = get_wsgi_application()
request = RequestFactory(headers={"Host": "localhost"}).get("/hello/")
print(b"".join(application(request.environ, lambda *args: None)))
"""
PROCESSES = {
    "check": ["-m", "django", "check"],
    "worker --once": ["-m", "django", "pgknowbase_worker", "--once"],
    "first request": ["-c", REQUEST],
}


def run(database: Database, *, quick: bool) -> list[Figure]:
    checkouts = {"": Path(__file__).parents[1]}
    if before := os.environ.get("PGKNOWBASE_BENCH_BEFORE"):
        checkouts["before, "] = Path(before)
    cases: dict[str, Callable[[], float]] = {}
    with ExitStack() as stack:
        for version, checkout in checkouts.items():
            for project, (_, urls) in PROJECTS.items():
                if not all((checkout / "django_app" / "pgknowbase" / name / "urls.py").exists() for name in urls):
                    continue  # an earlier version
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                own = stack.enter_context(created(database.url, f"_{len(cases)}"))
                _make(folder, project, own.url, checkout)
                _start(folder, "-m", "django", "migrate", "--verbosity", "0")
                for name, arguments in PROCESSES.items():
                    cases[f"{version}{project}: {name}"] = partial(_start, folder, *arguments)
        for start in cases.values():
            start()  # compiles
        times = alternate(2 if quick else 7, cases)
    figures = []
    for case, seconds in times.items():
        more: dict[str, Any] = {}
        if earlier := times.get(f"before, {case}"):
            more = {"against": "before", "ratio": ratio(seconds, earlier), "middle half": middle(seconds, earlier)}
        figures.append(figure("start", case, seconds, rows=0, unit="CPU s", **more))
    return figures


def _make(folder: Path, project: str, url: str, checkout: Path) -> None:
    """Write a project, and beside it this package as an installation has it."""
    apps, urls = PROJECTS[project]
    (folder / "project_settings.py").write_text(SETTINGS.format(apps=apps, url=url))
    (folder / "urls.py").write_text(URLS.format(urls=urls))
    (folder / "assistants").mkdir()
    (folder / "assistants" / "agents.py").write_text(AGENTS)
    package = folder / "pgknowbase"
    package.mkdir()
    for each in [*(checkout / "django_app" / "pgknowbase").iterdir(), checkout / "migrations", checkout / "sql"]:
        (package / each.name).symlink_to(each)


def _start(folder: Path, *arguments: str) -> float:
    """Run a process to its end; seconds on the processor."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "DJANGO_SETTINGS_MODULE": "project_settings"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime
