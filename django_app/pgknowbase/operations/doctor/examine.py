"""The doctor: runs all examinations of a project and its database, and changes nothing.

Each examination runs in a read-only transaction that is rolled back, with a statement timeout. One that fails, because
the role lacks rights for instance, becomes a finding, and the others still run.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from django.core.checks import ERROR, WARNING, CheckMessage, run_checks
from django.db import DatabaseError, connections, transaction

from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.database_errors import explain
from pgknowbase.operations.doctor import cluster, replicas, server, storage, triggers, work
from pgknowbase.operations.doctor.findings import MOST_SEVERE_FIRST, Examination, Finding, Severity, warning

TIMEOUT = "30s"
EXAMINATIONS: tuple[Examination, ...] = (
    server.pgvector,
    server.pgai,
    triggers.migrations,
    triggers.triggers,
    storage.invalid_indexes,
    storage.spaces,
    storage.copies,
    storage.search,
    server.grants,
    work.failures,
    work.providers,
    work.caps,
    work.models,
    work.lag,
    work.former,
    work.unindexed,
    work.words,
    work.versions,
    work.unknown_reactions,
    work.unwatched,
    work.workers,
    server.replication,
    replicas.replicas,
    cluster.servers,
    storage.tables,
    storage.vacuum,
)
# With wrong settings, without pgtrigger, or on a database that is not a supported Postgres, nothing else can be asked.
FATAL_CHECKS = {f"pgknowbase.{number}" for number in ("E001", "E002", "E003", "E023")}


def examine(using: str) -> list[Finding]:
    """All problems of the project and its database ``using``, the most severe first."""
    found = list(_system_checks(using))
    if _is_reachable(using) and not any(finding.id in FATAL_CHECKS for finding in found):
        for examination in EXAMINATIONS:
            found += _run(examination, using)
    found = [replace(finding, fix=tuple(_in_database(step, using) for step in finding.fix)) for finding in found]
    return sorted(found, key=lambda finding: MOST_SEVERE_FIRST.index(finding.severity))


def _in_database(step: str, using: str) -> str:
    """A step of a repair with the database in its command."""
    program, _, command = step.partition(" ")
    return command_line(command, using) if program == "manage.py" else step


def exit_code(found: Iterable[Finding], *, fail_on: Severity) -> int:
    """2 if there are errors; 1 if there are warnings and ``fail_on`` is WARNING; else 0."""
    severities = {finding.severity for finding in found}
    if Severity.ERROR in severities:
        return 2
    return int(fail_on == Severity.WARNING and Severity.WARNING in severities)


def _system_checks(using: str) -> Iterator[Finding]:
    """What pgknowbase's system checks report, those of the database included."""
    for message in run_checks(tags=["pgknowbase"], databases=[using]):
        if not message.is_silenced():
            yield Finding(str(message.id), _severity(message), _what(message), (message.hint or "See docs/checks.md.",))


def _severity(message: CheckMessage) -> Severity:
    if message.level >= ERROR:
        return Severity.ERROR
    return Severity.WARNING if message.level >= WARNING else Severity.INFO


def _what(message: CheckMessage) -> str:
    label = getattr(getattr(message.obj, "_meta", None), "label", None)
    return f"{label}: {message.msg}" if label and repr(label) not in message.msg else message.msg


def _is_reachable(using: str) -> bool:
    try:
        connections[using].ensure_connection()
    except DatabaseError:
        return False  # the system check E021 reports it
    return True


def _run(examination: Examination, using: str) -> list[Finding]:
    try:
        with transaction.atomic(using=using):
            gateway.fetch(using, "set_read_only")
            gateway.fetch(using, "set_statement_timeout", timeout=TIMEOUT)
            found = list(examination(using))
            transaction.set_rollback(True, using=using)
    except DatabaseError as error:
        reason = str(error).strip().splitlines()[0]
        what, remedy = explain(error, using) or (f"{reason}.", "Correct that, and run the doctor again.")
        name = f"{examination.__module__.rpartition('.')[2]}.{examination.__name__}"
        return [warning("examination.failed", f"The examination {name!r} could not run: {what}", remedy)]
    return found
