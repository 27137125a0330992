"""The journey and every surface under settings of Django that change what values look like."""

import pytest
from django.conf import settings as project

from tests.acceptance.databases.test_aliases import JOURNEY, entry

pytestmark = pytest.mark.django_db

BUDGETS = {"BUDGET_TOTAL": {"RUNS": 1000}, "BUDGET_PER_USER": {"TOKENS": 10**9}}


@pytest.mark.parametrize(
    "changed",
    [
        {"USE_TZ": False, "TIME_ZONE": "America/St_Johns"},
        {"USE_TZ": True, "TIME_ZONE": "Asia/Kathmandu", "USE_I18N": False, "LANGUAGE_CODE": "ar"},
    ],
    ids=["naive", "aware"],
)
def test_surfaces(in_process, make_copy, changed):
    databases = {"default": {**entry(make_copy()), "ATOMIC_REQUESTS": True}}
    settings = {**project.PGKNOWBASE, "AGENTS": BUDGETS}
    assert "arrived" in in_process(JOURNEY, "journey", "surfaces", DATABASES=databases, PGKNOWBASE=settings, **changed)


@pytest.mark.parametrize("kind", ["AutoField", "SmallAutoField"])
def test_keys_of_our_tables_do_not_follow_the_project(in_process, kind):
    apps = ("pgknowbase", "pgknowbase_agents", "pgknowbase_api", "pgknowbase_chat")
    changed = {"DEFAULT_AUTO_FIELD": f"django.db.models.{kind}"}
    assert "No changes" in in_process("django", "makemigrations", "--check", "--dry-run", *apps, **changed)
