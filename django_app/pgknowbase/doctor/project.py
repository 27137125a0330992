"""Settings, models and connection: the system checks say it all."""

from collections.abc import Iterator

from django.core.checks import ERROR, WARNING, CheckMessage, run_checks

from pgknowbase.doctor.findings import Finding, Severity

# Nothing can be asked of such a database.
FATAL = {f"pgknowbase.{number}" for number in ("E001", "E002", "E003", "E023")}


def checks(using: str) -> Iterator[Finding]:
    """What pgknowbase's system checks find, those of the database included."""
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
