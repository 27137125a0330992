import pytest

from pgknowbase.worker import Worker


@pytest.fixture
def drain(transactional_db):
    """Work off outbox and queue, as ``pgknowbase_worker --once`` does."""

    from pgknowbase.models import OutboxEvent

    # The flush after an earlier test truncates source tables, and their triggers tell so.
    OutboxEvent.objects.all().delete()

    def run():
        return Worker().run_until_idle()

    return run
