"""Two versions of a project side by side on one database, as real processes: nothing is lost, and none stops."""

import pytest

from tests.integration.migrations.lab import wait_until

NEW_FIELD = (
    (
        "    text = models.TextField()\n",
        "    text = models.TextField()\n    summary = models.TextField(db_default='')\n",
    ),
    ('"text", ', '"text", "summary", '),
)
RENAMED_COLUMN = (("    text = ", "    summary = "), ('"text"', '"summary"'))
RENAMED_MODEL_AND_COLUMN = (*RENAMED_COLUMN, ("class Note(", "class Memo("))
# What the old code reads and finds no more is the subject of the last test.
CHANGES = {
    "new field": (NEW_FIELD, "Note"),
    "renamed model and column": (RENAMED_MODEL_AND_COLUMN, "Memo"),
}


def index(lab, model):
    rows = lab.database.rows(
        "SELECT d.content FROM pgknowbase_document d JOIN django_content_type t ON t.id = d.source"
        " WHERE t.app_label = 'lab' AND t.model = %s ORDER BY d.id",
        model.lower(),
    )
    return [content for (content,) in rows]


def make(lab, changes):
    """A copy of the project with changed models; a model is renamed in a migration after that of its fields."""
    new = lab.copy("new")
    for change in changes:
        if change[0].startswith("class "):
            new.change(change)
    fields = [change for change in changes if not change[0].startswith("class ")]
    new.change(*fields)
    return new


@pytest.mark.parametrize("what", CHANGES)
def test_worker_of_the_old_code_beside_migrated_triggers(lab, what):
    changes, model = CHANGES[what]
    new = make(lab, changes)
    with lab.worker() as old_worker:
        lab.write("INSERT INTO lab_page (body) VALUES ('before')")
        wait_until(lambda: index(lab, "page") == ["before"], processes=[old_worker])
        new("migrate -v0")
        lab.write(f"UPDATE lab_{model.lower()} SET summary = 'newest'")
        lab.write("UPDATE lab_author SET name = 'Bea'")
        # The old worker lives, works for the other model, and has left the changes that it cannot render.
        lab.write("UPDATE lab_page SET body = 'after'")
        wait_until(lambda: index(lab, "page") == ["after"], processes=[old_worker])
        assert lab.waiting(f"lab.{model}") > 0
        with new.worker() as new_worker:
            wait_until(
                lambda: [("newest" in text, "Bea" in text) for text in index(lab, model)] == [(True, True)],
                processes=[old_worker, new_worker],
            )
            wait_until(lambda: lab.waiting(f"lab.{model}") == 0, processes=[old_worker, new_worker])
    new("sync_external_models --check")


@pytest.mark.parametrize("what", CHANGES)
def test_worker_of_the_new_code_before_migrate(lab, what):
    changes, model = CHANGES[what]
    new = make(lab, changes)
    with new.worker() as new_worker:
        lab.write("UPDATE lab_note SET text = 'newest'")
        lab.write("INSERT INTO lab_page (body) VALUES ('before')")
        wait_until(lambda: index(lab, "page") == ["before"], processes=[new_worker])
        assert lab.waiting("lab.Note") > 0
        wait_until(lambda: "run 'manage.py migrate'" in new_worker.log.read_text(), processes=[new_worker])
        new("migrate -v0")
        wait_until(lambda: ["newest" in text for text in index(lab, model)] == [True], processes=[new_worker])
        wait_until(lambda: lab.waiting(f"lab.{model}") == 0, processes=[new_worker])
    new("sync_external_models --check")


def test_writers_and_workers_of_both_versions_during_migrate(lab):
    """Whatever is committed before, during and after it, by whomever it is rendered: the newest of it is indexed."""
    new = make(lab, NEW_FIELD)
    lab.write("INSERT INTO lab_note (title, text, author_id) SELECT 't', 'x', 1 FROM generate_series(1, 50)")
    writes = (
        "UPDATE lab_note SET text = %s WHERE id %% 7 = 0",
        "UPDATE lab_note SET summary = %s WHERE id %% 5 = 0",
        "UPDATE lab_author SET name = %s",
        "INSERT INTO lab_note (title, text) VALUES ('new', %s)",
        "INSERT INTO lab_note (title, text, summary) VALUES ('new', '', %s)",
        "DELETE FROM lab_note WHERE %s <> '' AND id %% 11 = 0",
    )
    with lab.worker() as old_worker, new.worker() as new_worker, lab.writer(*writes):
        new("migrate -v0")
        wait_until(
            lambda: any("Summary: written" in text for text in index(lab, "note")), processes=[old_worker, new_worker]
        )
    new("pgknowbase_worker --once --no-progress", "sync_external_models --check")
    assert lab.waiting("lab.Note") == 0


def test_column_that_nobody_watches_is_removed_under_a_worker_of_the_old_code(lab):
    """Its own triggers stay as they are, and yet the old code reads the column."""
    lab.change(
        (
            "    text = models.TextField()\n",
            "    text = models.TextField()\n    hidden = models.TextField(default='')\n",
        )
    )
    lab("migrate -v0")
    new = lab.copy("new")
    new.change(("    hidden = models.TextField(default='')\n", ""))
    with lab.worker() as old_worker:
        lab.write("INSERT INTO lab_page (body) VALUES ('before')")
        wait_until(lambda: index(lab, "page") == ["before"], processes=[old_worker])
        new("migrate -v0")
        lab.write("UPDATE lab_note SET text = 'newest'; UPDATE lab_page SET body = 'after'")
        wait_until(lambda: index(lab, "page") == ["after"], processes=[old_worker])
        wait_until(lambda: "no lab_note.hidden" in old_worker.log.read_text().replace('"', ""), processes=[old_worker])
    assert lab.waiting("lab.Note") == 1
    new("pgknowbase_worker --once --no-progress", "sync_external_models --check")
    assert ["newest" in text for text in index(lab, "note")] == [True]
    assert lab.database.value("SELECT count(*) FROM pgknowbase_externaldata WHERE status = 'failed'") == 0
