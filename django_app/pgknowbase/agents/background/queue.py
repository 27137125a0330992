"""Putting runs into the queue."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import AgentExecution, Status
from pgknowbase.agents.recording.database import alias
from pgknowbase.agents.recording.values import as_json, as_text
from pgknowbase.agents.registry import get_agent
from pgknowbase.conf import get_settings
from pgknowbase.errors import AgentError


def run_in_background(agent_name: str, prompt: str, *, deps: Any = None) -> AgentExecution:
    """A run for a worker of the queue, PENDING. Row and task belong to the caller's transaction.

    Of ``deps`` go along ``user_id`` and ``session_data``, so the agent must take ``DjangoDeps``.

    Raises:
        UnknownAgentError: there is no such agent.
        NoModelError: it has no model.
    """
    agent = get_agent(agent_name)
    row = AgentExecution(
        agent_name=agent.name,
        user_id=getattr(deps, "user_id", None),
        session_data=as_json(getattr(deps, "session_data", {})),
        model=agent.model_name(),
        input_prompt=as_text(prompt),
        background=True,
        heartbeat_at=timezone.now(),
    )
    with transaction.atomic(alias()):
        row.save(using=alias(), force_insert=True)
        row.task_id = enqueue(row.pk)
        AgentExecution.objects.using(alias()).filter(pk=row.pk).update(task_id=row.task_id)
    return row


def run_again(execution: AgentExecution) -> AgentExecution:
    """A new run in the background of what an earlier one was asked, for the same user.

    Raises:
        AgentError: the user is not active any more.
        UnknownAgentError: the agent is gone, or no longer for this user.
        NoModelError: it has no model.
    """
    user = execution.user
    if user is not None and not user.is_active:
        raise AgentError(f"User {user.pk!r} of the run {execution.pk} is not active: run the agent for somebody else.")
    get_agent(execution.agent_name, user=user)
    deps = DjangoDeps(user_id=execution.user_id, session_data=execution.session_data)
    return run_in_background(execution.agent_name, execution.input_prompt, deps=deps)


def continue_run(execution_id: UUID) -> bool:
    """Let a worker go on with a run whose requests for approval are decided; False if it does not wait."""
    with transaction.atomic(alias()):
        rows = AgentExecution.objects.using(alias()).select_for_update()
        row = rows.filter(pk=execution_id, status=Status.PENDING).first()
        if row is None:
            return False
        row.background, row.heartbeat_at, row.task_id = True, timezone.now(), enqueue(row.pk)
        row.save(using=alias(), update_fields=["background", "heartbeat_at", "task_id"])
    return True


def enqueue(execution_id: UUID) -> str:
    """A task for one run; returns its id."""
    from pgknowbase.agents.background.tasks import work

    settings = get_settings().agents
    task = work.using(queue_name=settings.task_queue, backend=settings.task_backend)
    return str(task.enqueue(str(execution_id)).id)


def is_queued(task_id: str) -> bool:
    """Whether a worker will still come to this task: it is not taken, done or pruned."""
    from pgknowbase.agents.background.tasks import backend

    try:
        return str(backend().get_result(task_id).status) in ("READY", "TaskResultStatus.READY")
    except Exception as error:
        if type(error).__name__ != "TaskResultDoesNotExist":  # of the module that this Django has
            raise
        return False
