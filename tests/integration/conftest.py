import pytest


@pytest.fixture
def worker_settings(settings):
    """Change keys of WORKER."""

    def change(**keys):
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "WORKER": {**settings.PGKNOWBASE["WORKER"], **keys}}

    return change
