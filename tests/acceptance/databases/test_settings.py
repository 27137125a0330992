"""The journey and every surface under settings of Django that change what values look like.

Those of aware moments are beside a database that is not called ``default``, in test_aliases.
"""

import pytest
from django.conf import settings as project

from tests.acceptance.databases.test_aliases import BUDGETS, JOURNEY, entry

pytestmark = pytest.mark.django_db


def test_naive_moments(in_process, make_copy):
    databases = {"default": {**entry(make_copy()), "ATOMIC_REQUESTS": True}}
    changed = {"USE_TZ": False, "TIME_ZONE": "America/St_Johns", "PGKNOWBASE": {**project.PGKNOWBASE, **BUDGETS}}
    assert "arrived" in in_process(JOURNEY, "journey", "surfaces", DATABASES=databases, **changed)


@pytest.mark.parametrize("kind", ["AutoField", "SmallAutoField"])
def test_keys_of_our_tables_do_not_follow_the_project(in_process, kind):
    apps = ("pgknowbase", "pgknowbase_agents", "pgknowbase_api", "pgknowbase_chat")
    changed = {"DEFAULT_AUTO_FIELD": f"django.db.models.{kind}"}
    assert "No changes" in in_process("django", "makemigrations", "--check", "--dry-run", *apps, **changed)
