"""Without the extra ``agents`` there are passages; with a model configured, the error says what to install."""

import subprocess
import sys

WITHOUT = """
import sys
sys.modules["pydantic_ai"] = None
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.postgres", "pgtrigger",
                    "pgknowbase", "pgknowbase.agents", "pgknowbase.api", "pgknowbase.chat"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PGKNOWBASE={"EMBEDDINGS": {"default": {"BACKEND": "x", "MODEL": "x", "DIMENSIONS": 1}}},
)
django.setup()
import pgknowbase.chat.routes
from pgknowbase.chat.llm import configured_model
from pgknowbase.errors import MissingExtraError
assert configured_model() == ""
settings.PGKNOWBASE["CHAT"] = {"MODEL": "openai:x"}
try:
    configured_model()
except MissingExtraError as error:
    print(error)
"""


def test_passages_need_no_extra():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert "pip install 'django-pgknowbase[agents]'" in done.stdout, done.stderr
