"""The queue of the settings. On Django 6 its framework is ``django.tasks``, before it the package django-tasks."""

from functools import cache
from importlib import import_module
from typing import Any
from uuid import UUID

from pgknowbase.conf import get_settings
from pgknowbase.errors import AgentError, MissingExtraError


@cache
def task_framework() -> Any:
    """The module of Django's tasks.

    Raises:
        MissingExtraError: Django has none yet, and django-tasks is not installed.
    """
    for name in ("django.tasks", "django_tasks"):
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    raise MissingExtraError("Runs in the background need django-tasks: run `pip install 'django-pgknowbase[agents]'`.")


def queue_backend() -> Any:
    """The task backend that ``AGENTS["TASK_BACKEND"]`` names.

    Raises:
        AgentError: it keeps no queue. Django's default backend runs each task at once, in the caller and inside the
            caller's transaction: a run would block the request, and its worker could not be another process.
    """
    name, framework = get_settings().agents.task_backend, task_framework()
    backend = framework.task_backends[name]
    if isinstance(backend, import_module(f"{framework.__name__}.backends.immediate").ImmediateBackend):
        raise AgentError(
            f"TASKS[{name!r}] runs each task at once, in its caller: set a backend with a queue, such as"
            " 'django_tasks_db.DatabaseBackend'."
        )
    return backend


def enqueue(task: Any, row_id: UUID) -> str:
    """Put a task for one row into the queue; returns the id of the task.

    Raises:
        AgentError: the settings name no queue.
    """
    queue_backend()  # refuses backends without a queue
    settings = get_settings().agents
    queued = task.using(queue_name=settings.task_queue, backend=settings.task_backend)
    return str(queued.enqueue(str(row_id)).id)


def is_queued(task_id: str) -> bool:
    """Whether a worker will still take this task: it has not been taken, finished or pruned."""
    try:
        return str(queue_backend().get_result(task_id).status) in ("READY", "TaskResultStatus.READY")
    except Exception as error:
        # By its name, because the class is that of the framework that this Django has.
        if type(error).__name__ != "TaskResultDoesNotExist":
            raise
        return False
