"""The task that a worker of the queue runs. On Django 6 it is ``django.tasks``, before it the package django-tasks."""

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync

from pgknowbase.agents.background.workflows import after_step
from pgknowbase.agents.recording import rows
from pgknowbase.agents.registry import get_agent
from pgknowbase.agents.workflow import SimpleOrchestrator
from pgknowbase.conf import get_settings
from pgknowbase.errors import AgentError, MissingExtraError, RunError

logger = logging.getLogger("pgknowbase.agents")


def _tasks() -> Any:
    for name in ("django.tasks", "django_tasks"):
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    raise MissingExtraError("Runs in the background need django-tasks: run `pip install 'django-pgknowbase[agents]'`.")


tasks = _tasks()
task: Callable[[Callable[..., None]], Any] = tasks.task()


@task
def work(execution_id: str) -> None:
    """Do one run that waits. Whatever comes of it is in its row; a row that somebody else took is left alone."""
    key = UUID(execution_id)
    try:
        name = rows.agent_of(key)
        if name is None:
            return
        async_to_sync(get_agent(name).go_on)(key)
    except RunError as error:
        logger.warning("%s", error)
    except AgentError as error:
        logger.warning("%s", error)
        rows.refuse(key, str(error))
    after_step(key)


@task
def take_up(workflow_id: str) -> None:
    """Go on with a workflow. Whatever comes of it is in its row."""
    try:
        async_to_sync(SimpleOrchestrator().resume)(UUID(workflow_id))
    except AgentError as error:
        logger.warning("%s", error)


def backend() -> Any:
    """The backend of the queue that the settings name.

    Raises:
        AgentError: it keeps no queue.
    """
    name = get_settings().agents.task_backend
    chosen = tasks.task_backends[name]
    if isinstance(chosen, import_module(f"{tasks.__name__}.backends.immediate").ImmediateBackend):
        raise AgentError(
            f"TASKS[{name!r}] does each task at once, in its caller: set a backend with a queue, such as"
            " 'django_tasks_db.DatabaseBackend'."
        )
    return chosen
