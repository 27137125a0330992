"""The routes of agents, ``pgknowbase.api.orchestrator.router``. They need the app and the extra ``agents``."""

from pgknowbase.api.orchestrator import agents, executions, workflows
from pgknowbase.api.orchestrator.access import router

# Importing the modules adds their routes to the router.
__all__ = ["agents", "executions", "router", "workflows"]
