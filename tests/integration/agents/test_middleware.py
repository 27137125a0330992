"""``request.orchestrator_deps`` and ``DjangoDeps``."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from pgknowbase.agents import DjangoDeps
from pgknowbase.errors import AgentError

pytestmark = pytest.mark.django_db


def shown(request):
    deps = request.orchestrator_deps
    return HttpResponse("None" if deps is None else f"{deps.user_id} {deps.session_data} {deps.request is request}")


async def ashown(request):
    user = request.orchestrator_deps and await request.orchestrator_deps.get_user()
    return HttpResponse(str(user))


urlpatterns = [path("sync/", shown), path("async/", ashown)]


@pytest.fixture(autouse=True)
def middleware(settings):
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "pgknowbase.agents.middleware.orchestrator_deps"]


def test_sync(user):
    client = Client()
    assert client.get("/sync/").content == b"None"
    client.force_login(user)
    session = client.session
    session["basket"] = [1]
    session.save()
    assert client.get("/sync/").content.decode() == f"{user.pk} {{'basket': [1]}} True"
    assert client.get("/async/").content == b"ann"


async def test_async(user):
    client = AsyncClient()
    assert (await client.get("/async/")).content == b"None"
    await client.aforce_login(user)
    assert (await client.get("/async/")).content == b"ann"
    assert (await client.get("/sync/")).content.decode().startswith(f"{user.pk} ")


def test_deps(user, rf):
    assert DjangoDeps.from_user(user).user_id == user.pk
    assert DjangoDeps.from_user(None).user_id is None
    request = rf.get("/")
    SessionMiddleware(lambda _: None).process_request(request)
    request.user = user
    assert DjangoDeps.from_request(request).user_id == user.pk
    assert async_to_sync(DjangoDeps(user_id=None).get_user)() is None


async def test_deps_of_users_who_are_gone(user):
    deps = DjangoDeps(user_id=user.pk)
    assert await deps.get_user() == user
    await User.objects.filter(pk=user.pk).aupdate(is_active=False)
    with pytest.raises(AgentError, match="not active"):
        await DjangoDeps(user_id=user.pk).get_user()
    with pytest.raises(AgentError, match="gone"):
        await DjangoDeps(user_id=10**9).get_user()
