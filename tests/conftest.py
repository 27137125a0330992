import pytest
from pgknowbase.models import OutboxEvent
from pgknowbase.worker import Worker


@pytest.fixture
def drain(transactional_db):
    """Work off outbox and queue, as ``pgknowbase_worker --once`` does."""
    # The flush after the test before was a TRUNCATE like any other.
    OutboxEvent.objects.all().delete()

    def run():
        return Worker().run_until_idle()

    return run
