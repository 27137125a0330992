"""Indexes that Postgres does not use."""

from collections.abc import Iterator

from pgknowbase import gateway
from pgknowbase.doctor.findings import Finding, error, info
from pgknowbase.sql_files import read_sql


def invalid(using: str) -> Iterator[Finding]:
    """Invalid indexes of pgknowbase's tables: a build that failed, or one that is under way."""
    for row in gateway.fetch_dicts(using, read_sql("10_doctor/indexes.sql")):
        what = f"The index {row['name']} of {row['on_table']} is invalid, so it is maintained and not used"
        if row["is_building"]:
            yield info("index.invalid", f"The index {row['name']} of {row['on_table']} is being built.", "Wait for it.")
        elif row["is_leftover"]:
            yield error("index.invalid", f"{what}: a rebuild failed.", f"DROP INDEX CONCURRENTLY {row['name']};")
        else:
            yield error("index.invalid", f"{what}: its build failed.", f"REINDEX INDEX CONCURRENTLY {row['name']};")
