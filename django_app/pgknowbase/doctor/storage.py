"""Statistics of the planner, dead rows, and who keeps VACUUM from removing them."""

from collections.abc import Iterator
from typing import Any

from pgknowbase import gateway
from pgknowbase.doctor.findings import Finding, ago, info, warning
from pgknowbase.sql_files import read_sql

LARGE = 1_000_000  # bytes of a table whose plans matter
MANY_DEAD = 50_000
LONG_HELD = 600.0  # seconds of a snapshot


def tables(using: str) -> Iterator[Finding]:
    """Large tables that were never analysed, tables full of dead rows, and tables that autovacuum leaves out."""
    for row in gateway.fetch_dicts(using, read_sql("10_doctor/tables.sql")):
        name = row["name"]
        if row["bytes"] >= LARGE and not row["has_statistics"]:
            yield warning(
                "table.statistics",
                f"The table {name} has {row['bytes'] / 1e6:,.0f} MB and was never analysed: plans are guesses.",
                f"ANALYZE {name};",
            )
        if row["dead"] >= MANY_DEAD and row["dead"] > row["live"]:
            yield warning(
                "table.bloat",
                f"The table {name} holds {row['dead']:,} dead rows beside {row['live']:,} live ones: each look at it"
                " reads them all. If VACUUM removes none, see vacuum.held.",
                f"VACUUM (ANALYZE) {name};",
            )
        if row["is_left_out"]:
            yield warning(
                "table.autovacuum",
                f"Autovacuum is off for the table {name}, which changes all the time.",
                f"ALTER TABLE {name} RESET (autovacuum_enabled);",
            )


def horizon(using: str) -> Iterator[Finding]:
    """Old snapshots, prepared transactions and unread slots, which let dead rows of the outbox pile up."""
    for row in gateway.fetch_dicts(using, read_sql("10_doctor/horizon.sql")):
        if row["seconds"] is None or row["seconds"] > LONG_HELD:
            yield _held(row)
    if not gateway.fetch_value(using, gateway.SEES_SESSIONS):
        yield info(
            "vacuum.hidden",
            "This role cannot see how old the transactions of other roles are.",
            "GRANT pg_read_all_stats TO CURRENT_USER;",
        )


def _held(row: dict[str, Any]) -> Finding:
    name, who = row["name"], row["who"]
    literal = "'" + name.replace("'", "''") + "'"
    if row["kind"] == "session":
        what = f"The session with pid {name} ({who}) has had a transaction open for {ago(row['seconds'])}"
        fix = f"SELECT pg_terminate_backend({name});"
    elif row["kind"] == "prepared":
        what = f"The prepared transaction {name!r} of {who} is {ago(row['seconds'])} old"
        fix = f"ROLLBACK PREPARED {literal};"
    else:
        what = f"Nobody reads the replication slot {name!r} ({who}), which also keeps WAL"
        fix = f"SELECT pg_drop_replication_slot({literal});"
    return warning("vacuum.held", f"{what}: until it ends, VACUUM cannot remove what died since.", fix)
