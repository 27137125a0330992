"""``manage.py agent_metrics``: what agents did, cost, and how long they took."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from pgknowbase.agents.management.arguments import moment
from pgknowbase.agents.metrics import agent_metrics
from pgknowbase.management.arguments import as_json, as_table
from pgknowbase.management.base import KnowbaseCommand

COLUMNS = (
    "agent", "runs", "completed", "failed", "cancelled", "active", "tokens", "cost", "unpriced", "p50", "p90", "p99"
)  # fmt: skip


class Command(KnowbaseCommand):
    help = "Runs, tokens, cost and times of agents."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--agent", help="of this agent alone")
        parser.add_argument("--since", type=moment, help="24h, 7d, or a date; default: always")
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *, agent: str | None, since: datetime | None, format: str, **options: Any) -> None:
        found = agent_metrics(agent=agent, since=since)
        if format == "json":
            self.stdout.write(as_json(found))
        elif not found:
            self.stdout.write("No run yet.")
        else:
            self.stdout.write(as_table(COLUMNS, [[shown(row[name]) for name in COLUMNS] for row in found]))


def shown(value: Any) -> Any:
    """Seconds with three digits."""
    return round(value, 3) if isinstance(value, float) else value
