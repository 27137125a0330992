import json

import pydantic_ai.models
import pytest
from django.contrib.auth.models import User

from pgknowbase.chat import start
from pgknowbase.testing import ChatProvider
from tests.fakes import RecordingEmbedder

# Async tests run on the test's own connection; the embedder answers by nearness.
from tests.integration.agents.conftest import pytest_pyfunc_call  # noqa: F401
from tests.integration.api.conftest import Asker, problem, token_of
from tests.integration.search.conftest import index, provider  # noqa: F401
from tests.projects.blog.models import Article, Note

pydantic_ai.models.ALLOW_MODEL_REQUESTS = True
ASKED = "how near 1.0 are gears"


@pytest.fixture(autouse=True)
def _settings(settings):
    rates = {"ANONYMOUS_RATE": "", "USER_RATE": "", "TOKEN_RATE": ""}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": rates}


@pytest.fixture
def set_chat(settings):
    """Set keys of PGKNOWBASE["CHAT"]."""

    def change(**keys):
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "CHAT": {**settings.PGKNOWBASE.get("CHAT", {}), **keys}}

    return change


@pytest.fixture
def model(settings):
    """A language model on localhost; ``requests`` are what it was sent."""
    with ChatProvider() as model:
        settings.PGKNOWBASE = {
            **settings.PGKNOWBASE,
            "AGENTS": {"PROVIDERS": {"local": model.settings()}, "MODEL": "local:any", "RETRY": {"DELAY": 0.01}},
        }
        yield model


@pytest.fixture
def users(db):
    return {name: User.objects.create_user(name) for name in ("ann", "bob")}


@pytest.fixture
def library(users, index):  # noqa: F811
    """Articles of ann and bob, and a public note."""
    Article.objects.create(title="Gears", body="Gears of ann near 0.9 are oiled weekly.", author=users["ann"])
    Article.objects.create(title="Secrets", body="Gears of bob near 0.95: the code is 4711.", author=users["bob"])
    Note.notes.create(text="Bicycles near 0.6 have gears.")
    index()
    return index


@pytest.fixture
def session(library, users):
    return start(users["ann"])


def sent(model, number=-1):
    """A request that the model was sent: (system texts, user texts)."""
    messages = model.requests[number]["messages"]
    system = [each["content"] for each in messages if each["role"] in ("system", "developer")]
    return "\n".join(system), [each["content"] for each in messages if each["role"] == "user"]


def events(response):
    """The server-sent events of a streaming response: (name, data)."""
    text = b"".join(response.streaming_content).decode()
    found = []
    for block in filter(None, text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


__all__ = ["ASKED", "Asker", "RecordingEmbedder", "events", "problem", "sent", "token_of"]
