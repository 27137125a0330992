"""``manage.py pgknowbase_status``: how far the index is, per source model."""

from argparse import ArgumentParser
from typing import Any

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.management.arguments import as_json, as_table
from pgknowbase.management.base import KnowbaseCommand
from pgknowbase.vectorizer.spaces import active_space

COLUMNS = (
    "source",
    "total",
    "completed",
    "pending",
    "processing",
    "failed",
    "dead",
    "chunks",
    "outbox",
    "oldest_pending",
    "last_processed",
)


class Command(KnowbaseCommand):
    help = "Show, per source model, what is indexed, what waits and what failed; and the active embedding space."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *, format: str, **options: Any) -> None:
        using = get_settings().database
        rows = gateway.fetch_dicts(using, gateway.STATUS)
        space = active_space(using)
        queue = gateway.fetch_value(using, gateway.QUEUE_PENDING, space.vectorizer_id) if space else None
        if format == "json":
            named = space and {
                "name": space.name, "model": space.model, "dimensions": space.dimensions, "queue": queue,
            }  # fmt: skip
            self.stdout.write(as_json({"space": named, "sources": rows}))
            return
        self.stdout.write(as_table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows]))
        self.stdout.write(f"\nActive space: {space or 'none, run migrate'}; {queue or 0} documents in its queue.")
