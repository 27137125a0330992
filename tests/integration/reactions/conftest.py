import pytest

from pgknowbase.models import OutboxEvent, ReactionEvent
from tests.projects.newsroom import reactions
from tests.projects.newsroom.models import Call


@pytest.fixture(autouse=True)
def state():
    """What the reactions of the newsroom are told to do; and nothing of it after the test."""
    yield reactions.STATE
    reactions.STATE.update(fail=set(), during=None)


@pytest.fixture
def calls(db):
    """The calls of one reaction, the oldest first."""

    def make(reaction):
        return list(Call.objects.filter(reaction=reaction).order_by("pk"))

    return make


@pytest.fixture
def alone(transactional_db):
    """Nothing waits from the emptying of tables between tests."""
    OutboxEvent.objects.all().delete()
    ReactionEvent.objects.all().delete()
