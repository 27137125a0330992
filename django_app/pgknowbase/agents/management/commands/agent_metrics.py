"""``manage.py agent_metrics``: runs, tokens, cost and duration of agents."""

from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgknowbase.agents.management.arguments import point_in_time
from pgknowbase.agents.metrics import agent_metrics, has_run
from pgknowbase.agents.registry import agent_names, quoted
from pgknowbase.core.commands import KnowbaseCommand, add_format, as_json, as_table

COLUMNS = (
    "agent", "runs", "completed", "failed", "cancelled", "active", "tokens", "cost", "unpriced", "p50", "p90", "p99"
)  # fmt: skip


class Command(KnowbaseCommand):
    help = "Show runs, tokens, cost and duration for each agent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--agent", help="only this agent")
        parser.add_argument("--since", type=point_in_time, help="'90m', '24h', '7d', '2w', or a date")
        add_format(parser)

    def handle(self, *, agent: str | None, since: datetime | None, format: str, **options: Any) -> None:
        if agent is not None and agent not in agent_names() and not has_run(agent):
            raise CommandError(f"Agent {agent!r} is unknown and has no runs. Known: {quoted(agent_names())}.")
        found = agent_metrics(agent=agent, since=since)
        if format == "json":
            self.stdout.write(as_json(found))
        elif not found:
            self.stdout.write("No runs yet.")
        else:
            self.stdout.write(as_table(COLUMNS, [[_rounded(row[name]) for name in COLUMNS] for row in found]))


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value
