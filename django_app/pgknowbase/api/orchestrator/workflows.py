"""Routes of workflows."""

from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from ninja import Query
from ninja.responses import Status

from pgknowbase.agents.background import retry_workflow, run_workflow_in_background
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import Status as Run
from pgknowbase.agents.models import WorkflowExecution
from pgknowbase.agents.recording.cancel import cancel_workflow
from pgknowbase.agents.recording.database import alias
from pgknowbase.agents.workflow import SimpleOrchestrator
from pgknowbase.agents.workflow.registry import Workflow, defined, get_workflow
from pgknowbase.api.callers import Caller
from pgknowbase.api.idempotency import idempotent
from pgknowbase.api.orchestrator.agents import check_budgets, usable_agent
from pgknowbase.api.orchestrator.answers import workflow_answer, workflow_detail_of, workflow_summary_of
from pgknowbase.api.orchestrator.base import deps_for, own_or_granted, paged, router, signed_in, visible
from pgknowbase.api.orchestrator.executions import narrowed
from pgknowbase.api.orchestrator.shapes import (
    WorkflowAnswer,
    WorkflowDetail,
    WorkflowFilter,
    WorkflowInfo,
    WorkflowList,
    WorkflowPage,
    WorkflowRequest,
    WorkflowSummary,
)
from pgknowbase.api.parameters import check_names
from pgknowbase.api.problems import Problem
from pgknowbase.errors import AgentError, ApprovalNeededError, NotFoundError


@router.get("ai-workflows/", response=WorkflowList, operation_id="listDefinedWorkflows")
def list_defined(request: HttpRequest) -> WorkflowList:
    """The workflows defined in code whose agents the caller may all run."""
    user = signed_in(request).user
    usable = [each for each in defined() if _usable(each, user)]
    return WorkflowList(
        results=[
            WorkflowInfo(name=each.name, description=each.description, pattern=each.pattern, agents=each.agents)
            for each in usable
        ]
    )


@router.post("workflows/execute/", response={200: WorkflowAnswer, 202: WorkflowSummary}, operation_id="executeWorkflow")
@idempotent
async def execute_workflow(request: HttpRequest, asked: WorkflowRequest) -> Any:
    """Run several agents as one, as the caller. 202: it waits, for a worker or an approval. Heeds Idempotency-Key."""
    deps = await sync_to_async(_checked)(request, asked)
    kept = ("pattern", "agents", "workflow", "prompt", "name", "timeout", "concurrency")
    options = {name: getattr(asked, name) for name in kept}
    if asked.background:
        row = await sync_to_async(run_workflow_in_background)(**options, deps=deps)
        return Status(202, workflow_summary_of(row))
    try:
        result = await SimpleOrchestrator().execute(**options, deps=deps)
    except ApprovalNeededError as error:
        return Status(202, workflow_summary_of(await _paused(error.execution_id)))
    return workflow_answer(result)


@router.get("workflows/", response=WorkflowPage, operation_id="listWorkflows")
def list_workflows(request: HttpRequest, asked: Query[WorkflowFilter]) -> WorkflowPage:
    """The caller's runs of workflows, or with the permission to view them all; the latest first."""
    check_names(request, WorkflowFilter)
    rows = narrowed(visible(WorkflowExecution, signed_in(request)), asked)
    found, more = paged(rows.defer("state", "final_output"), asked)
    return WorkflowPage(results=[workflow_summary_of(row) for row in found], next_offset=more)


@router.get("workflows/{workflow_id}/", response=WorkflowDetail, operation_id="workflow", url_name="workflow")
def workflow(request: HttpRequest, workflow_id: UUID) -> WorkflowDetail:
    """One run of a workflow, with the runs of its agents."""
    return workflow_detail_of(_visible(signed_in(request), workflow_id))


@router.post("workflows/{workflow_id}/cancel/", response={202: WorkflowSummary}, operation_id="cancelWorkflow")
def cancel(request: HttpRequest, workflow_id: UUID) -> Any:
    """Cancel a workflow with its runs: no step begins after it."""
    row = _changeable(signed_in(request), workflow_id)
    if not cancel_workflow(row.pk):
        raise Problem(409, "ended", f"Workflow {row.pk} is {row.status.lower()} already: there is nothing to cancel.")
    row.refresh_from_db()
    return Status(202, workflow_summary_of(row))


@router.post("workflows/{workflow_id}/resume/", response={202: WorkflowSummary}, operation_id="resumeWorkflow")
@idempotent
def resume(request: HttpRequest, workflow_id: UUID) -> Any:
    """Let a worker go on with one that failed or was interrupted; finished steps stay. Heeds Idempotency-Key."""
    row = _changeable(signed_in(request), workflow_id)
    if row.status in (Run.COMPLETED, Run.CANCELLED):
        raise Problem(409, "ended", f"Workflow {row.pk} is {row.status.lower()}: execute a new one.")
    _check_budgets(row.agents, row.user_id)
    if not retry_workflow(row.pk):
        raise Problem(409, "at-work", f"Workflow {row.pk} is at work: wait for its end, or cancel it.")
    row.refresh_from_db()
    return Status(202, workflow_summary_of(row))


def _checked(request: HttpRequest, asked: WorkflowRequest) -> DjangoDeps:
    """Whom the agents act for, who may use them all."""
    user, deps = deps_for(request, asked.deps)
    if asked.workflow is None:
        for name in asked.agents:
            usable_agent(name, user)
    else:
        get_workflow(asked.workflow).check_user(user)
    if asked.background:
        _check_budgets(asked.agents if asked.workflow is None else get_workflow(asked.workflow).agents, deps.user_id)
    return deps


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
    row: WorkflowExecution = own_or_granted(caller, _visible(caller, workflow_id))
    return row


def _visible(caller: Caller, workflow_id: UUID) -> WorkflowExecution:
    row = visible(WorkflowExecution, caller).filter(pk=workflow_id).first()
    if row is None:
        raise NotFoundError(f"There is no workflow {workflow_id} that you may see: look it up in the list.")
    return row


async def _paused(execution_id: UUID) -> WorkflowExecution:
    return await WorkflowExecution.objects.using(alias()).aget(executions=execution_id)
