"""Rows of runs, workflows, tool calls and approvals; agents and budgets that are edited in the admin."""

from pgknowbase.agents.models.definition import AgentBudget, AgentDefinition, AgentKind
from pgknowbase.agents.models.execution import (
    ACTIVE,
    FINAL,
    AgentExecution,
    ApprovalRequest,
    Status,
    ToolExecution,
    WorkflowExecution,
)

__all__ = [
    "ACTIVE",
    "FINAL",
    "AgentBudget",
    "AgentDefinition",
    "AgentExecution",
    "AgentKind",
    "ApprovalRequest",
    "Status",
    "ToolExecution",
    "WorkflowExecution",
]
