"""A watched column gets another type: the triggers that read it stay what they were."""

import re

from tests.integration.migrations.lab import WORK

STATUS = "SELECT tgenabled FROM pg_trigger WHERE tgname LIKE 'pgtrigger_pgknowbase_update_author%%'"


def listed(lab, *commands):
    return re.sub(r"\x1b\[\d+m", "", lab(*commands, "pgtrigger ls"))


CHANGES = {
    "type": ("name = models.CharField(max_length=50)", "name = models.CharField(max_length=80)"),
    "collation": ("name = models.CharField(max_length=80)", "name = models.CharField(max_length=80, db_collation='C')"),
    "key": ("class Author(models.Model):", "class Author(models.Model):\n    id = models.AutoField(primary_key=True)"),
}


def test_triggers_are_as_before(lab):
    lab.change(
        ("    name = models.TextField()", "    name = models.CharField(max_length=50)"),
        ("class Note(", "    class Meta:\n        db_table = 'My authors'\n\nclass Note("),
    )
    lab("migrate -v0", "pgtrigger disable lab.Note:pgknowbase_delete_author")
    before = listed(lab)
    assert not re.search("OUTDATED|PRUNE|UNINSTALLED", before)
    assert "DISABLED" in before
    for what, change in CHANGES.items():
        lab.change(change)
        assert listed(lab, "migrate -v0") == before, what
    lab("pgtrigger enable", "pgknowbase_doctor", ["sql", "UPDATE \"My authors\" SET name = 'Bea'"], WORK)
    assert "Bea" in lab.content()[1]
