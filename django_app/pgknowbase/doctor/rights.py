"""What the role of DATABASES lacks."""

from collections.abc import Iterator

from django.contrib.contenttypes.models import ContentType
from django.db.migrations.recorder import MigrationRecorder

from pgknowbase import gateway
from pgknowbase.capture.paths import walk
from pgknowbase.doctor.findings import Finding, error, named, warning
from pgknowbase.reactions.registry import usable
from pgknowbase.registry import sources
from pgknowbase.sql_files import read_sql

FOR_WRITING = {"INSERT", "UPDATE", "DELETE"}


def grants(using: str) -> Iterator[Finding]:
    """Rights on schemas, tables, sequences and functions. Those of writing are needed by the worker alone."""
    for row in gateway.fetch_dicts(using, read_sql("10_doctor/rights.sql"), sorted(_read())):
        kind, privileges, names = row["kind"], row["privileges"], row["names"]
        only_writing = set(privileges.split(", ")) <= FOR_WRITING
        needed_by = "the worker needs" if only_writing else "searches, the worker or this command need"
        yield (warning if only_writing else error)(
            "grant.missing",
            f"The role {row['role']} lacks {privileges}, which {needed_by}, on {_many(kind, len(names))}:"
            f" {named(names)}.",
            f"GRANT {privileges} ON {kind} {', '.join(names)} TO {row['role']};",
        )


def _read() -> set[str]:
    """The tables that a relay reads to render: the watched ones, and those that watched relations lead to."""
    tables = {model._meta.db_table for model in (ContentType, MigrationRecorder.Migration)}
    for source in sources():
        tables |= {watch.table for watch in source.watches}
        steps = [step for path in source.paths for step in walk(source.model, path)]
        tables |= {step.related_model._meta.db_table for step in steps if step.is_relation}
    return tables | {reaction.model._meta.db_table for reaction in usable().values()}


def _many(kind: str, count: int) -> str:
    return f"{count} {kind.lower()}{'' if count == 1 else 's'}"
