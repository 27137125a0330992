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


def test_routes_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ninja", None)
    monkeypatch.delitem(sys.modules, "pgknowbase.api.urls", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'django-pgknowbase\[api\]'"):
        import_module("pgknowbase.api.urls")


def test_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(CommandError, match=r"pip install 'django-pgknowbase\[mcp\]'"):
        call_command("pgknowbase_mcp")
