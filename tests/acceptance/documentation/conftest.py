import sys
from types import ModuleType

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.checks import ERROR, run_checks

from pgknowbase.conf import activate_database
from pgknowbase.testing import ChatProvider
from tests.acceptance.documentation.examples import Page
from tests.integration.migrations.conftest import make_database, make_role, server  # noqa: F401


@pytest.fixture
def page(request):
    """The page that the test is named after: ``test_coming_from_pgai`` has coming-from-pgai.md."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")
    page = Page(f"docs/{name}.md")
    yield page
    activate_database(None)  # the page on tenants chooses one
    assert not page.left, f"not run: {page.left[0]['code']}"


@pytest.fixture
def module(monkeypatch):
    """Put something that an example imports in the place of a module: ``module("notes.models", Note=Article)``."""

    def put(name, **names):
        made = ModuleType(name)
        vars(made).update(names)
        monkeypatch.setitem(sys.modules, name, made)

    return put


@pytest.fixture
def user(db):
    return User.objects.create_user("ann")


@pytest.fixture
def request_of(rf, db):
    """A request as views get them."""

    def make(user=None, **posted):
        request = rf.post("/", posted)
        request.user = user or AnonymousUser()
        return request

    return make


@pytest.fixture
def provider(settings, monkeypatch):
    """A server in the place of OpenAI's; it repeats the prompt unless it is told what to say."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test")
    with ChatProvider() as provider:
        agents = {**settings.PGKNOWBASE["AGENTS"], "PROVIDERS": {"openai": provider.settings()}}
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": agents}
        yield provider


def complete(given, project):
    """The settings of an example, with the project's own where it has ``{...}``."""
    if given == {...}:
        return project
    if isinstance(given, dict) and isinstance(project, dict):
        return {**project, **{key: complete(value, project.get(key)) for key, value in given.items()}}
    return given


@pytest.fixture
def accepted(settings, monkeypatch):
    """Settings of an example replace those of the project, and the system checks accept them."""
    project = settings.PGKNOWBASE

    def accept(**changed):
        settings.PGKNOWBASE = {**project, **complete(changed, project)}
        faults = [fault for fault in run_checks() if fault.level >= ERROR]
        assert not faults
        return settings.PGKNOWBASE

    return accept
