"""Putting runs and workflows into the queue: new ones, retries, and those that resume after an approval."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from pgknowbase.agents.background.jobs import enqueue_run, requeue_workflow
from pgknowbase.agents.background.queue import is_queued
from pgknowbase.agents.models import ACTIVE, AgentExecution, Status, WorkflowExecution
from pgknowbase.agents.registry import get_agent
from pgknowbase.agents.runnable import Runnable
from pgknowbase.agents.runs.budgets import check_queue
from pgknowbase.agents.runs.database import alias
from pgknowbase.agents.runs.heartbeat import stale_before
from pgknowbase.agents.runs.json_values import as_json, prompt_text, row_id, short_text
from pgknowbase.agents.workflows import SimpleOrchestrator
from pgknowbase.errors import AgentError

# Runs


def run_in_background(agent_name: str, prompt: str, *, deps: Any = None, idempotency_key: str = "") -> AgentExecution:
    """Queue a run for a worker; returns its row, PENDING. Row and task are part of the caller's transaction.

    A worker may be another process, so of ``deps`` only ``user_id`` and ``session_data`` go along: the agent must take
    ``DjangoDeps``. ``idempotency_key`` is that of ``DjangoAgent.run``.

    Raises:
        UnknownAgentError: there is no such agent.
        NoModelError: it has no model.
        BudgetExceededError: too many runs wait already, see ``MAX_QUEUED_RUNS``.
        AgentError: the settings name no queue.
    """
    agent = get_agent(agent_name)
    user_id, session_data = getattr(deps, "user_id", None), getattr(deps, "session_data", {})
    return _submit(agent, prompt, user_id, session_data, idempotency_key)


async def arun_in_background(
    agent_name: str, prompt: str, *, deps: Any = None, idempotency_key: str = ""
) -> AgentExecution:
    """Async twin of ``run_in_background``."""
    return await sync_to_async(run_in_background)(agent_name, prompt, deps=deps, idempotency_key=idempotency_key)


def retry(execution: AgentExecution, *, idempotency_key: str = "") -> AgentExecution:
    """Queue a new run with the agent, prompt and user of an earlier one; returns the new row.

    Raises:
        AgentError: the user is gone or not active.
        UnknownAgentError: the agent is gone, or no longer for this user.
        NoModelError: it has no model.
    """
    agent = get_agent(execution.agent_name, user=_active_user(execution))
    return _submit(agent, execution.input_prompt, execution.user_id, execution.session_data, idempotency_key)


def retry_execution(execution_id: UUID) -> AgentExecution | None:
    """``retry`` the run with that id, if it has failed or was cancelled and is not a step of a workflow; else None.

    Raises as ``retry``.
    """
    using, execution_id = alias(), row_id("a run", execution_id)
    row = AgentExecution.objects.using(using).select_related("user").filter(pk=execution_id).first()
    return retry(row) if row is not None and row.is_retryable else None


def resume_in_background(execution_id: UUID) -> bool:
    """Queue a run whose requests for approval are all decided. Returns False if it is not pending.

    Raises:
        AgentError: the settings name no queue, or a worker would not know the agent.
    """
    execution_id = row_id("a run", execution_id)
    with transaction.atomic(alias()):
        rows = AgentExecution.objects.using(alias()).select_for_update()
        row = rows.filter(pk=execution_id, status=Status.PENDING).first()
        if row is None:
            return False
        get_agent(row.agent_name)
        row.background, row.heartbeat_at, row.task_id = True, timezone.now(), enqueue_run(row.pk)
        row.save(using=alias(), update_fields=["background", "heartbeat_at", "task_id"])
    return True


# Workflows


def run_workflow_in_background(
    pattern: str | None = None,
    agents: Sequence[str] = (),
    *,
    prompt: str,
    workflow: str | None = None,
    deps: Any = None,
    **options: Any,
) -> WorkflowExecution:
    """Queue a workflow for a worker; returns its row, PENDING. Row and task are part of the caller's transaction.

    A worker knows agents and workflows by name, so both are those of the registries. ``options`` are ``name``,
    ``timeout`` (seconds), ``concurrency``, ``idempotency_key`` and ``config``. Of ``deps`` only ``user_id`` and
    ``session_data`` go along.

    Raises:
        WorkflowError: the pattern or the workflow is unknown, or there are too few agents.
        UnknownAgentError, NoModelError: an agent is unknown, or has no model.
        AgentError: the settings name no queue.
    """
    row: WorkflowExecution = SimpleOrchestrator().plan(
        pattern, agents, workflow=workflow, prompt=prompt, deps=deps, **options
    )
    row.background = True
    with transaction.atomic(alias()):
        for name in dict.fromkeys(row.agents):
            check_queue(alias(), name, row.user_id)
        row.save(using=alias(), force_insert=True)
        requeue_workflow(row)
    return row


async def arun_workflow_in_background(
    pattern: str | None = None, agents: Sequence[str] = (), *, prompt: str, **options: Any
) -> WorkflowExecution:
    """Async twin of ``run_workflow_in_background``."""
    return await sync_to_async(run_workflow_in_background)(pattern, agents, prompt=prompt, **options)


def retry_workflow(workflow_id: UUID) -> bool:
    """Queue a workflow that failed, is paused, or whose process died. Returns False if it is none of these.

    Finished steps are not repeated. A worker has to know its parts, so they are a pattern of agents of the registry, or
    a workflow defined by name; others only your own code can resume. Its user must still be able to use its agents.

    Raises:
        UnknownAgentError: an agent is gone, or no longer for this user.
        AgentError: the user is gone or not active.
    """
    using, workflow_id = alias(), row_id("a workflow", workflow_id)
    with transaction.atomic(using):
        lost = Q(status=Status.RUNNING, heartbeat_at__lt=stale_before())
        stopped = Q(status__in=[Status.FAILED, Status.PENDING]) | lost
        rows = WorkflowExecution.objects.using(using).select_for_update().filter(stopped)
        row = rows.filter(pk=workflow_id).first()
        if row is None or (row.status == Status.PENDING and row.task_id and is_queued(row.task_id)):
            return False
        user = _active_user(row)
        for name in dict.fromkeys(row.agents):
            get_agent(name, user=user)
        row.completed_at, row.background, row.attempts = None, True, 0
        row.save(using=using, update_fields=["completed_at", "background", "attempts"])
        requeue_workflow(row)
    return True


def resume_workflow_in_background(workflow_id: UUID) -> None:
    """Let a worker resume a workflow of the foreground, as soon as none of its runs is active.

    Raises:
        AgentError: a worker would not know its parts or its agents.
    """
    using = alias()
    with transaction.atomic(using):
        row = WorkflowExecution.objects.using(using).select_for_update().get(pk=workflow_id)
        if not row.background and row.status in ACTIVE:
            SimpleOrchestrator().check_known(row)
            row.background = True
            row.save(using=using, update_fields=["background"])


def _submit(agent: Runnable, prompt: str, user_id: Any, session_data: Any, idempotency_key: str) -> AgentExecution:
    row = AgentExecution(
        agent_name=agent.name,
        user_id=user_id,
        session_data=as_json(session_data),
        model=agent.model_name(),
        input_prompt=prompt_text(prompt),
        background=True,
        idempotency_key=short_text("The idempotency_key", idempotency_key),
        heartbeat_at=timezone.now(),
    )
    with transaction.atomic(alias()):
        check_queue(alias(), row.agent_name, row.user_id)
        row.task_id = enqueue_run(row.pk)
        row.save(using=alias(), force_insert=True)
    return row


def _active_user(row: Any) -> Any:
    """The user of a run or a workflow, None if it has none.

    Raises:
        AgentError: the user is gone or not active. A retry must not act for somebody who has lost access.
    """
    user = row.user
    if row.user_id is not None and (user is None or not user.is_active):
        raise AgentError(f"User {row.user_id!r} is gone or not active: run the agent for somebody else.")
    return user
