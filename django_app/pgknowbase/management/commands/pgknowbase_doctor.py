"""``manage.py pgknowbase_doctor``: examine the project and its database."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connections

from pgknowbase.conf import get_settings
from pgknowbase.core.commands import KnowbaseCommand, add_database, add_format, as_json, database_alias
from pgknowbase.errors import PgKnowbaseError
from pgknowbase.operations.doctor.examine import examine, exit_code
from pgknowbase.operations.doctor.findings import Finding, Severity
from pgknowbase.operations.doctor.server import versions


class Command(KnowbaseCommand):
    help = "Examine the project and its database; print what is wrong and how to repair it. Changes nothing."
    # The examination runs the system checks itself and reports what they find.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_format(parser)
        add_database(parser)
        parser.add_argument(
            "--fail-on",
            choices=(Severity.ERROR, Severity.WARNING),
            default=Severity.ERROR,
            help="'error', or 'warning' to exit with 1 for warnings too",
        )

    def handle(self, *, format: str, database: str | None, fail_on: str, **options: Any) -> None:
        """Examine, and exit with 2 for errors, or 1 for warnings with ``--fail-on warning``."""
        using = database_alias(database or _configured_database())
        found = examine(using)
        known = versions(using) if connections[using].is_usable() else {}
        code = exit_code(found, fail_on=Severity(fail_on))
        if format == "json":
            findings = [finding.as_dict() for finding in found]
            self.stdout.write(as_json({"versions": known, "findings": findings, "exit_code": code}))
        else:
            self._write(known, found)
        if code:
            raise CommandError(_summary(found), returncode=code)

    def _write(self, versions: dict[str, str | None], found: list[Finding]) -> None:
        self.stdout.write(", ".join(f"{name} {value or 'none'}" for name, value in versions.items()))
        for finding in found:
            self.stdout.write(f"\n{finding.severity.upper()} {finding.id}: {finding.what}")
            for step in finding.fix:
                self.stdout.write(f"    {step}")
        self.stdout.write(f"\n{_summary(found)}")


def _configured_database() -> str:
    try:
        return get_settings().database
    except PgKnowbaseError:
        return "default"  # wrong settings are a finding


def _summary(found: list[Finding]) -> str:
    counts = {severity: sum(finding.severity is severity for finding in found) for severity in Severity}
    return ", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items()) + "."
