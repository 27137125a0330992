"""``manage.py pgknowbase_doctor``: what is wrong with the project and its database, and what mends it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import connections

from pgknowbase.conf import get_settings
from pgknowbase.doctor.examine import examine, exit_code
from pgknowbase.doctor.findings import Finding, Severity
from pgknowbase.doctor.versions import facts
from pgknowbase.errors import PgKnowbaseError
from pgknowbase.management.arguments import as_json
from pgknowbase.management.base import KnowbaseCommand


class Command(KnowbaseCommand):
    help = "Examine the project and its database, and say what is wrong and what mends it. Changes nothing."
    # They are among what is examined.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("table", "json"), default="table")
        parser.add_argument("--database", metavar="ALIAS", help="default: PGKNOWBASE['DATABASE']")
        parser.add_argument("--fail-on", choices=(Severity.ERROR, Severity.WARNING), default=Severity.ERROR)

    def handle(self, *, format: str, database: str | None, fail_on: str, **options: Any) -> None:
        using = database or _database()
        if using not in connections:
            raise CommandError(f"{using!r} is no key of DATABASES: use one of {', '.join(connections)}.")
        found = examine(using)
        versions = facts(using) if connections[using].is_usable() else {}
        code = exit_code(found, fail_on=Severity(fail_on))
        if format == "json":
            findings = [finding.as_dict() for finding in found]
            self.stdout.write(as_json({"versions": versions, "findings": findings, "exit_code": code}))
        else:
            self._write(versions, found)
        if code:
            raise CommandError(_summary(found), returncode=code)

    def _write(self, versions: dict[str, str | None], found: list[Finding]) -> None:
        self.stdout.write(", ".join(f"{name} {value or 'none'}" for name, value in versions.items()))
        for finding in found:
            self.stdout.write(f"\n{finding.severity.upper()} {finding.id}: {finding.what}")
            for step in finding.fix:
                self.stdout.write(f"    {step}")
        self.stdout.write(f"\n{_summary(found)}")


def _database() -> str:
    try:
        return get_settings().database
    except PgKnowbaseError:
        return "default"


def _summary(found: list[Finding]) -> str:
    counts = {severity: sum(finding.severity is severity for finding in found) for severity in Severity}
    return ", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items()) + "."
