"""``manage.py pgknowbase_status``: how far the index is, per source model."""

from argparse import ArgumentParser
from typing import Any

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.management.arguments import as_json, as_table
from pgknowbase.management.base import KnowbaseCommand
from pgknowbase.models import EmbeddingSpace
from pgknowbase.status import (
    ReactionStatus,
    SourceStatus,
    WorkerStatus,
    reaction_statuses,
    source_statuses,
    worker_statuses,
)
from pgknowbase.vectorizer.spaces import active_space

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
        using = get_settings().database
        sources, workers = source_statuses(using), worker_statuses(using)
        space = active_space(using)
        queue = gateway.fetch_value(using, gateway.QUEUE_PENDING, space.vectorizer_id) if space else None
        if format == "json":
            self._write_json(space, queue, sources, reaction_statuses(using), workers)
        else:
            self._write_table(space, queue, sources, workers)
            self._write_reactions(reaction_statuses(using))

    def _write_json(
        self,
        space: EmbeddingSpace | None,
        queue: int | None,
        sources: list[SourceStatus],
        reactions: list[ReactionStatus],
        workers: list[WorkerStatus],
    ) -> None:
        named = space and {
            "name": space.name, "model": space.model, "dimensions": space.dimensions, "queue": queue,
        }  # fmt: skip
        self.stdout.write(
            as_json(
                {
                    "space": named,
                    "sources": [status.model_dump() for status in sources],
                    "reactions": [reaction.model_dump() for reaction in reactions],
                    "workers": [worker.model_dump() for worker in workers],
                }
            )
        )

    def _write_table(
        self,
        space: EmbeddingSpace | None,
        queue: int | None,
        sources: list[SourceStatus],
        workers: list[WorkerStatus],
    ) -> None:
        rows = [{**status.model_dump(), "rows": _rows(status)} for status in sources]
        for row in rows:
            row["lag_seconds"] = round(row["lag_seconds"], 1)
        self.stdout.write(as_table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows]))
        self._write_costs(sources)
        self.stdout.write(f"\nActive space: {space or 'none, run migrate'}; {queue or 0} documents in its queue.\n")
        if workers:
            columns = list(WorkerStatus.model_fields)
            self.stdout.write(as_table(columns, [list(worker.model_dump().values()) for worker in workers]))
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
