"""``manage.py pgknowbase_status``: how far the index is, per source model."""

from argparse import ArgumentParser
from typing import Any

from pgknowbase.conf import get_settings
from pgknowbase.management.arguments import as_json, as_table
from pgknowbase.management.base import KnowbaseCommand
from pgknowbase.status import IndexStatus, ReactionStatus, SourceStatus, WorkerStatus, index_status

COLUMNS = (
    "model_name",
    "rows",
    "total",
    "completed",
    "pending",
    "processing",
    "failed",
    "dead",
    "chunks",
    "outbox",
    "lag_seconds",
    "embedded_last_minute",
    "last_processed",
)


class Command(KnowbaseCommand):
    help = "Show what is indexed, waits or failed per source model; the active embedding space; reactions; workers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *, format: str, **options: Any) -> None:
        status = index_status(get_settings().database)
        if format == "json":
            self.stdout.write(as_json(status.model_dump()))
        else:
            self._write_table(status)
            self._write_reactions(status.reactions)

    def _write_table(self, status: IndexStatus) -> None:
        rows = [{**source.model_dump(), "rows": _rows(source)} for source in status.sources]
        for row in rows:
            row["lag_seconds"] = round(row["lag_seconds"], 1)
        self.stdout.write(as_table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows]))
        self._write_costs(status.sources)
        space = status.space
        named = f"{space.name} ({space.model}, {space.dimensions} d)" if space else "none, run migrate"
        self.stdout.write(f"\nActive space: {named}; {space.queue if space else 0} documents in its queue.\n")
        if status.workers:
            columns = list(WorkerStatus.model_fields)
            self.stdout.write(as_table(columns, [list(worker.model_dump().values()) for worker in status.workers]))
        else:
            self.stdout.write("No worker runs.")

    def _write_reactions(self, reactions: list[ReactionStatus]) -> None:
        if reactions:
            columns = list(ReactionStatus.model_fields)
            rows = [list(reaction.model_dump().values()) for reaction in reactions]
            self.stdout.write("\n" + as_table(columns, rows))

    def _write_costs(self, sources: list[SourceStatus]) -> None:
        rows = [
            [status.model_name, round(status.ms_per_row, 3), round(status.statements_per_row or 0, 2), _hooks(status)]
            for status in sources
            if status.ms_per_row is not None
        ]
        if rows:
            self.stdout.write("\n" + as_table(("rendering", "ms_per_row", "statements_per_row", "hooks"), rows))


def _hooks(status: SourceStatus) -> str:
    if status.querying_hook:
        return f"{status.querying_hook} queries for each row: see docs/worker.md"
    return f"slowest: {status.slowest_hook}"


def _rows(status: SourceStatus) -> int | str:
    return f"about {status.total_instances}" if status.estimated else status.total_instances
