"""pgvector and pgai: what runs here, and which faults are known of it."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import NamedTuple

from pgknowbase import gateway
from pgknowbase.doctor.findings import SEVEREST_FIRST, Finding, Severity, error, info, warning
from pgknowbase.sql_files import read_sql


class Fault(NamedTuple):
    """A fault of pgvector, from its changelog, and the version that has it no more."""

    mended_in: tuple[int, ...]
    severity: Severity
    what: str


FAULTS = (
    Fault(
        (0, 8, 2),
        Severity.ERROR,
        "a parallel build of an HNSW index overflows a buffer, which can crash the server or leak data of other tables"
        " (CVE-2026-3172, mended in 0.8.2)",
    ),
    Fault(
        (0, 8, 3),
        Severity.ERROR,
        "VACUUM beside inserts can corrupt an HNSW index (mended in 0.8.3)",
    ),
    Fault(
        (0, 8, 4),
        Severity.WARNING,
        "VACUUM of an HNSW index can fail with 'hnsw graph not repaired', and inserts beside it can fail"
        " (mended in 0.8.4)",
    ),
    Fault(
        (0, 8, 6),
        Severity.INFO,
        "an IVFFlat build on a 32-bit system writes out of bounds (CVE-2026-18022), IVFFlat scans in nested loops hold"
        " on to memory, and a cast from array to sparsevec has no bound (mended in 0.8.6; pgknowbase uses neither"
        " IVFFlat nor sparsevec)",
    ),
)
SOUND = "0.8.6"
REBUILD_BELOW = (0, 8, 3)
PGAI_FAULTS = (
    "it keeps a transaction open over each provider call, fails a whole batch for one bad text, embeds every chunk of a"
    " document for any change, can leave chunks of a row that was deleted meanwhile, and looks every five minutes;"
    " nobody will mend it, pgai is no longer developed"
)


def facts(using: str) -> dict[str, str | None]:
    """The versions of Postgres, of pgvector here and on the server, and of the package pgai."""
    (row,) = gateway.fetch_dicts(using, read_sql("10_doctor/versions.sql"))
    return {**row, "pgai": version("pgai")}


def pgvector(using: str) -> Iterator[Finding]:
    """Known faults of the pgvector that is loaded, and an extension that is older than it."""
    known = facts(using)
    installed, available = known["pgvector"], known["available"]
    if installed is None:
        return  # the check E022 or a missing migration says it
    loaded = available or installed
    faults = faults_of(loaded)
    if faults:
        yield Finding(
            "pgvector.fault",
            min((fault.severity for fault in faults), key=SEVEREST_FIRST.index),
            f"pgvector {loaded} has known faults: {'; '.join(fault.what for fault in faults)}.",
            tuple(_upgrade(known, loaded)),
        )
    if parsed(installed) < parsed(loaded):
        yield warning(
            "pgvector.update",
            f"The extension is pgvector {installed}, the server's files are {loaded}.",
            "ALTER EXTENSION vector UPDATE;",
        )


def pgai(using: str) -> Iterator[Finding]:
    """A catalog of another version than the package, and pgai's own worker, which has faults."""
    package, catalog = version("pgai"), gateway.fetch_value(using, gateway.PGAI_VERSION)
    if catalog is None:
        yield error("pgai.version", "pgai's catalog (schema ai) is not installed.", "manage.py migrate pgknowbase")
    elif catalog != package:
        yield warning(
            "pgai.version",
            f"pgai's catalog is of version {catalog}, the installed package is {package}.",
            "Upgrade the older one: pip install --upgrade pgai, or python -m pgai install -d with the database's URL.",
        )
    if gateway.fetch_value(using, gateway.PGAI_WORKERS):
        yield warning(
            "pgai.worker",
            f"pgai's own worker runs, which has known faults: {PGAI_FAULTS}.",
            "Stop it, and run manage.py pgknowbase_worker without --relay-only.",
        )
    else:
        yield info(
            "pgai.worker",
            f"pgai {package}: do not run its own worker if you can avoid it: {PGAI_FAULTS}.",
            "Nothing to do: manage.py pgknowbase_worker has none of these faults.",
        )


def faults_of(loaded: str) -> list[Fault]:
    """The known faults that pgvector ``loaded`` still has."""
    return [fault for fault in FAULTS if parsed(loaded) < fault.mended_in]


def parsed(text: str) -> tuple[int, ...]:
    """A version to compare with; what follows the numbers counts for nothing."""
    numbers = text.partition("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def _upgrade(known: dict[str, str | None], loaded: str) -> Iterator[str]:
    major = str(known["postgres"]).partition(".")[0]
    yield (
        f"Install pgvector {SOUND} or newer on the server, such as the package postgresql-{major}-pgvector, or the"
        " image pgvector/pgvector."
    )
    yield "ALTER EXTENSION vector UPDATE;"
    if parsed(loaded) < REBUILD_BELOW:
        yield "Then REINDEX INDEX CONCURRENTLY each HNSW index: it may be corrupt."
