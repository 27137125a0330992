"""A watched column gets another type: the triggers that read it stay what they were."""

import re

import pytest

from tests.integration.migrations.lab import WORK

STATUS = "SELECT tgenabled FROM pg_trigger WHERE tgname LIKE 'pgtrigger_pgknowbase_update_author%%'"


def listed(lab):
    return re.sub(r"\x1b\[\d+m", "", lab("pgtrigger ls"))


CHANGES = {
    "type": ("name = models.CharField(max_length=50)", "name = models.CharField(max_length=80)"),
    "collation": ("name = models.CharField(max_length=50)", "name = models.CharField(max_length=50, db_collation='C')"),
    "key": ("class Author(models.Model):", "class Author(models.Model):\n    id = models.AutoField(primary_key=True)"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_triggers_are_as_before(lab, what):
    lab.change(
        ("    name = models.TextField()", "    name = models.CharField(max_length=50)"),
        ("class Note(", "    class Meta:\n        db_table = 'My authors'\n\nclass Note("),
    )
    lab("migrate -v0")
    lab("pgtrigger disable lab.Note:pgknowbase_delete_author")
    before = listed(lab)
    assert not re.search("OUTDATED|PRUNE|UNINSTALLED", before)
    lab.change(CHANGES[what])
    lab("migrate -v0")
    assert listed(lab) == before
    assert "DISABLED" in before
    lab("pgtrigger enable", "pgknowbase_doctor")
    lab.write("UPDATE \"My authors\" SET name = 'Bea'")
    lab(WORK)
    assert "Bea" in lab.content()[1]
