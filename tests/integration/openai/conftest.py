import socket
import threading
import time

import openai
import pytest
import uvicorn
from django.core.asgi import get_asgi_application

from pgknowbase.api.streams import open_streams

# The embedder that answers by nearness, articles of ann and bob, and a language model on localhost.
from tests.integration.api.conftest import token_of
from tests.integration.chat.conftest import _settings, library, model, set_chat, users  # noqa: F401
from tests.integration.search.conftest import index, provider  # noqa: F401
from tests.projects.blog.models import Article

CHAT = "pgknowbase"


@pytest.fixture
def asgi(db):
    """The project's ASGI application, served by uvicorn; its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(get_asgi_application(), lifespan="off", log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(params=["wsgi", "asgi"])
def site(request, settings):
    """The address of the project under either interface."""
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
    yield request.getfixturevalue("asgi") if request.param == "asgi" else request.getfixturevalue("live_server").url
    # The server writes what a client cost that has left, and the tables are emptied after the test.
    wait_until(lambda: not open_streams._open)


@pytest.fixture
def client_of(site):
    """Makes OpenAI's client with the token of a user."""
    opened = []

    def make(user, *scopes, **options):
        key = token_of(user, *scopes) if user is not None else "none"
        client = openai.OpenAI(base_url=f"{site}/v1", api_key=key, **{"max_retries": 0, "timeout": 120, **options})
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def pages(monkeypatch):
    """Articles have pages."""
    monkeypatch.setattr(Article, "get_absolute_url", lambda self: f"/articles/{self.pk}/", raising=False)


def wait_until(reached, seconds=120):
    """Wait for a state that is sure to come; on a busy machine it takes its time."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def said(text, role="user"):
    return {"role": role, "content": text}
