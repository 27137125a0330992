"""The server: versions and known bugs of its extensions, privileges of the role, replication."""

from collections.abc import Iterator
from importlib.metadata import version as package_version
from typing import NamedTuple

from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from pgknowbase.core import gateway
from pgknowbase.operations.doctor.findings import (
    MOST_SEVERE_FIRST,
    Finding,
    Severity,
    error,
    info,
    listed,
    warning,
)
from pgknowbase.reactions.registry import valid_reactions
from pgknowbase.sources.paths import walk
from pgknowbase.sources.registry import sources

WRITE_PRIVILEGES = {"INSERT", "UPDATE", "DELETE"}


# Versions


class KnownBug(NamedTuple):
    """A bug of pgvector, from its changelog, and the version that fixes it."""

    fixed_in: tuple[int, ...]
    severity: Severity
    what: str


PGVECTOR_BUGS = (
    KnownBug(
        (0, 8, 2),
        Severity.ERROR,
        "a parallel build of an HNSW index overflows a buffer, which can crash the server or leak data of other tables"
        " (CVE-2026-3172, fixed in 0.8.2)",
    ),
    KnownBug(
        (0, 8, 3),
        Severity.ERROR,
        "VACUUM beside inserts can corrupt an HNSW index (fixed in 0.8.3)",
    ),
    KnownBug(
        (0, 8, 4),
        Severity.WARNING,
        "VACUUM of an HNSW index can fail with 'hnsw graph not repaired', and inserts beside it can fail"
        " (fixed in 0.8.4)",
    ),
    KnownBug(
        (0, 8, 6),
        Severity.INFO,
        "an IVFFlat build on a 32-bit system writes out of bounds (CVE-2026-18022), IVFFlat scans in nested loops hold"
        " on to memory, and a cast from array to sparsevec has no bound (fixed in 0.8.6; pgknowbase uses neither"
        " IVFFlat nor sparsevec)",
    ),
)
RECOMMENDED_PGVECTOR = "0.8.6"
REINDEX_BELOW = (0, 8, 3)
PGAI_WORKER_BUGS = (
    "it keeps a transaction open during each provider call, fails a whole batch for one bad text, embeds every chunk of"
    " a document for any change, can leave chunks of a row that was deleted meanwhile, and polls every five minutes;"
    " pgai is no longer developed, so this will not be fixed"
)


def versions(using: str) -> dict[str, str | None]:
    """The versions of Postgres, of pgvector in the database and on the server, and of the package pgai."""
    (row,) = gateway.fetch_dicts(using, "doctor_versions")
    return {**row, "pgai": package_version("pgai")}


def pgvector(using: str) -> Iterator[Finding]:
    """Known bugs of the pgvector that the server loads, and an extension that is older than its library."""
    known = versions(using)
    installed, available = known["pgvector"], known["available"]
    if installed is None:
        return  # the check E022 or a pending migration reports it
    # The server loads the library that is on its disk, whatever version the extension was created with.
    loaded = available or installed
    bugs = known_bugs(loaded)
    if bugs:
        yield Finding(
            "pgvector.bug",
            min((bug.severity for bug in bugs), key=MOST_SEVERE_FIRST.index),
            f"pgvector {loaded} has known bugs: {'; '.join(bug.what for bug in bugs)}.",
            tuple(_upgrade(known, loaded)),
        )
    if parsed(installed) < parsed(loaded):
        yield warning(
            "pgvector.update",
            f"The extension is pgvector {installed}, the library on the server is {loaded}.",
            "ALTER EXTENSION vector UPDATE;",
        )


def pgai(using: str) -> Iterator[Finding]:
    """A pgai catalog of another version than the package, and pgai's own worker, which has known bugs."""
    package, catalog = package_version("pgai"), gateway.fetch_value(using, "pgai_version")
    if catalog is None:
        yield error("pgai.version", "pgai's catalog (schema ai) is not installed.", "manage.py migrate pgknowbase")
    elif catalog != package:
        yield warning(
            "pgai.version",
            f"pgai's catalog is of version {catalog}, the installed package is {package}.",
            "Upgrade the older one: pip install --upgrade pgai, or python -m pgai install -d with the database's URL.",
        )
    if gateway.fetch_value(using, "pgai_workers"):
        yield warning(
            "pgai.worker",
            f"pgai's own worker is running, which has known bugs: {PGAI_WORKER_BUGS}.",
            "Stop it, and run manage.py pgknowbase_worker without --relay-only.",
        )
    else:
        yield info(
            "pgai.worker",
            f"pgai {package}: do not run its own worker if you can avoid it: {PGAI_WORKER_BUGS}.",
            "Nothing to do: manage.py pgknowbase_worker has none of these bugs.",
        )


def known_bugs(loaded: str) -> list[KnownBug]:
    """The known bugs of the pgvector version ``loaded``."""
    return [bug for bug in PGVECTOR_BUGS if parsed(loaded) < bug.fixed_in]


def parsed(text: str) -> tuple[int, ...]:
    """A version as numbers; a suffix such as ``-dev`` is ignored."""
    numbers = text.partition("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def _upgrade(known: dict[str, str | None], loaded: str) -> Iterator[str]:
    major = str(known["postgres"]).partition(".")[0]
    yield (
        f"Install pgvector {RECOMMENDED_PGVECTOR} or newer on the server, such as the package"
        f" postgresql-{major}-pgvector, or the image pgvector/pgvector."
    )
    yield "ALTER EXTENSION vector UPDATE;"
    if parsed(loaded) < REINDEX_BELOW:
        yield "Then REINDEX INDEX CONCURRENTLY each HNSW index: it may be corrupt."


# Privileges


def grants(using: str) -> Iterator[Finding]:
    """Missing privileges on schemas, tables, sequences and functions. Only the worker needs those for writing."""
    quoted = [connections[using].ops.quote_name(table) for table in sorted(_tables_to_read())]
    for row in gateway.fetch_dicts(using, "doctor_rights", read_tables=quoted):
        kind, privileges, names = row["kind"], row["privileges"], row["names"]
        is_for_writing = set(privileges.split(", ")) <= WRITE_PRIVILEGES
        needed_by = "the worker needs" if is_for_writing else "searches, the worker or this command need"
        yield (warning if is_for_writing else error)(
            "grant.missing",
            f"The role {row['role']} lacks {privileges}, which {needed_by}, on {_counted(kind, len(names))}:"
            f" {listed(names)}.",
            f"GRANT {privileges} ON {kind} {', '.join(names)} TO {row['role']};",
        )


def _tables_to_read() -> set[str]:
    """The tables that rendering and reactions read: watched tables, and those that watched relations lead to."""
    tables = {model._meta.db_table for model in (ContentType, MigrationRecorder.Migration)}
    for source in sources():
        tables |= {watch.table for watch in source.watches}
        steps = [step for path in source.paths for step in walk(source.model, path)]
        tables |= {step.related_model._meta.db_table for step in steps if step.is_relation}
    return tables | {reaction.model._meta.db_table for reaction in valid_reactions().values()}


def _counted(kind: str, count: int) -> str:
    return f"{count} {kind.lower()}{'' if count == 1 else 's'}"


# Replication


def replication(using: str) -> Iterator[Finding]:
    """A standby; sessions as replicas, whose triggers do not fire; watched tables that logical replication writes."""
    (row,) = gateway.fetch_dicts(using, "doctor_server")
    if row["is_standby"]:
        yield warning(
            "server.standby",
            f"Database {using!r} is a standby: searches work, the worker does not.",
            "Let PGKNOWBASE['DATABASE'] of the worker name the primary.",
        )
    if row["replication_role"] == "replica":
        reset = row["resets"] or [f"ALTER ROLE {row['role']} RESET session_replication_role;"]
        yield error(
            "server.triggers", "session_replication_role is 'replica' here, so no capture trigger fires.", *reset
        )
    elif row["resets"]:
        yield warning(
            "server.triggers",
            "session_replication_role is set to 'replica' for some roles: their writes are not captured.",
            *row["resets"],
        )
    watched = {
        source.label for source in sources() if any(watch.table in row["replicated"] for watch in source.watches)
    }
    if watched:
        yield warning(
            "server.replicated",
            f"Logical replication writes to watched tables of {listed(sorted(watched))} without firing triggers.",
            *(f"manage.py sync_external_models {label} --repair  # regularly" for label in sorted(watched)),
        )
