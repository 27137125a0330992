"""Routes of workflows."""

from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from ninja import Query
from ninja.responses import Status

from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import WorkflowExecution
from pgknowbase.agents.recording.database import alias
from pgknowbase.agents.workflow import SimpleOrchestrator
from pgknowbase.api.idempotency import idempotent
from pgknowbase.api.orchestrator.agents import Agent, usable_agent
from pgknowbase.api.orchestrator.answers import workflow_answer, workflow_detail_of, workflow_summary_of
from pgknowbase.api.orchestrator.base import deps_for, paged, router, signed_in, visible
from pgknowbase.api.orchestrator.executions import narrowed
from pgknowbase.api.orchestrator.shapes import (
    WorkflowAnswer,
    WorkflowDetail,
    WorkflowFilter,
    WorkflowPage,
    WorkflowRequest,
    WorkflowSummary,
)
from pgknowbase.api.parameters import check_names
from pgknowbase.errors import ApprovalNeededError, NotFoundError


@router.post("workflows/execute/", response={200: WorkflowAnswer, 202: WorkflowSummary}, operation_id="executeWorkflow")
@idempotent
async def execute_workflow(request: HttpRequest, asked: WorkflowRequest) -> Any:
    """Run several agents as one, as the caller. 202: a step waits for approval. Heeds Idempotency-Key."""
    agents, deps = await sync_to_async(_chosen)(request, asked)
    try:
        result = await SimpleOrchestrator().execute(
            asked.pattern,
            agents,
            prompt=asked.prompt,
            deps=deps,
            name=asked.name,
            timeout=asked.timeout,
            concurrency=asked.concurrency,
        )
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
    row = visible(WorkflowExecution, signed_in(request)).filter(pk=workflow_id).first()
    if row is None:
        raise NotFoundError(f"There is no workflow {workflow_id} that you may see: look it up in the list.")
    return workflow_detail_of(row)


def _chosen(request: HttpRequest, asked: WorkflowRequest) -> tuple[list[Agent], DjangoDeps]:
    user, deps = deps_for(request, asked.deps)
    return [usable_agent(name, user) for name in asked.agents], deps


async def _paused(execution_id: UUID) -> WorkflowExecution:
    return await WorkflowExecution.objects.using(alias()).aget(executions=execution_id)
