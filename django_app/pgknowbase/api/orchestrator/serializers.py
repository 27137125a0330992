"""From rows and results to the schemas of responses."""

from decimal import Decimal
from typing import Any

from pgknowbase.agents.models import AgentExecution, ApprovalRequest, ToolExecution, WorkflowExecution
from pgknowbase.agents.runnable import AgentResult
from pgknowbase.agents.runs.json_values import as_json
from pgknowbase.agents.workflows import WorkflowResult
from pgknowbase.api.links import execution_url, workflow_url
from pgknowbase.api.orchestrator.schemas import (
    Approval,
    ExecutionDetail,
    ExecutionSummary,
    RunResult,
    StepReport,
    ToolCallDetail,
    WorkflowDetail,
    WorkflowRunResult,
    WorkflowSummary,
)

RUN = ("id", "agent_name", "status", "model", "background", "error", "execution_time", "tokens_used", "workflow_id",
       "step", "created_at", "started_at", "completed_at")  # fmt: skip
DETAIL = ("input_prompt", "output_data", "requests", "input_tokens", "output_tokens")
WORKFLOW = ("id", "workflow_name", "pattern", "agents", "status", "background", "error", "progress",
            "completed_steps", "total_steps", "total_tokens", "execution_time", "created_at",
            "completed_at")  # fmt: skip
TOOL = ("tool_name", "tool_call_id", "arguments", "result", "status", "error", "execution_time", "started_at",
        "completed_at")  # fmt: skip
APPROVAL = ("id", "execution_id", "tool_name", "arguments", "status", "reason", "requested_at", "decided_at")


def result_of(agent_name: str, result: AgentResult[Any]) -> RunResult:
    """The result of a run that has just completed."""
    return RunResult(
        execution_id=result.execution_id,
        url=execution_url(result.execution_id),
        agent_name=agent_name,
        status="COMPLETED",
        output=as_json(result.output),
        execution_time=result.execution_time,
        tokens_used=result.tokens_used,
        cost=_money(result.cost),
    )


def result_of_row(row: AgentExecution) -> RunResult:
    """The result of a run that completed earlier, from its row."""
    return RunResult.model_validate(
        {
            **_fields(row, ("agent_name", "status", "tokens_used")),
            "execution_id": row.pk,
            "url": execution_url(row.pk),
            "output": row.output_data,
            "execution_time": row.execution_time or 0.0,
            "cost": _money(row.cost),
        }
    )


def summary_of(row: AgentExecution) -> ExecutionSummary:
    """A run as lists show it."""
    return ExecutionSummary.model_validate(_summary(row))


def detail_of(row: AgentExecution) -> ExecutionDetail:
    """A run with its tool calls and approvals."""
    return ExecutionDetail.model_validate(
        {
            **_summary(row),
            **_fields(row, DETAIL),
            "tools": [tool_of(call) for call in row.tools.all()],
            "approvals": [approval_of(request) for request in row.approvals.select_related("execution")],
        }
    )


def tool_of(call: ToolExecution) -> ToolCallDetail:
    """A call of a tool."""
    return ToolCallDetail.model_validate(_fields(call, TOOL))


def approval_of(request: ApprovalRequest) -> Approval:
    """A tool call that waits for a person, or waited."""
    return Approval.model_validate(approval_fields(request))


def approval_fields(request: ApprovalRequest) -> dict[str, Any]:
    """The fields of ``Approval``, which ``DecisionResult`` extends."""
    return {
        **_fields(request, APPROVAL),
        "execution_url": execution_url(request.execution_id),
        "agent_name": request.execution.agent_name,
        "user_id": _key(request.execution.user_id),
        "decided_by": _key(request.decided_by_id),
    }


def workflow_summary_of(row: WorkflowExecution) -> WorkflowSummary:
    """A run of a workflow as lists show it."""
    return WorkflowSummary.model_validate(_workflow(row))


def workflow_detail_of(row: WorkflowExecution) -> WorkflowDetail:
    """A run of a workflow with its runs of agents, in their order."""
    runs = row.executions.order_by("order", "created_at")
    return WorkflowDetail.model_validate(
        {
            **_workflow(row),
            **_fields(row, ("initial_prompt", "final_output")),
            "executions": [summary_of(run) for run in runs],
        }
    )


def workflow_result_of(result: WorkflowResult) -> WorkflowRunResult:
    """The result of a workflow that has just completed."""
    steps = [
        StepReport(
            path=step.path,
            agent=step.agent,
            output=as_json(step.output),
            error=step.error,
            execution_id=step.execution_id,
        )
        for step in result.steps
    ]
    return WorkflowRunResult(
        workflow_id=result.workflow_id,
        url=workflow_url(result.workflow_id),
        status="COMPLETED",
        output=as_json(result.output),
        steps=steps,
        execution_time=result.execution_time,
        total_tokens=result.total_tokens,
        total_cost=_money(result.total_cost),
    )


def workflow_result_of_row(row: WorkflowExecution) -> WorkflowRunResult:
    """The result of a workflow that completed earlier, from its row."""
    steps = [
        StepReport(
            path=path,
            agent=entry["agent"],
            output=entry.get("output"),
            error=entry.get("error", ""),
            execution_id=entry.get("execution"),
        )
        for path, entry in row.state.items()
        if entry["agent"]  # else a decision that a function made
    ]
    return WorkflowRunResult(
        workflow_id=row.pk,
        url=workflow_url(row.pk),
        status="COMPLETED",
        output=row.final_output,
        steps=steps,
        execution_time=row.execution_time or 0.0,
        total_tokens=row.total_tokens,
        total_cost=_money(row.total_cost),
    )


def _summary(row: AgentExecution) -> dict[str, Any]:
    figures = {"user_id": _key(row.user_id), "cost": _money(row.cost)}
    return {**_fields(row, RUN), "url": execution_url(row.pk), **figures}


def _workflow(row: WorkflowExecution) -> dict[str, Any]:
    figures = {"user_id": _key(row.user_id), "total_cost": _money(row.total_cost)}
    return {**_fields(row, WORKFLOW), "url": workflow_url(row.pk), **figures}


def _fields(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: str(getattr(row, name)) if name == "status" else getattr(row, name) for name in names}


def _key(key: Any) -> int | str | None:
    return key if key is None or isinstance(key, int) else str(key)


def _money(amount: Decimal | None) -> str | None:
    # As text: a JSON number would become a binary float in most clients.
    return None if amount is None else format(amount, "f")
