"""Models and fields are renamed while changes of them wait: nothing is lost, and no worker stops."""

import pytest

from tests.integration.migrations.lab import CONTENT, MODELS, SHOW, WORK


def test_renamed_model(lab):
    lab.write("UPDATE lab_author SET name = 'Bea'; UPDATE lab_note SET text = 'changed'")
    lab.change(("class Note(", "class Memo("))
    lab("migrate -v0", "check", WORK)
    label, text = lab.content()
    assert label == "lab.memo"
    assert "Bea" in text
    assert "changed" in text
    assert lab.database.value("SELECT count(*) FROM pgknowbase_outbox") == 0
    lab.write("UPDATE lab_author SET name = 'Cid'")
    check = "sync_external_models lab.Memo --check"
    assert "Cid" in lab(WORK, check, SHOW, "migrate -v0 lab 0002", "migrate -v0")
    assert lab.content()[0] == "lab.memo"


def test_renamed_field_and_model_in_one_migrate(lab):
    lab.write("UPDATE lab_author SET name = 'Bea'")
    lab.change(("text = ", "body = "), ('"text"', '"body"'))
    lab.change(("class Note(", "class Memo("))
    lab("migrate -v0", WORK)
    label, text = lab.content()
    assert (label, "Bea" in text) == ("lab.memo", True)
    lab.write("UPDATE lab_memo SET body = 'newer'")
    lab(WORK)
    assert "newer" in lab.content()[1]


def test_renamed_relation_while_its_change_waits(lab):
    """The events hold the former path, of which the new code knows nothing."""
    lab.write("UPDATE lab_author SET name = 'Bea'")
    lab.change(("author = ", "writer = "), ("author__name", "writer__name"))
    lab("migrate -v0", WORK, "sync_external_models lab.Note --check")
    assert "Bea" in lab.content()[1]
    assert lab.database.value("SELECT count(*) FROM pgknowbase_expansion") == 0


def test_removed_relation_while_its_change_waits(lab):
    lab.write("UPDATE lab_author SET name = 'Bea'")
    lab.change(("    author = models.ForeignKey(Author, models.CASCADE, null=True)\n", ""), (', "author__name"', ""))
    lab("migrate -v0", WORK, "sync_external_models lab.Note --check")
    assert "Ann" not in lab.content()[1]


def test_commands_before_migrate_make_no_second_content_type(lab):
    lab.change(("class Note(", "class Memo("))
    with pytest.raises(AssertionError, match=r"'lab.Memo' has no content type|Run 'manage.py migrate'"):
        lab("sync_external_models")
    lab(WORK)
    assert lab.database.value("SELECT count(*) FROM django_content_type WHERE app_label = 'lab'") == 3
    lab("migrate -v0", WORK, "sync_external_models lab.Memo --check")
    assert lab.content()[0] == "lab.memo"


def test_moved_to_another_app_label(lab):
    """There is no RenameModel for this, so a migration of the project says it."""
    lab.write("UPDATE lab_note SET text = 'changed'")
    lab.write("SELECT pgknowbase_source_rename_v1('lab.Note', 'studio.Note')")
    assert lab.content()[0] == "studio.note"
    assert lab.database.value("SELECT DISTINCT source FROM pgknowbase_outbox") == "studio.Note"


@pytest.mark.parametrize("gone", ["mixin", "model"])
def test_what_is_no_source_any_more_leaves_the_index(lab, gone):
    lab.write("UPDATE lab_note SET text = 'changed'")
    if gone == "mixin":
        lab.change(("class Note(ExternalDataMixin, models.Model)", "class Note(models.Model)"))
    else:
        text = MODELS
        lab.models.write_text(text[: text.index("class Note(")] + text[text.index("class Page(") :])
        lab("makemigrations --noinput lab", "makemigrations --check --dry-run")
    lab("migrate -v0", "check", WORK)
    for table in ("document", "externaldata", "outbox", "chunk", "keywords"):
        assert lab.database.value(f"SELECT count(*) FROM pgknowbase_{table}") == 0
    if gone == "mixin":
        # The way back brings the triggers, and a command the rows.
        lab.change(("class Note(models.Model)", "class Note(ExternalDataMixin, models.Model)"))
        lab("migrate -v0", "sync_external_models lab.Note", WORK)
        assert "changed" in lab.content()[1]


def test_synchronised_by_hand_is_a_source_still(lab):
    lab.change(("        is_public = True\n", "        is_public = True\n        auto_sync = False\n"))
    lab("migrate -v0")
    assert "words" in lab.content()[1]


SEARCH = """
from pgknowbase.models import ExternalData
for mode in ("semantic", "keyword", "hybrid"):
    print("found", len(ExternalData.objects.search("words", mode=mode, threshold=-1 if mode == "semantic" else None)))
"""


def test_what_no_migration_removed_is_not_found_and_is_repaired(lab):
    assert lab(["shell", "-v0", "-c", SEARCH]).split("\n")[0] == "found 1"
    lab.models.write_text(lab.models.read_text().replace("Note(ExternalDataMixin, ", "Note("))
    assert lab(["shell", "-v0", "-c", SEARCH]).count("found 0") == 3
    assert "source.objects" in lab("pgknowbase_doctor --fail-on error")
    with pytest.raises(AssertionError, match="1 objects have drifted"):
        lab("sync_external_models --check")
    lab("sync_external_models --repair")
    assert lab.database.rows(CONTENT) == []
    assert lab.database.value("SELECT count(*) FROM pgknowbase_chunk") == 0


def test_changes_under_an_unknown_label_wait_and_are_counted(lab):
    lab.write("UPDATE lab_note SET text = 'changed'; UPDATE pgknowbase_outbox SET source = 'lab.Later'")
    lab.write("INSERT INTO pgknowbase_expansion (source, path) VALUES ('lab.Later', 'author__pk')")
    lab.write("INSERT INTO pgknowbase_reaction_event (reaction, object_keys, op) VALUES ('lab.gone', '{1}', 'I')")
    told = lab(WORK, "pgknowbase_doctor", "pgknowbase_status")
    assert lab.database.value("SELECT count(*) FROM pgknowbase_outbox") == 1
    assert "2 changes of 'lab.later' wait" in told
    assert "1 changes wait for the reaction 'lab.gone'" in told
    assert "lab.later is not a source model of this version: 2 changes wait" in told
    assert "Start a worker of the version that knows it" in told
    lab.write("SELECT pgknowbase_source_remove_v1('lab.later')")
    assert lab.database.value("SELECT count(*) FROM pgknowbase_outbox") == 0
    assert "lab.later" not in lab("pgknowbase_status")


def test_class_whose_name_changes_its_case_alone(lab):
    lab.write("UPDATE lab_note SET text = 'changed'")
    lab.change(("class Note(", "class NOTE("))
    lab("migrate -v0", WORK)
    assert "changed" in lab.content()[1]
    assert lab.database.value("SELECT count(*) FROM pgknowbase_outbox") == 0


def test_changed_watch_fields_change_every_document(lab):
    """Rows that had no text before are among them."""
    lab.write("INSERT INTO lab_note (title, text) VALUES ('', 'only text')")
    lab.change(('["title", "text", "author__name"]', '["title", "author__name"]'))
    lab("migrate -v0", WORK, "sync_external_models --check")
    assert lab.content()[1] == "Title: t\n\nAuthor name: Ann"
    lab.change(('["title", "author__name"]', '["text", "title", "author__name"]'))
    # The second migrate, which changes nothing, renders nothing.
    lab("migrate -v0", WORK, "sync_external_models --check", "migrate -v0")
    assert sorted(text.split("\n")[0] for _, text in lab.database.rows(CONTENT)) == ["Text: only text", "Text: words"]
    assert lab.database.value("SELECT count(*) FROM pgknowbase_expansion") == 0


def test_wrong_version_is_shown(lab):
    lab.change(('["title", "text", "author__name"]', '["title", "author__name"]'))
    shown = lab(WORK, "pgknowbase_status")
    assert "Changes of lab.Note wait: the triggers of 'lab.Note' watch title, text, author__name, but" in shown
    assert "run 'manage.py migrate'" in shown
    with pytest.raises(AssertionError, match=r"ERROR source\.version"):
        lab("pgknowbase_doctor")
