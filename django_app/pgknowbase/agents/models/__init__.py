"""Runs of agents, what they called, what waits for a person, and agents that are kept in the database."""

from pgknowbase.agents.models.approval import ApprovalRequest
from pgknowbase.agents.models.budget import AgentBudget
from pgknowbase.agents.models.definition import AgentDefinition, AgentKind
from pgknowbase.agents.models.execution import AgentExecution
from pgknowbase.agents.models.status import ACTIVE, FINAL, Status
from pgknowbase.agents.models.tool import ToolExecution
from pgknowbase.agents.models.workflow import WorkflowExecution

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
