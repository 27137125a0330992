import inspect

import pydantic_ai.models
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart

from pgknowbase.agents import DjangoAgent, FunctionModel

# Nothing in these tests may ask a provider that is not theirs.
pydantic_ai.models.ALLOW_MODEL_REQUESTS = True


@pytest.fixture
def user(db):
    return User.objects.create_user("ann", password="secret-password")


@pytest.fixture
def set_agents(settings):
    """Set keys of PGKNOWBASE["AGENTS"]."""

    def change(**keys):
        kept = settings.PGKNOWBASE.get("AGENTS", {})
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": {**kept, **keys}}

    change(RETRY={"DELAY": 0.01})
    return change


def saying(*answers):
    """A model that gives these answers one after the other: texts, or (tool, arguments)."""
    left = list(answers)

    def answer(messages, info):
        said = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(said, str):
            return ModelResponse(parts=[TextPart(said)])
        if isinstance(said, Exception):
            raise said
        return ModelResponse(parts=[ToolCallPart(*said)])

    return FunctionModel(answer)


def make_agent(name="tester", **options):
    return DjangoAgent(name=name, register=False, **options)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Async tests run with the ORM on the test's own connection, as sync code under ASGI does."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    async_to_sync(pyfuncitem.obj)(**{name: pyfuncitem.funcargs[name] for name in names})
    return True


def work_off():
    """What ``db_worker --batch`` does, but for its signal handlers and for closing the test's connection."""
    options = {"interval": 0, "batch": True, "startup_delay": False, "max_tasks": None, "excluded_queue_names": []}
    worker = Worker(queue_names=["default"], backend_name="default", worker_id="tests", **options)
    while task := DBTaskResult.objects.ready().first():
        task.claim(worker.worker_id)
        worker.run_task(task)
