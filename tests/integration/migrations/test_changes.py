"""What projects do to their models, each in a real project by makemigrations and migrate: the index follows."""

import re

from tests.integration.migrations.lab import MODELS, SHOW, WORK

PROXY = """
class Special(Page):
    class Meta:
        proxy = True
    class ExternalDataMeta:
        watch_fields = ["body"]
"""
INDEXED = "SELECT count(*) FROM pgknowbase_document"


def check(lab, *commands):
    """After these commands, migrations, triggers and index are as the models say; returns what was printed."""
    checks = ("makemigrations --check --dry-run", "sync_external_models --check", "pgknowbase_doctor", "pgtrigger ls")
    printed = lab(*commands, *checks)
    assert not re.search("OUTDATED|PRUNE|UNINSTALLED", printed)
    return printed


def write(sql):
    return ["sql", sql]


def migrations(lab, app="lab"):
    return sorted((lab.directory / app / "migrations").glob("0*.py"))


def test_table_of_the_model_is_renamed(lab):
    lab.write("UPDATE lab_note SET text = 'waits'")
    lab.change(("class Page(", "    class Meta:\n        db_table = 'other notes'\n\nclass Page("))
    assert "waits" in lab("migrate -v0", WORK, SHOW)
    assert "newer" in check(lab, write("UPDATE \"other notes\" SET text = 'newer'"), WORK, SHOW)
    check(lab, "migrate -v0 lab 0002", "migrate -v0", WORK)


def test_related_model_is_renamed(lab):
    lab.write("UPDATE lab_author SET name = 'Bea'")
    lab.change(("class Author(", "class Writer("), ("ForeignKey(Author", "ForeignKey(Writer"))
    assert "Bea" in lab("migrate -v0", WORK, SHOW)
    assert "Cid" in check(lab, write("UPDATE lab_writer SET name = 'Cid'"), WORK, SHOW)


def test_many_to_many_relation_with_renamed_ends_and_table(lab):
    lab.change(
        ("class Note(", "class Tag(models.Model):\n    name = models.TextField()\n\nclass Note("),
        ("    author = models", "    tags = models.ManyToManyField(Tag)\n    author = models"),
        ('"text", ', '"text", "tags__name", '),
    )
    tag = "INSERT INTO lab_tag (name) VALUES ('red'); INSERT INTO lab_note_tags (note_id, tag_id) VALUES (1, 1)"
    assert "red" in lab("migrate -v0", write(tag), WORK, SHOW)
    lab.change(("class Tag(", "class Label("), ("ManyToManyField(Tag", "ManyToManyField(Label"))
    lab.change(("class Note(", "class Memo("))
    lab.change(("ManyToManyField(Label)", "ManyToManyField(Label, db_table='memo labels')"))
    assert "blue" in lab("migrate -v0", WORK, write("UPDATE lab_label SET name = 'blue'"), WORK, SHOW)
    left = check(lab, write('DELETE FROM "memo labels"'), WORK, SHOW)
    assert "words" in left
    assert "blue" not in left


def test_rename_by_hand_with_a_data_migration_before_the_triggers_follow(lab):
    """The old triggers write under the old name until they are replaced."""
    lab.write("UPDATE lab_author SET name = 'Bea'")
    last = migrations(lab)[-1]
    last.with_name("0003_memo.py").write_text(
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        f"    dependencies = [('lab', '{last.stem}')]\n"
        "    operations = [\n"
        "        migrations.RenameModel('Note', 'Memo'), migrations.RenameField('Memo', 'text', 'body'),\n"
        "        migrations.RunSQL(\"UPDATE lab_memo SET body = 'data'\", migrations.RunSQL.noop),\n"
        "    ]\n"
    )
    lab.change(("class Note(", "class Memo("), ("    text =", "    body ="), ('"text"', '"body"'))
    assert len(migrations(lab)) == 4
    check(lab, "migrate -v0", WORK)
    label, text = lab.content()
    assert (label, "data" in text, "Bea" in text) == ("lab.memo", True, True)
    assert lab.database.value("SELECT count(*) FROM pgknowbase_outbox") == 0


def test_squashed_migrations_on_a_fresh_database(lab, base, make_database):
    lab.change(("    text = ", "    body = "), ('"text"', '"body"'))
    lab.change(("class Note(", "class Memo("))
    lab.change(('"title", ', ""))
    lab(f"squashmigrations lab 0001 {migrations(lab)[-1].stem} --noinput", "migrate -v0")
    check(lab, WORK)
    fresh = lab.copy("fresh", make_database(template=base.name))
    fill = ["shell", "-c", "from lab.models import *; Memo.objects.create(title='t', body='b')"]
    check(fresh, "migrate -v0", fill, WORK)
    assert fresh.content()[1] == "Body: b"


def test_proxy_becomes_a_model_of_its_own(lab):
    lab.models.write_text(MODELS + PROXY)
    fill = "from lab.models import *; Special.objects.create(body='b')"
    lab("makemigrations lab", "migrate -v0", ["shell", "-c", fill], WORK)
    assert lab.database.value(INDEXED) == 3
    lab.change(("    class Meta:\n        proxy = True\n", "    extra = models.TextField(default='')\n"))
    check(lab, "migrate -v0", WORK)
    assert lab.database.value(INDEXED) == 2


def test_key_of_another_type(lab):
    lab.write("UPDATE lab_note SET text = 'waits'")
    key = "    id = models.CharField(primary_key=True, max_length=40)\n"
    lab.change(
        ("class Note(ExternalDataMixin, models.Model):\n", f"class Note(ExternalDataMixin, models.Model):\n{key}")
    )
    assert "waits" in check(lab, "migrate -v0", WORK, SHOW)


def test_renamed_owner_without_a_usual_name_is_no_owner_any_more(lab):
    owner = "    owner = models.ForeignKey('auth.User', models.SET_NULL, null=True)\n    author = models"
    lab.change(("    author = models", owner))
    user = "from django.contrib.auth.models import User; from lab.models import Note;"
    lab("migrate -v0", ["shell", "-c", f"{user} Note.objects.update(owner=User.objects.create(username='u'))"], WORK)
    owned = "SELECT count(*) FROM pgknowbase_externaldata WHERE owner_id IS NOT NULL"
    assert lab.database.value(owned) == 1
    lab.change(("    owner = models", "    keeper = models"))
    check(lab, "migrate -v0", WORK)
    assert lab.database.value(owned) == 0


def test_reversed_to_zero_and_back(lab):
    lab("migrate -v0 lab zero")
    for table in ("document", "externaldata", "chunk", "keywords", "outbox"):
        assert lab.database.value(f"SELECT count(*) FROM pgknowbase_{table}") == 0
    check(lab, "migrate -v0", WORK)
    check(lab, "migrate -v0 lab zero --fake", "migrate -v0 --fake")


def test_rows_that_no_trigger_saw_where_a_column_is_missing(lab):
    """migrate and status name such rows where they can be read, and end well where a migration was reversed."""
    before = migrations(lab)[-1].stem
    lab.change(
        (
            "    text = models.TextField()\n",
            "    text = models.TextField()\n    more = models.TextField(db_default='')\n",
        ),
        ('"text", ', '"text", "more", '),
    )
    lab("migrate -v0")
    lab.write("SET session_replication_role = replica; INSERT INTO lab_note (title, text) VALUES ('unseen', 'words')")
    assert "does not know" not in lab(f"migrate lab {before}")
    told = lab("pgknowbase_status", "migrate")
    assert "this brings them in: manage.py sync_external_models lab.Note" in told
    assert "The index does not know 1 rows of 'lab.Note'" in told


def test_migrated_by_another_alias_of_the_same_database(lab):
    """As where migrate goes past a pool: renames and what the models watch are noted all the same."""
    settings = lab.directory / "lab_settings.py"
    settings.write_text(settings.read_text() + 'DATABASES["direct"] = DATABASES["default"]\n')
    lab.change(("class Note(", "class Memo("))
    lab.change(('"text", "author__name"', '"text"'))
    check(lab, "migrate -v0 --database direct", WORK)
    assert dict(lab.database.rows("SELECT source, paths FROM pgknowbase_source"))["lab.Memo"] == ["title", "text"]
    assert lab.content()[0] == "lab.memo"


def test_moved_to_another_app_by_state_operations(lab):
    text = lab.models.read_text()
    before, after = text.index("class Note("), text.index("class Page(")
    studio = lab.directory / "studio"
    studio.mkdir()
    (studio / "__init__.py").touch()
    note = text[before:after].replace("ForeignKey(Author", "ForeignKey('lab.Author'")
    head = "from django.db import models\nfrom pgknowbase.mixins import ExternalDataMixin\n\n"
    (studio / "models.py").write_text(f"{head}{note.rstrip()}\n    class Meta:\n        db_table = 'lab_note'\n")
    lab.models.write_text(text[:before] + text[after:])
    settings = lab.directory / "lab_settings.py"
    settings.write_text(settings.read_text().replace('["lab"]', '["lab", "studio"]'))
    lab("makemigrations lab studio")
    out, into = migrations(lab)[-1], migrations(lab, "studio")[0]
    state = "migrations.SeparateDatabaseAndState(state_operations=["
    moved = re.sub(r"        RemoveSource\(.*?\),\n", "", out.read_text(), flags=re.DOTALL)
    start = moved.index("        migrations.")
    out.write_text(f"{moved[:start]}        {state}\n{moved[start:].rstrip().removesuffix(']')}])]\n")
    made = into.read_text().replace("operations = [", f"operations = [{state}").rstrip().removesuffix("]")
    rename = "pgknowbase.capture.operations.RenameSource('lab.Note', 'studio.Note')"
    into.write_text(f"import pgknowbase.capture.operations\n{made}]), {rename}]\n")
    lab.write("UPDATE lab_note SET text = 'waits'")
    lab("migrate -v0", WORK)
    label, content = lab.content()
    assert (label, "waits" in content) == ("studio.note", True)
    assert "newer" in check(lab, write("UPDATE lab_note SET text = 'newer'"), WORK, SHOW)


def test_dump_of_a_whole_project_is_loaded_again(lab, base, make_database):
    lab.write("UPDATE lab_note SET text = 'waits'")
    assert "pgknowbase.document" in lab("dumpdata --output all.json", "dumpdata pgknowbase")
    fresh = lab.copy("fresh", make_database(template=base.name))
    assert "waits" in check(fresh, "migrate -v0", "loaddata all.json", WORK, SHOW)
