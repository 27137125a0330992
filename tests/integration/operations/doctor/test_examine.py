"""Examinations are run with care: read-only, for a while, and none stops the others."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from pgknowbase.models import OutboxEvent
from pgknowbase.operations.doctor import examine
from pgknowbase.operations.doctor.findings import Severity, error, info, warning
from tests.integration.operations.doctor.conftest import sql

pytestmark = pytest.mark.django_db(transaction=True)


def writes(using):
    OutboxEvent.objects.using(using).create(source="written.Here", op="T")
    return []


def sleeps(using):
    sql("SELECT pg_sleep(30)")
    return []


def lacks_a_table(using):
    sql("SELECT * FROM pgknowbase_not_there")
    return []


def finds(using):
    return [warning("some.thing", "Something.", "Repair it.")]


@pytest.mark.parametrize(
    ("examination", "told", "remedy"),
    [
        (writes, "read-only transaction", "Correct that"),
        (sleeps, "statement timeout", "Correct that"),
        (lacks_a_table, "does not exist", "Run 'manage.py migrate'."),
    ],
)
def test_one_that_cannot_run_is_a_finding(monkeypatch, examination, told, remedy):
    monkeypatch.setattr(examine, "TIMEOUT", "200ms")
    monkeypatch.setattr(examine, "EXAMINATIONS", (examination, finds))
    failed, other = examine.examine("default")
    assert (failed.id, failed.severity) == ("examination.failed", Severity.WARNING)
    assert f"'test_examine.{examination.__name__}' could not run" in failed.what
    assert told in failed.what
    assert failed.fix[0].startswith(remedy)
    assert other.id == "some.thing"
    assert not OutboxEvent.objects.filter(source="written.Here").exists()


def test_the_worst_first(monkeypatch):
    found = [info("a.a", ""), warning("b.b", ""), error("c.c", "")]
    monkeypatch.setattr(examine, "EXAMINATIONS", (lambda using: found,))
    assert [each.id for each in examine.examine("default")] == ["c.c", "b.b", "a.a"]


@pytest.mark.parametrize(
    ("made", "fail_on", "code"),
    [
        ([info], "warning", 0),
        ([info, warning], "error", 0),
        ([info, warning], "warning", 1),
        ([warning, error], "error", 2),
        ([warning, error], "warning", 2),
    ],
)
def test_exit_codes(monkeypatch, made, fail_on, code):
    found = [make("some.thing", "Something.", "Repair it.") for make in made]
    monkeypatch.setattr(examine, "EXAMINATIONS", (lambda using: found,))
    if code == 0:
        call_command("pgknowbase_doctor", fail_on=fail_on, stdout=StringIO())
        return
    with pytest.raises(CommandError) as failure:
        call_command("pgknowbase_doctor", fail_on=fail_on, stdout=StringIO())
    assert failure.value.returncode == code


def test_database_that_cannot_be_reached(monkeypatch):
    connections["default"].close()
    monkeypatch.setitem(connections["default"].settings_dict, "HOST", "/nowhere")
    (finding,) = examine.examine("default")
    assert finding.id == "pgknowbase.E021"
    with pytest.raises(CommandError) as failure:
        call_command("pgknowbase_doctor", stdout=StringIO())
    assert failure.value.returncode == 2


def test_unknown_alias():
    with pytest.raises(CommandError, match="'other' is not a key of DATABASES: use one of default"):
        call_command("pgknowbase_doctor", database="other", stdout=StringIO())
