"""Routes of workflows: several agents run as one."""

from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from ninja import Query
from ninja.responses import Status

from pgknowbase.agents import background as queue
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import Status as Run
from pgknowbase.agents.models import WorkflowExecution
from pgknowbase.agents.runs.cancelling import cancel_workflow
from pgknowbase.agents.runs.database import alias
from pgknowbase.agents.workflows import SimpleOrchestrator
from pgknowbase.agents.workflows.registry import Workflow, defined_workflows, get_workflow
from pgknowbase.agents.workflows.store import own_config
from pgknowbase.api.authentication import Caller
from pgknowbase.api.links import workflow_url
from pgknowbase.api.orchestrator.access import (
    check_budgets,
    deps_for,
    narrow,
    paginate,
    require_change,
    require_user,
    router,
    visible_rows,
)
from pgknowbase.api.orchestrator.agents import usable_agent
from pgknowbase.api.orchestrator.schemas import (
    WorkflowDetail,
    WorkflowFilter,
    WorkflowInfo,
    WorkflowList,
    WorkflowPage,
    WorkflowRequest,
    WorkflowRunResult,
    WorkflowSummary,
)
from pgknowbase.api.orchestrator.serializers import (
    workflow_detail_of,
    workflow_result_of,
    workflow_result_of_row,
    workflow_summary_of,
)
from pgknowbase.api.parameters import REPLAYED, IdempotencyKey, bound_key, reject_unknown_parameters
from pgknowbase.api.problems import Problem
from pgknowbase.errors import AgentError, ApprovalNeededError, NotFoundError

# What makes two requests the same.
IDENTITY = ("user_id", "workflow_name", "pattern", "agents", "initial_prompt")
OPTIONS = ("pattern", "agents", "workflow", "prompt", "name", "timeout", "concurrency", "config")


@router.get("ai-workflows/", response=WorkflowList, operation_id="listDefinedWorkflows")
def list_defined(request: HttpRequest) -> WorkflowList:
    """The workflows defined in code whose agents the caller may all run."""
    user = require_user(request).user
    usable = [each for each in defined_workflows() if _usable(each, user)]
    return WorkflowList(
        results=[
            WorkflowInfo(name=each.name, description=each.description, pattern=each.pattern, agents=each.agents)
            for each in usable
        ]
    )


@router.post(
    "workflows/execute/", response={200: WorkflowRunResult, 202: WorkflowSummary}, operation_id="executeWorkflow"
)
async def execute_workflow(
    request: HttpRequest, body: WorkflowRequest, response: HttpResponse, idempotency_key: IdempotencyKey = None
) -> Any:
    """Run several agents as one, as the caller. 202: it waits, for a worker or an approval. Heeds Idempotency-Key."""
    deps = await sync_to_async(_deps)(request, body)
    # Only now, with scope, permission and agents checked: an old key opens nothing that was withdrawn since.
    key = bound_key(request, idempotency_key)
    if earlier := await sync_to_async(_earlier)(key, body, deps):
        return _replay(response, earlier, background=body.background)
    try:
        return await _execute(body, deps, key)
    except IntegrityError:
        # A request with the same key started its workflow in the meantime.
        faster = await sync_to_async(_earlier)(key, body, deps)
        if faster is None:
            raise
        return _replay(response, faster, background=body.background)


async def _execute(body: WorkflowRequest, deps: DjangoDeps, key: str) -> Any:
    options = {name: getattr(body, name) for name in OPTIONS}
    if body.background:
        row = await sync_to_async(queue.run_workflow_in_background)(**options, deps=deps, idempotency_key=key)
        return Status(202, workflow_summary_of(row))
    try:
        result = await SimpleOrchestrator().execute(**options, deps=deps, idempotency_key=key)
    except ApprovalNeededError as error:
        return Status(202, workflow_summary_of(await _paused(error.execution_id)))
    return workflow_result_of(result)


@router.get("workflows/", response=WorkflowPage, operation_id="listWorkflows")
def list_workflows(request: HttpRequest, filters: Query[WorkflowFilter]) -> WorkflowPage:
    """The caller's runs of workflows, or with the permission to view them all; the latest first."""
    reject_unknown_parameters(request, WorkflowFilter)
    rows = narrow(visible_rows(WorkflowExecution, require_user(request)), filters)
    # The wide columns, which the list does not show.
    found, following = paginate(rows.defer("state", "final_output"), filters)
    return WorkflowPage(results=[workflow_summary_of(row) for row in found], next_offset=following)


@router.get("workflows/{workflow_id}/", response=WorkflowDetail, operation_id="workflow", url_name="workflow")
def workflow(request: HttpRequest, workflow_id: UUID) -> WorkflowDetail:
    """One run of a workflow, with the runs of its agents."""
    return workflow_detail_of(_visible(require_user(request), workflow_id))


@router.post("workflows/{workflow_id}/cancel/", response={202: WorkflowSummary}, operation_id="cancelWorkflow")
def cancel(request: HttpRequest, workflow_id: UUID) -> Any:
    """Cancel a workflow with its runs: no step begins after it."""
    row = _changeable(require_user(request), workflow_id)
    if not cancel_workflow(row.pk):
        raise Problem(409, "ended", f"Workflow {row.pk} is {row.status.lower()} already: there is nothing to cancel.")
    row.refresh_from_db()
    return Status(202, workflow_summary_of(row))


@router.post("workflows/{workflow_id}/resume/", response={202: WorkflowSummary}, operation_id="resumeWorkflow")
def resume(request: HttpRequest, workflow_id: UUID) -> Any:
    """Let a worker resume a workflow that failed or was interrupted; finished steps stay."""
    row = _changeable(require_user(request), workflow_id)
    if row.status in (Run.COMPLETED, Run.CANCELLED):
        raise Problem(409, "ended", f"Workflow {row.pk} is {row.status.lower()}: execute a new one.")
    _check_budgets(row.agents, row.user_id)
    if not queue.retry_workflow(row.pk):
        raise Problem(409, "at-work", f"Workflow {row.pk} is at work: wait for its end, or cancel it.")
    row.refresh_from_db()
    return Status(202, workflow_summary_of(row))


def _deps(request: HttpRequest, body: WorkflowRequest) -> DjangoDeps:
    """The deps of a run for the user, who must be able to use all of its agents."""
    user, deps = deps_for(request, body.deps)
    if body.workflow is None:
        for name in body.agents:
            usable_agent(name, user)
    else:
        get_workflow(body.workflow).check_user(user)
    if body.background:
        _check_budgets(body.agents if body.workflow is None else get_workflow(body.workflow).agents, deps.user_id)
    return deps


def _earlier(key: str, body: WorkflowRequest, deps: DjangoDeps) -> WorkflowExecution | None:
    """The workflow with that idempotency key.

    Raises:
        Problem: 422, the key was used for another request.
    """
    row = WorkflowExecution.objects.using(alias()).filter(idempotency_key=key).first() if key else None
    if row is None:
        return None
    options = {name: getattr(body, name) for name in OPTIONS}
    plan = SimpleOrchestrator().plan(**options, deps=deps)
    same = all(getattr(row, name) == getattr(plan, name) for name in IDENTITY)
    if not same or own_config(row) != own_config(plan):
        raise Problem(422, "idempotency-key", "The key was used for another request: send a new one.")
    return row


def _replay(response: HttpResponse, row: WorkflowExecution, *, background: bool) -> Any:
    """The response that describes an earlier workflow as it is now."""
    response.headers[REPLAYED] = "true"
    if row.status == Run.CANCELLED:
        detail = f"Workflow {row.pk} was cancelled: send a new key."
        raise Problem(409, "run-cancelled", detail, instance=workflow_url(row.pk))
    if row.status == Run.FAILED:
        detail = f"Workflow {row.pk} failed: {row.error} Resume it, or send a new key."
        raise Problem(502, "run-failed", detail, instance=workflow_url(row.pk))
    if row.status == Run.COMPLETED and not background:
        return workflow_result_of_row(row)
    return Status(202, workflow_summary_of(row))


def _usable(workflow: Workflow, user: Any) -> bool:
    try:
        workflow.check_user(user)
    except AgentError:
        return False
    return True


def _check_budgets(agents: list[str], user_id: Any) -> None:
    for name in dict.fromkeys(agents):
        check_budgets(name, user_id)


def _changeable(caller: Caller, workflow_id: UUID) -> WorkflowExecution:
    row = _visible(caller, workflow_id)
    require_change(caller, row)
    return row


def _visible(caller: Caller, workflow_id: UUID) -> WorkflowExecution:
    row = visible_rows(WorkflowExecution, caller).filter(pk=workflow_id).first()
    if row is None:
        raise NotFoundError(f"There is no workflow {workflow_id} that you may see: look it up in the list.")
    return row


async def _paused(execution_id: UUID) -> WorkflowExecution:
    return await WorkflowExecution.objects.using(alias()).aget(executions=execution_id)
