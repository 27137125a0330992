import pytest

from pgknowbase.relay import statistics


@pytest.fixture(autouse=True)
def no_figures_of_other_tests():
    statistics.forget()


@pytest.fixture
def worker_settings(settings):
    """Change keys of WORKER."""

    def change(**keys):
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "WORKER": {**settings.PGKNOWBASE["WORKER"], **keys}}

    return change
