"""The replicas of the database: what each of them is, and how far it is behind."""

from collections.abc import Iterator

from django.db import DatabaseError, InterfaceError

from pgknowbase.core import gateway
from pgknowbase.operations.doctor.findings import Finding, duration, error, info, warning
from pgknowbase.replicas.servers import position, replicas_of

# Seconds by which a replica may be behind.
MOST_BEHIND = 60


def replicas(using: str) -> Iterator[Finding]:
    """Replicas that searches cannot or should not read."""
    names = replicas_of(using)
    if not names:
        return
    primary = position(using)
    for alias in names:
        try:
            found = position(alias)
            behind, is_paused = gateway.fetch(alias, "doctor_replica")[0] if found.standby else (None, False)
        except (DatabaseError, InterfaceError) as unreachable:
            reason = str(unreachable).strip().splitlines()[0]
            yield warning(
                "replica.unreachable",
                f"The replica {alias!r} does not answer: {reason}.",
                "Start it, or take it out of REPLICAS; until then others answer.",
            )
            continue
        if not found.standby:
            yield error(
                "replica.promoted",
                f"The replica {alias!r} is not a standby: it was promoted, or never was one. Searches do not ask it.",
                f"Make it a replica of {using!r} anew, or correct DATABASES.",
            )
        elif found.system != primary.system:
            yield error(
                "replica.cluster",
                f"The replica {alias!r} follows another cluster than {using!r}. Searches do not ask it.",
                "Correct DATABASES or REPLICAS.",
            )
        elif (found.lsn or 0) < (primary.lsn or 0) and (is_paused or (behind or 0) > MOST_BEHIND):
            yield warning(
                "replica.behind",
                f"The replica {alias!r} is {duration(behind or 0)} behind{', and its replay is paused' * is_paused}.",
                "SELECT pg_wal_replay_resume();  -- on the replica"
                if is_paused
                else "See its log and pg_stat_replication.",
            )
        elif found.timeline is None:
            yield info(
                "replica.timeline",
                f"The replica {alias!r} does not say which timeline it receives, so searches with a token ask"
                f" {using!r} too.",
                "GRANT pg_read_all_stats TO the role of DATABASES; see docs/scaling.md.",
            )
