import pytest

from pgknowbase.models import OutboxEvent
from pgknowbase.relay.relay import Relay
from pgknowbase.spaces.specification import rebuild_space
from pgknowbase.testing.provider import FaultyProvider
from pgknowbase.worker import Worker


@pytest.fixture
def provider():
    with FaultyProvider(model="paid", dimensions=256) as made:
        yield made


@pytest.fixture
def paid(provider, settings, transactional_db):
    """A project whose embeddings cost 2 dollars for a million tokens, and a way to change its COSTS."""

    def change(**costs):
        settings.PGKNOWBASE = {
            **settings.PGKNOWBASE,
            "EMBEDDINGS": {"default": provider.settings(MAX_TEXTS=8)},
            "COSTS": {"PRICES": {"paid": 2}, **costs},
        }

    OutboxEvent.objects.all().delete()
    standing = settings.PGKNOWBASE
    change()
    rebuild_space("default")
    yield change
    settings.PGKNOWBASE = standing
    rebuild_space("default")


@pytest.fixture
def work(paid):
    """Render and embed until nothing is due."""

    def run():
        return Worker().run_until_idle()

    return run


@pytest.fixture
def render(paid):
    """Render what has changed, and embed nothing."""

    def run():
        while not Relay().run_once().idle:
            pass

    return run
