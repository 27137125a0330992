"""``manage.py orchestrator_status``: agents, what runs, what waits, what failed last."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from pgknowbase.agents.background import sweep_runs
from pgknowbase.agents.metrics import totals, waiting
from pgknowbase.agents.models import AgentDefinition, AgentExecution, Status
from pgknowbase.agents.recording.database import alias
from pgknowbase.agents.registry import declared
from pgknowbase.management.arguments import as_json, as_table
from pgknowbase.management.base import KnowbaseCommand

FAILURES = 10
LONGEST_ERROR = 120


class Command(KnowbaseCommand):
    help = "Agents, runs of the last day, what is under way or waits, and the latest failures."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--sweep", action="store_true", help="first fail or queue again runs of dead processes")
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *, sweep: bool, format: str, **options: Any) -> None:
        swept = sweep_runs() if sweep else None
        report = {
            "swept": swept and vars(swept),
            "agents": _agents(),
            "waiting": waiting(),
            "last_day": totals(since=timezone.now() - timedelta(days=1)),
            "failures": _failures(),
        }
        self.stdout.write(as_json(report) if format == "json" else _text(report))


def _agents() -> list[dict[str, Any]]:
    code = [{"name": name, "from": "code", "model": str(agent.model or "")} for name, agent in declared().items()]
    kept = AgentDefinition.objects.using(alias()).filter(is_active=True)
    return code + [{"name": row.name, "from": "database", "model": row.model} for row in kept]


def _failures() -> list[dict[str, Any]]:
    failed = AgentExecution.objects.using(alias()).filter(status=Status.FAILED).order_by("-created_at")[:FAILURES]
    return [
        {"execution": str(row.pk), "agent": row.agent_name, "at": row.created_at, "error": row.error[:LONGEST_ERROR]}
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
