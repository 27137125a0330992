"""``manage.py pgknowbase_status``: what is indexed, pending or failed, per source model."""

from typing import Any

from django.core.management.base import CommandParser

from pgknowbase.core.command_line import command_line
from pgknowbase.core.commands import KnowbaseCommand, add_database, add_format, as_json, as_table, database_alias
from pgknowbase.operations.status import IndexStatus, ReactionStatus, SourceStatus, WorkerStatus, index_status
from pgknowbase.vectorizer.model_check import remedy

COLUMNS = (
    "model_name",
    "rows",
    "unindexed",
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
    help = "Show what is indexed, pending or failed for each source model; the active space, reactions and workers."

    def add_arguments(self, parser: CommandParser) -> None:
        add_format(parser)
        add_database(parser)

    def handle(self, *, format: str, database: str | None, **options: Any) -> None:
        using = database_alias(database)
        status = index_status(using)
        if format == "json":
            self.stdout.write(as_json(status.model_dump()))
        else:
            self._write_table(status, using)
            self._write_reactions(status.reactions)

    def _write_table(self, status: IndexStatus, using: str) -> None:
        rows = [{**source.model_dump(), "rows": _rows(source)} for source in status.sources]
        for row in rows:
            row["lag_seconds"] = round(row["lag_seconds"], 1)
        self.stdout.write(as_table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows]))
        if unindexed := [source.model_name for source in status.sources if source.unindexed and source.sync_enabled]:
            sync = command_line(f"sync_external_models {' '.join(unindexed)}", using)
            self.stdout.write(
                f"\nThe index does not know all rows. Unless hooks keep them out, this brings them in: {sync}"
            )
        self._write_versions(status)
        self._write_costs(status.sources)
        space = status.space
        named = (
            f"{space.name} ({space.model}, {space.dimensions} d)"
            if space
            else f"none: run {command_line('migrate', using)}"
        )
        self.stdout.write(f"\nActive space: {named}; {space.queue if space else 0} documents in its queue.\n")
        if space and space.vector_index in ("missing", "being built"):
            self.stdout.write(f"Its vector index is {space.vector_index}: searches compare every chunk until then.\n")
        if space and space.model_changed_at:
            self.stdout.write(
                f"Since {space.model_changed_at:%Y-%m-%d %H:%M:%S} another model answers by the name of {space.model}:"
                f" nothing is embedded. {remedy(using, is_active=True)}\n"
            )
        for outage in status.outages:
            since, again = f"{outage.failing_since:%Y-%m-%d %H:%M:%S}", f"{outage.paused_until:%H:%M:%S}"
            self.stdout.write(
                f"{outage.provider} has embedded nothing with {outage.model} since {since} ({outage.failures} batches"
                f" failed; next attempt at {again}): {outage.error}\n"
            )
        for cap in status.caps:
            if cap.state != "open":
                whose = f"{cap.model} for {cap.tenant}" if cap.tenant else cap.model
                self.stdout.write(
                    f"{cap.used:,.10g} of {cap.limit:,.10g} {cap.unit} a {cap.per} are used of {whose}: {cap.state}.\n"
                )
        if status.kept_vectors:
            self.stdout.write(f"{status.kept_vectors:,} vectors of unfinished documents and dropped spaces are kept.\n")
        if status.workers:
            columns = list(WorkerStatus.model_fields)
            self.stdout.write(as_table(columns, [list(worker.model_dump().values()) for worker in status.workers]))
        else:
            self.stdout.write("No worker is running.")

    def _write_reactions(self, reactions: list[ReactionStatus]) -> None:
        if reactions:
            columns = list(ReactionStatus.model_fields)
            rows = [list(reaction.model_dump().values()) for reaction in reactions]
            self.stdout.write("\n" + as_table(columns, rows))

    def _write_versions(self, status: IndexStatus) -> None:
        """What waits because this is not the version of the project that knows it."""
        for source in status.sources:
            if source.unavailable:
                self.stdout.write(f"\nChanges of {source.model_name} wait: {source.unavailable}")
        for unknown in status.unknown:
            self.stdout.write(
                f"\n{unknown.source} is not a source model of this version: {unknown.changes} changes wait, and the"
                f" index holds {unknown.objects} objects. {unknown.advice}"
            )

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
