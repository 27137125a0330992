import shlex
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from pgknowbase.models import OutboxEvent
from pgknowbase.operations.doctor.examine import examine
from pgknowbase.operations.doctor.findings import Severity


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        return cursor.fetchall() if cursor.description else None


def value(statement, *params):
    ((found,),) = sql(statement, *params)
    return found


def findings(kind=None):
    """What the doctor finds, of one kind or all that is worse than good to know."""
    found = examine("default")
    return [each for each in found if (each.id == kind if kind else each.severity is not Severity.INFO)]


def repair(finding):
    """Follow the steps of the finding."""
    for step in finding.fix:
        step = step.partition("  #")[0]
        if step.startswith("manage.py "):
            call_command(*shlex.split(step)[1:], stdout=StringIO(), stderr=StringIO(), verbosity=0)
        else:
            assert step.endswith(";"), step
            sql(step)


@pytest.fixture
def healthy(transactional_db):
    """A database that the doctor finds nothing in, which must be so again after the test."""
    OutboxEvent.objects.all().delete()
    sql("VACUUM pgknowbase_outbox")
    yield
    OutboxEvent.objects.all().delete()
    assert findings() == []


def the(kind):
    """The only finding of a kind."""
    (finding,) = findings(kind)
    return finding
