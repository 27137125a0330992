"""The example of docs/admin.md runs, and its figures are the code's."""

import re
from pathlib import Path

import pytest
from django.contrib import admin

from pgknowbase.admin import detail, externaldata, knowledge, space
from pgknowbase.admin.base import BoundedPaginator
from pgknowbase.agents.admin import base, metrics
from pgknowbase.models import ExternalData
from pgknowbase.operations import why_missing

TEXT = (Path(__file__).parents[3] / "docs" / "admin.md").read_text(encoding="utf-8")


@pytest.fixture
def registered():
    """Put the admin site back as it was."""
    before = dict(admin.site._registry)
    yield
    admin.site._registry = before


def test_example(registered):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    assert admin.site.get_model_admin(ExternalData).bounds.objects == 500


def test_figures():
    bounds = externaldata.ExternalDataAdmin.bounds
    assert f"up to {bounds.objects:,} objects or {bounds.seconds} seconds, in transactions of {bounds.batch} " in TEXT
    assert f"first {detail.CHUNKS} chunks" in TEXT
    assert f"{detail.LONGEST_TEXT:,}\ncharacters" in TEXT
    assert f"counted up to {space.COUNTED:,}" in TEXT
    assert f"count to {BoundedPaginator.max_count:,}" in TEXT


def test_actions_are_named_as_on_the_page():
    actions = externaldata.ExternalDataAdmin.actions
    for name in actions:
        assert f"| {getattr(externaldata.ExternalDataAdmin, name).short_description} |" in TEXT


def test_reasons_are_the_codes():
    table = TEXT.partition("| reason | means |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(why_missing.CODES)


def test_figures_of_agents():
    assert f"handles up to {base.MAX_ROWS:,} rows" in TEXT
    assert f"over {metrics.PERIODS[0]} to {metrics.PERIODS[-1]} days" in TEXT
    assert f"first {knowledge.DEPTH})" in TEXT
