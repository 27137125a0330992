"""Putting runs into the queue."""

from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from pgknowbase.agents.models import AgentExecution, Status
from pgknowbase.agents.recording.database import alias
from pgknowbase.agents.recording.values import as_json, prompt_text, row_id
from pgknowbase.agents.registry import get_agent
from pgknowbase.agents.retryable import is_retryable
from pgknowbase.conf import get_settings
from pgknowbase.errors import AgentError


def run_in_background(agent_name: str, prompt: str, *, deps: Any = None) -> AgentExecution:
    """A run for a worker of the queue, PENDING. Row and task belong to the caller's transaction.

    Of ``deps`` go along ``user_id`` and ``session_data``, so the agent must take ``DjangoDeps``.

    Raises:
        UnknownAgentError: there is no such agent.
        NoModelError: it has no model.
    """
    return _queued(get_agent(agent_name), prompt, getattr(deps, "user_id", None), getattr(deps, "session_data", {}))


async def arun_in_background(agent_name: str, prompt: str, *, deps: Any = None) -> AgentExecution:
    """Async twin of ``run_in_background``."""
    return await sync_to_async(run_in_background)(agent_name, prompt, deps=deps)


def retry_execution(execution_id: UUID) -> AgentExecution | None:
    """A run that failed or was cancelled once more, as a new row for a worker; None if it is no such run.

    It has the same agent, prompt and user, and whoever may no longer use the agent does not get it this way.

    Raises:
        UnknownAgentError: the agent is gone, or no longer for this user.
        AgentError: the user is gone or not active.
    """
    using, execution_id = alias(), row_id("a run", execution_id)
    row = AgentExecution.objects.using(using).select_related("user").filter(pk=execution_id).first()
    return run_again(row) if row is not None and is_retryable(row) else None


def _queued(agent: Any, prompt: str, user_id: Any, session_data: Any) -> AgentExecution:
    row = AgentExecution(
        agent_name=agent.name,
        user_id=user_id,
        session_data=as_json(session_data),
        model=agent.model_name(),
        input_prompt=prompt_text(prompt),
        background=True,
        heartbeat_at=timezone.now(),
    )
    with transaction.atomic(alias()):
        row.task_id = enqueue(row.pk)
        row.save(using=alias(), force_insert=True)
    return row


def run_again(execution: AgentExecution) -> AgentExecution:
    """A new run in the background of what an earlier one was asked, for the same user.

    Raises:
        AgentError: the user is gone or not active.
        UnknownAgentError: the agent is gone, or no longer for this user.
        NoModelError: it has no model.
    """
    agent = get_agent(execution.agent_name, user=active_user(execution))
    return _queued(agent, execution.input_prompt, execution.user_id, execution.session_data)


def active_user(row: Any) -> Any:
    """The user of a run or a workflow, None if it has none.

    Raises:
        AgentError: the user is gone or not active.
    """
    user = row.user
    if row.user_id is not None and (user is None or not user.is_active):
        raise AgentError(f"User {row.user_id!r} is gone or not active: run the agent for somebody else.")
    return user


def continue_run(execution_id: UUID) -> bool:
    """Let a worker go on with a run whose requests for approval are decided; False if it does not wait.

    Raises:
        AgentError: there is no queue, or a worker does not know the agent.
    """
    execution_id = row_id("a run", execution_id)
    with transaction.atomic(alias()):
        rows = AgentExecution.objects.using(alias()).select_for_update()
        row = rows.filter(pk=execution_id, status=Status.PENDING).first()
        if row is None:
            return False
        get_agent(row.agent_name)
        row.background, row.heartbeat_at, row.task_id = True, timezone.now(), enqueue(row.pk)
        row.save(using=alias(), update_fields=["background", "heartbeat_at", "task_id"])
    return True


def enqueue(execution_id: UUID) -> str:
    """A task for one run; returns its id."""
    from pgknowbase.agents.background.tasks import work

    return str(on_queue(work).enqueue(str(execution_id)).id)


def on_queue(task: Any) -> Any:
    """The task for the queue that the settings name.

    Raises:
        AgentError: that is no queue.
    """
    from pgknowbase.agents.background.tasks import backend

    backend()
    settings = get_settings().agents
    return task.using(queue_name=settings.task_queue, backend=settings.task_backend)


def is_queued(task_id: str) -> bool:
    """Whether a worker will still come to this task: it is not taken, done or pruned."""
    from pgknowbase.agents.background.tasks import backend

    try:
        return str(backend().get_result(task_id).status) in ("READY", "TaskResultStatus.READY")
    except Exception as error:
        if type(error).__name__ != "TaskResultDoesNotExist":  # of the module that this Django has
            raise
        return False
