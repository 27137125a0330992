"""The routes of agents: ``pgknowbase.api.orchestrator.router``. They need the app and the extra ``agents``."""

from pgknowbase.api.orchestrator import agents, approvals, executions, workflows  # noqa: F401 - they add their routes
from pgknowbase.api.orchestrator.base import router

__all__ = ["router"]
