import json
from dataclasses import dataclass

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from pgknowbase.api.tokens import SCOPES, create_token
from pgknowbase.models import ExternalData

# The embedder that answers by nearness, and the index made with it.
from tests.integration.search.conftest import index, provider  # noqa: F401
from tests.projects.blog.models import Article, Note

SEARCH = "/api/knowledge/search/"
FACETS = "/api/knowledge/facets/"
SIMILAR = "/api/knowledge/similar/"
DOCUMENT = "/api/knowledge/document/"
SYNC = "/api/knowledge/sync/"
BATCH = "/api/knowledge/sync/batch/"
STATUS = "/api/knowledge/status/"


def grant(user, *names):
    """``user`` with the permissions, such as 'pgknowbase.change_externaldata'."""
    for name in names:
        app, codename = name.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return get_user_model().objects.get(pk=user.pk)


def token_of(user, *scopes, **options):
    return create_token(user, name="test", scopes=scopes or list(SCOPES), **options)[1]


@dataclass
class Asker:
    """One who asks the API: by session, by token or as nobody."""

    client: Client
    headers: dict

    @classmethod
    def nobody(cls):
        return cls(Client(), {})

    @classmethod
    def session(cls, user):
        client = Client()
        client.force_login(user)
        return cls(client, {})

    @classmethod
    def token(cls, secret):
        return cls(Client(), {"Authorization": f"Bearer {secret}"})

    def get(self, path, **parameters):
        return self.client.get(path, parameters, headers=self.headers)

    def post(self, path, body, **headers):
        sent = {**self.headers, **headers}
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        return self.client.post(path, data, content_type="application/json", headers=sent)


def problem(response, status, kind=""):
    """The problem in ``response``, which must be one."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["detail"]
    assert body["type"].startswith("urn:pgknowbase:problem:")
    if kind:
        assert body["type"] == f"urn:pgknowbase:problem:{kind}"
    return body


@pytest.fixture(autouse=True)
def _unthrottled(settings):
    rates = {"ANONYMOUS_RATE": "", "USER_RATE": "", "TOKEN_RATE": ""}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": rates}


@pytest.fixture
def users(db):
    """ann and bob own rows, staff is staff alone, root is a superuser, keeper may sync and see the status."""
    users = get_user_model().objects
    made = {name: users.create_user(name) for name in ("ann", "bob")}
    made["staff"] = users.create_user("staff", is_staff=True)
    made["root"] = users.create_superuser("root")
    keeper = users.create_user("keeper")
    made["keeper"] = grant(keeper, "pgknowbase.change_externaldata", "pgknowbase.view_externaldata")
    made["agent"] = grant(users.create_user("agent"), "pgknowbase_api.act_for_others")
    return made


@pytest.fixture
def library(users, index):  # noqa: F811
    """Articles of ann, bob and nobody, and a public note."""
    owners = {"ann's": "ann", "bob's": "bob", "nobody's": None}
    for near, (title, owner) in zip((0.9, 0.8, 0.7), owners.items(), strict=True):
        Article.objects.create(title=title, body=f"{title} near {near}", author=users.get(owner), year=2020)
    Note.notes.create(text="public near 0.6")
    index()
    assert ExternalData.objects.filter(status="completed").count() == 4
    return {article.title: article for article in Article.objects.all()}


def titles(response):
    assert response.status_code == 200, response.content
    return [result["title"] or result["chunk"].strip() for result in response.json()["results"]]
