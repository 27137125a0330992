"""Agents in Django's admin: runs and what they called, read-only with actions; agents and budgets, to be edited."""

from pgknowbase.agents.admin.approval import ApprovalRequestAdmin
from pgknowbase.agents.admin.definition import AgentBudgetAdmin, AgentDefinitionAdmin
from pgknowbase.agents.admin.execution import AgentExecutionAdmin, ToolExecutionAdmin
from pgknowbase.agents.admin.workflow import WorkflowExecutionAdmin

__all__ = [
    "AgentBudgetAdmin",
    "AgentDefinitionAdmin",
    "AgentExecutionAdmin",
    "ApprovalRequestAdmin",
    "ToolExecutionAdmin",
    "WorkflowExecutionAdmin",
]
