"""Where this database stands among servers, and what keeps its triggers silent."""

from collections.abc import Iterator

from pgknowbase import gateway
from pgknowbase.doctor.findings import Finding, error, named, warning
from pgknowbase.registry import sources
from pgknowbase.sql_files import read_sql


def silence(using: str) -> Iterator[Finding]:
    """A standby, sessions whose triggers do not fire, and tables that logical replication fills."""
    (row,) = gateway.fetch_dicts(using, read_sql("10_doctor/server.sql"))
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
            "session_replication_role is set to 'replica' for some roles: what they write is not noticed.",
            *row["resets"],
        )
    watched = {
        source.label for source in sources() if any(watch.table in row["replicated"] for watch in source.watches)
    }
    if watched:
        yield warning(
            "server.replicated",
            f"Logical replication writes to watched tables of {named(sorted(watched))}, and fires no triggers.",
            *(f"manage.py sync_external_models {label} --repair  # regularly" for label in sorted(watched)),
        )
