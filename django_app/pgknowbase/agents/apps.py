from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "pgknowbase.agents"
    label = "pgknowbase_agents"
    verbose_name = "Agents"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from pgknowbase.agents import registry
        from pgknowbase.signals import worker_beat

        registry.discover()
        if find_spec("pydantic_ai"):
            worker_beat.connect(_sweep, dispatch_uid="pgknowbase_agents")


def _sweep(**kwargs: Any) -> None:
    """The worker of the index sees to runs of dead processes too: one process less to keep alive."""
    from pgknowbase.agents.background.sweeping import sweep_sometimes

    sweep_sometimes()
