"""Without the extras everything else works, and what needs them says what to install."""

import subprocess
import sys
from importlib import import_module

import pytest
from django.core.management import CommandError, call_command

from pgknowbase.errors import MissingExtraError

WITHOUT = """
import sys
sys.modules["ninja"] = sys.modules["mcp"] = None
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.postgres", "pgtrigger",
                    "pgknowbase", "pgknowbase.api"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PGKNOWBASE={"EMBEDDINGS": {}},
)
django.setup()
import pgknowbase.search.service, pgknowbase.mcp.identity, pgknowbase.api.tokens, pgknowbase.api.throttling
print("fine")
"""


def test_the_rest_works_without():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr


STARTED = """
import sys
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x",
    ROOT_URLCONF="__main__",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.postgres", "pgtrigger",
                    "pgknowbase", "pgknowbase.agents", "pgknowbase.api", "pgknowbase.chat"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PGKNOWBASE={"EMBEDDINGS": {"default": {
        "BACKEND": "pgknowbase.embeddings.StaticEmbedder", "MODEL": "wordllama-256", "DIMENSIONS": 256}}},
)
django.setup()
from django.core.management import call_command
from django.urls import include, path
from pgknowbase.agents import DjangoAgent, DjangoDeps, RunContext, on_change
from pgknowbase.agents.toolsets import knowledge_tools
agent = DjangoAgent[DjangoDeps, str](name="agent", toolsets=[knowledge_tools()])
@agent.tool
async def look(ctx: RunContext[DjangoDeps]) -> str:
    return ctx.agent_name
urlpatterns = [path(name + "/", include(f"pgknowbase.{name}.urls")) for name in ("api", "openai", "mcp")]
call_command("check")
heavy = ("ag_ui", "ddtrace", "django_tasks", "genai_prices", "httpx", "mcp", "mcp_types", "numpy", "openai", "pgai",
         "pydantic_ai", "tokenizers")
print([name for name in heavy if name in sys.modules])

import pgknowbase.agents
from concurrent.futures import ThreadPoolExecutor, wait
from uuid import uuid4
from django.http import HttpRequest
from pgknowbase.core.importing import importing
from pgknowbase.costs.prices import embedding_price
from pgknowbase.ui import routes
with ThreadPoolExecutor() as threads:
    with importing:
        uses = [
            threads.submit(agent.check_declaration),
            threads.submit(lambda: pgknowbase.agents.FunctionModel),
            threads.submit(embedding_price, "text-embedding-3-small", "api.openai.com"),
            threads.submit(routes.chat_history_for_ag_ui, HttpRequest(), uuid4()),
        ]
        wait(uses, 0.3)
        print([name for name in heavy if name in sys.modules])
print([use.exception() for use in uses if isinstance(use.exception(), ImportError | RuntimeError)])
print([name for name in ("ag_ui", "genai_prices", "pydantic_ai") if name not in sys.modules])
"""


def test_what_requests_and_runs_need_is_imported_by_the_first_one_alone():
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "System check identified no issues (0 silenced).\n[]\n[]\n[]\n[]\n"


def test_routes_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ninja", None)
    monkeypatch.delitem(sys.modules, "pgknowbase.api.urls", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'django-pgknowbase\[api\]'"):
        import_module("pgknowbase.api.urls")


def test_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(CommandError, match=r"pip install 'django-pgknowbase\[mcp\]'"):
        call_command("pgknowbase_mcp")
