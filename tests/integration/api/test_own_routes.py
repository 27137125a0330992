"""A project's own router, with async routes, under ASGI and WSGI: it has what the others have."""

import sys
from types import ModuleType

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from tests.integration.api import routes
from tests.integration.api.conftest import problem, token_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def own(settings, users, monkeypatch):
    """Ask the API that has the router, as a user with a token: by way of ASGI and of WSGI."""
    api = {**settings.PGKNOWBASE["API"], "ROUTERS": {"agents/": "tests.integration.api.routes.router"}}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": api}
    module = ModuleType("tests.integration.api.own_urls")
    module.urlpatterns = routes.urls()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.ROOT_URLCONF = module.__name__
    routes.runs.clear()
    headers = {"Authorization": f"Bearer {token_of(users['ann'])}"}

    def ask(kind, method, path, body=None, **more):
        client = (AsyncClient if kind == "asgi" else Client)(raise_request_exception=False)
        send = getattr(client, method)
        options = {"headers": {**headers, **more}}
        if body is not None:
            options |= {"data": body, "content_type": "application/json"}
        return (async_to_sync(send) if kind == "asgi" else send)(f"/own/agents/{path}", **options)

    return ask


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_async_route_answers(own, kind):
    def post(prompt, **headers):
        return own(kind, "post", "runs/", {"prompt": prompt}, **headers)

    assert post("one").json() == {"prompt": "one of ann"}
    assert problem(post("refuse"), 409, "refused")["detail"] == "Not now: try later."
    assert post("crash").status_code == 500
    problem(post("x", **{"Idempotency-Key": ""}), 422, "validation")
    post("two", **{"Idempotency-Key": "a"})
    post("two", **{"Idempotency-Key": "a"})
    post("two", **{"Idempotency-Key": "b"})
    keys = [key for _, key in routes.runs]
    assert keys[:3] == ["", "", ""]
    assert keys[3] == keys[4] != keys[5]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_async_route_refuses_as_the_others(own, kind, settings):
    problem(own(kind, "post", "runs/", {"prompt": 1}), 422, "validation")
    problem(own(kind, "get", "runs/"), 405, "method")
    problem(own(kind, "get", "nothing/"), 404, "no-route")
    problem(own(kind, "get", "stream/", Authorization="Bearer pgk_x"), 401)
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"TOKEN_RATE": "1/day"}}
    assert own(kind, "post", "runs/", {"prompt": "x"}).status_code == 200
    problem(own(kind, "post", "runs/", {"prompt": "x"}), 429, "throttled")
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"MAX_BODY_BYTES": 10}}
    problem(own(kind, "post", "runs/", {"prompt": "x"}), 413, "too-large")


def test_stream(own):
    assert b"".join(own("wsgi", "get", "stream/").streaming_content) == b'event: user\ndata: "ann"\n\n'
