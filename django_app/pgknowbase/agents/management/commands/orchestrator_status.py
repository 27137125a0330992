"""``manage.py orchestrator_status``: agents, active and waiting runs, latest failures."""

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from pgknowbase.agents import background
from pgknowbase.agents.metrics import active_counts, totals
from pgknowbase.agents.models import AgentDefinition, AgentExecution, Status
from pgknowbase.agents.registry import agents
from pgknowbase.agents.runs.database import alias
from pgknowbase.core.commands import KnowbaseCommand, add_format, as_json, as_table

MAX_FAILURES = 10
MAX_ERROR_CHARACTERS = 120


class Command(KnowbaseCommand):
    help = "Show agents, active and waiting runs, figures of the last day, and the latest failures."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sweep", action="store_true", help="first fail, or requeue, runs whose process died")
        add_format(parser)

    def handle(self, *, sweep: bool, format: str, **options: Any) -> None:
        swept = background.sweep_runs() if sweep else None
        report = {
            "swept": swept and vars(swept),
            "agents": _agents(),
            "waiting": active_counts(),
            "last_day": totals(since=timezone.now() - timedelta(days=1)),
            "failures": _failures(),
        }
        self.stdout.write(as_json(report) if format == "json" else _text(report))


def _agents() -> list[dict[str, Any]]:
    code = [{"name": name, "from": "code", "model": str(agent.model or "")} for name, agent in sorted(agents.items())]
    kept = AgentDefinition.objects.using(alias()).filter(is_active=True)
    return code + [{"name": row.name, "from": "database", "model": row.model} for row in kept]


def _failures() -> list[dict[str, Any]]:
    failed = AgentExecution.objects.using(alias()).filter(status=Status.FAILED).order_by("-created_at")[:MAX_FAILURES]
    return [
        {
            "execution": str(row.pk),
            "agent": row.agent_name,
            "at": row.created_at,
            "error": row.error[:MAX_ERROR_CHARACTERS],
        }
        for row in failed
    ]


def _text(report: dict[str, Any]) -> str:
    day = {name: round(each, 3) if isinstance(each, float) else each for name, each in report["last_day"].items()}
    parts = [
        _section("Agents", report["agents"]),
        _section("Now", [report["waiting"]]),
        _section("Last day", [day]),
        _section("Latest failures", report["failures"]),
    ]
    if report["swept"] is not None:
        parts.insert(0, _section("Swept", [report["swept"]]))
    return "\n\n".join(parts)


def _section(title: str, rows: list[dict[str, Any]]) -> str:
    if not rows:
        return f"{title}: none"
    return f"{title}\n{as_table(list(rows[0]), [list(row.values()) for row in rows])}"
