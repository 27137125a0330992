"""The routes of agents: ``pgknowbase.api.orchestrator.router``. They need the app and the extra ``agents``."""

from pgknowbase.api.orchestrator import agents, approvals, executions, workflows
from pgknowbase.api.orchestrator.base import router

# The modules add their routes to the router.
__all__ = ["agents", "approvals", "executions", "router", "workflows"]
