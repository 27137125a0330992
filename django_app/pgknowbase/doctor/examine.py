"""Running every examination; one that cannot run is a finding itself."""

from collections.abc import Iterable

from django.db import DatabaseError, connections, transaction

from pgknowbase import gateway
from pgknowbase.database_errors import explain
from pgknowbase.doctor import indexes, project, rights, server, space, storage, triggers, versions, work
from pgknowbase.doctor.findings import SEVEREST_FIRST, Examination, Finding, Severity, warning

TIMEOUT = "30s"
EXAMINATIONS: tuple[Examination, ...] = (
    versions.pgvector,
    versions.pgai,
    triggers.migrations,
    triggers.triggers,
    indexes.invalid,
    space.spaces,
    space.search,
    rights.grants,
    work.failures,
    work.lag,
    work.workers,
    server.silence,
    storage.tables,
    storage.horizon,
)


def examine(using: str) -> list[Finding]:
    """Everything that is wrong with the project and its database ``using``, the worst first."""
    found = list(project.checks(using))
    if _is_reachable(using) and not any(finding.id in project.FATAL for finding in found):
        for examination in EXAMINATIONS:
            found += _carefully(examination, using)
    return sorted(found, key=lambda finding: SEVEREST_FIRST.index(finding.severity))


def exit_code(found: Iterable[Finding], *, fail_on: Severity) -> int:
    """2 where there are errors, 1 where there are warnings and ``fail_on`` says that they count, else 0."""
    severities = {finding.severity for finding in found}
    if Severity.ERROR in severities:
        return 2
    return int(fail_on == Severity.WARNING and Severity.WARNING in severities)


def _is_reachable(using: str) -> bool:
    try:
        connections[using].ensure_connection()
    except DatabaseError:
        return False  # the check E021 says it
    return True


def _carefully(examination: Examination, using: str) -> list[Finding]:
    """Run it read-only, in a transaction that is rolled back whatever happens."""
    try:
        with transaction.atomic(using=using):
            gateway.fetch(using, gateway.READ_ONLY)
            gateway.fetch(using, gateway.STATEMENT_TIMEOUT, TIMEOUT)
            found = list(examination(using))
            transaction.set_rollback(True, using=using)
    except DatabaseError as fault:
        reason = str(fault).strip().splitlines()[0]
        told, remedy = explain(fault, using) or (f"{reason}.", "Mend that, and examine again.")
        name = f"{examination.__module__.rpartition('.')[2]}.{examination.__name__}"
        return [warning("examination.failed", f"The examination {name!r} could not run: {told}", remedy)]
    return found
