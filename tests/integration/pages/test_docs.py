"""The examples of docs/search-pages.md run."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from django.contrib import admin
from django.template import engines
from django.test import RequestFactory

from pgknowbase.pages.views import SearchView
from tests.projects.press.models import Article, Comment

TEXT = (Path(__file__).parents[3] / "docs" / "search-pages.md").read_text(encoding="utf-8")


class Reminder(Comment):
    """A model with a foreign key called ``note``, as in the page."""

    class Meta:
        proxy = True
        app_label = "press"


@pytest.fixture
def names(monkeypatch):
    """What the examples define, with models of the tests in the place of theirs."""
    notes = ModuleType("notes.models")
    notes.Note, notes.Reminder = Article, Reminder
    monkeypatch.setitem(sys.modules, "notes.models", notes)
    before = dict(admin.site._registry)
    found = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(code, found)
    yield found
    admin.site._registry = before


def test_examples(names, db):
    assert admin.site.get_model_admin(Article).hybrid_search_limit == 100
    assert [str(each.pattern) for each in names["urlpatterns"]] == ["notes/search/"]
    form = names["ReminderForm"]({"about": "x", "note": "1"}, user=None)
    assert set(form.errors) == {"note"}
    view = names["CurrentSearchView"]()
    view.setup(RequestFactory().get("/", {"q": "x"}))
    asked = view.form_class({"q": "x"}, sources=view.get_sources())
    assert asked.is_valid()
    assert view.get_question(asked, view.get_sources()).metadata == {"year": 2026}


def test_template():
    (code,) = re.findall(r"```html\n(.*?)```", TEXT, re.DOTALL)
    row = {"url": "/x/", "title": "T", "snippet": "s"}
    assert '<a href="/x/">T</a> s' in engines["django"].from_string(code).render({"results": [row], "first": 1})


def test_figures():
    for name in ("per_page", "snippet_length"):
        assert f"| `{name}` | {getattr(SearchView, name)} |" in TEXT
    for block in re.search(r"has the blocks (`heading`.*?);", TEXT, re.DOTALL)[1].replace("\n", " ").split("`")[1::2]:
        source = engines["django"].get_template("pgknowbase/search.html").template.source
        assert f"{{% block {block} %}}" in source
