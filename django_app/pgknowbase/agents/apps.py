from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, register


class AgentsConfig(AppConfig):
    name = "pgknowbase.agents"
    label = "pgknowbase_agents"
    verbose_name = "Agents"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Django's app loading: these modules import models.
        from pgknowbase.agents import definitions, registry  # noqa: F401 - definitions adds itself to the registry
        from pgknowbase.agents.runs.heartbeat import beat_sent
        from pgknowbase.signals import worker_heartbeat

        registry.discover()
        if find_spec("pydantic_ai"):
            register(_check, "pgknowbase", deploy=True)
            # Whatever process is alive sweeps: one that has runs, or the worker of the index.
            for heartbeat in (beat_sent, worker_heartbeat):
                heartbeat.connect(_sweep, dispatch_uid="pgknowbase_agents")


def _check(**kwargs: Any) -> list[CheckMessage]:
    from pgknowbase.agents.checks import check_agents  # agents, which few projects have

    return check_agents()


def _sweep(**kwargs: Any) -> None:
    from pgknowbase.agents.background.sweep import sweep_on_heartbeat  # the extra

    sweep_on_heartbeat()
