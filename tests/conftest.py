import pytest
from pgknowbase.worker import Worker


@pytest.fixture
def drain(transactional_db):
    """Work off outbox and queue, as ``pgknowbase_worker --once`` does."""

    def run():
        return Worker().run_until_idle()

    return run
