"""Taking over databases that pgai 0.12.1 has made: what is kept, what is embedded, and the way back.

The tests share one database. Each has a table and a vectorizer of its own.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management.base import CommandError

from pgknowbase.adoption.copying import Copier
from pgknowbase.adoption.vectorizers import find_vectorizer
from pgknowbase.core.pgai import load_vectorizer
from pgknowbase.models import EmbeddingSpace, ExternalData, OutboxEvent
from pgknowbase.sources.registry import source_of
from pgknowbase.spaces.specification import matching_space
from tests.integration.adoption.conftest import CHUNKED
from tests.projects.blog.models import Note
from tests.projects.press.models import Cell, Page, Slip
from tests.projects.shapes.models import Moment, Person, Token

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "The first sentence of many words. A second one follows it! Does a third? " * 6
MOMENT = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture(scope="module")
def pgai(world):
    """Rows that pgai has embedded."""
    own_view = "destination => ai.destination_table(target_table => 'note_vectors', view_name => 'note_search')"
    world.create("notes", "blog_note", "text", CHUNKED, own_view)
    world.create("cells", "press_cell", "text", CHUNKED)
    column = "destination => ai.destination_column('vector')"
    world.create("slips", "press_slip", "text", "chunking => ai.chunking_none()", column)
    world.create("moments", "shapes_moment", "note", CHUNKED)
    template = "formatting => ai.formatting_python_template('$note: $chunk')"
    world.create("tokens", "shapes_token", "note", CHUNKED, template)
    for number in range(4):
        Note.notes.create(text=f"Note {number}. {LONG if number % 2 else ''}")
        Cell.objects.create(pk=(number, f"a, 'b' {number}"), text=f"Cell {number}. {LONG}")
        Slip.objects.create(key=f"slip {number}", text=f"What stands on slip {number}.")
        Token.objects.create(note=f"Token {number}.")
    Moment.objects.create(at=MOMENT, note=f"A moment. {LONG}")
    world.work_as_pgai()
    OutboxEvent.objects.all().delete()  # as in a database that had no triggers of ours
    return world


def source_id(model):
    return ContentType.objects.get_for_model(model).pk


def theirs(world, table, key):
    """pgai's chunks with their vectors by object key and place."""
    return {row[:2]: row[2:] for row in world.sql(f"SELECT {key}, chunk_seq, chunk, embedding::text FROM {table}")}


def ours(world, model, space="default"):
    """Our chunks with their vectors by object key and place."""
    one = EmbeddingSpace.objects.get(name=space)
    return {
        row[:2]: row[2:]
        for row in world.sql(
            f'SELECT id, chunk_seq, chunk, embedding::text FROM "{one.store_schema}"."{one.store_table}"'
            " WHERE source = %s",
            source_id(model),
        )
    }


def statuses(model):
    """The status of each object by its key."""
    return dict(ExternalData.objects.filter(content_type=source_id(model)).values_list("object_key", "status"))


def wanted_by_pgai(world, name, table, key, column):
    """What pgai's store should hold of the table as it is."""
    ((row,),) = world.sql("SELECT to_jsonb(v)::text FROM ai.vectorizer AS v WHERE name = %s", name)
    chunking = load_vectorizer(row).config.chunking
    return {
        (key, place): text
        for key, content in world.sql(f"SELECT {key}, {column} FROM {table}")
        for place, text in enumerate(chunking.into_chunks({}, content))
    }


def test_rows_that_wait_or_are_new_are_embedded_and_all_others_kept(pgai):
    changed, short, *_ = Note.notes.order_by("text")
    gone = Note.notes.get(text__startswith="Note 3.")
    Note.notes.filter(pk=changed.pk).update(text="Changed since.")
    added = Note.notes.create(text="Never embedded.")
    hidden = Note.notes.create(text="Kept out by its hook.", hidden=True)
    gone.delete()
    before, calls = theirs(pgai, "note_vectors", "id::text"), pgai.server.calls

    report = json.loads(pgai.command("notes", model="blog.Note", dry_run=True, format="json"))
    assert report["kept"] == len(before) - 1
    assert report["to_embed"] == {"the row waits in pgai's queue": 2}
    assert (statuses(Note), pgai.triggers("blog_note")) == ({}, {"O"})
    assert not pgai.vectorizer("notes")[1]

    assert json.loads(pgai.command("notes", model="blog.Note", format="json")) == report
    assert pgai.server.calls == calls
    kept = {place: chunk for place, chunk in before.items() if place[0] != str(changed.pk)}
    assert ours(pgai, Note) == kept
    assert statuses(Note) == {
        **dict.fromkeys({key for key, _ in kept}, "completed"),
        str(changed.pk): "pending",
        str(added.pk): "pending",
    }
    assert str(hidden.pk) not in statuses(Note)
    assert pgai.waiting("pgknowbase_default", "id") == {str(changed.pk), str(added.pk)}
    assert (pgai.triggers("blog_note"), pgai.vectorizer("notes")[1]) == ({"D"}, True)

    # pgai's worker has nothing to do any more, and ours the rest.
    waiting = pgai.waiting("notes")
    Note.notes.filter(pk=short.pk).update(text="Another text.")
    assert pgai.waiting("notes") == waiting
    assert pgai.work().embedded == 3
    assert set(statuses(Note).values()) == {"completed"}
    assert theirs(pgai, "note_vectors", "id::text") == before
    (found, *_) = Note.notes.all().semantic_search("another text")
    assert found.pk == short.pk


def test_composite_keys_and_the_way_back(pgai, other_session):
    key = 'jsonb_build_array("row"::text, "column")::text'
    before, calls = theirs(pgai, "press_cell_embedding_store", key), pgai.server.calls
    with other_session() as session:
        # It has its numbers before the switch, that of its savepoint too, and writes to the table after it.
        session.execute("SAVEPOINT one")
        session.execute("CREATE TEMPORARY TABLE scratch (n integer)")
        pgai.command("cells", model="press.Cell")
        session.execute("UPDATE press_cell SET text = text || ' By then begun.' WHERE row = 3")
        session.commit()
    assert ours(pgai, Cell) == before
    assert pgai.server.calls == calls
    assert set(statuses(Cell).values()) == {"completed"}

    Cell.objects.filter(row=0).update(text="Written while it was ours.")
    Cell.objects.filter(row=1).delete()
    Cell.objects.create(pk=(9, "new"), text="New while it was ours.")
    assert "3 rows that were written meanwhile are queued" in pgai.command("cells", undo=True)
    assert pgai.waiting("cells", '"row"') == {"0", "3", "9"}
    assert (pgai.triggers("press_cell"), pgai.vectorizer("cells")[1]) == ({"O"}, False)
    assert "pgknowbase" not in json.loads(pgai.vectorizer("cells")[0])
    Cell.objects.filter(row=2).update(text="Written after it was given back.")
    pgai.work_as_pgai()
    texts = {place: text for place, (text, _) in theirs(pgai, "press_cell_embedding_store", key).items()}
    assert texts == wanted_by_pgai(pgai, "cells", "press_cell", key, "text")

    # Our triggers went on: what was written meanwhile is only embedded, and nothing is left for another time.
    pgai.work()
    calls = pgai.server.calls
    report = json.loads(pgai.command("cells", model="press.Cell", format="json"))
    assert (report["kept"], report["complete"], report["to_embed"]) == (0, 4, {})
    assert pgai.server.calls == calls
    texts = {place: text for place, (text, _) in ours(pgai, Cell).items()}
    assert texts == wanted_by_pgai(pgai, "cells", "press_cell", key, "text")


def test_one_embedding_for_each_row_in_a_column_into_a_space_of_its_own(pgai):
    with pytest.raises(CommandError, match=r"makes other texts than 'slips'.*SPLITTER is"):
        pgai.command("slips", model="press.Slip")
    pgai.space_command("add", "whole", splitter="none")
    try:
        Slip.objects.filter(key="slip 0").update(text="Waits for pgai.")
        pgai.sql("UPDATE press_slip SET vector = NULL WHERE key = 'slip 1'")
        calls = pgai.server.calls
        report = json.loads(pgai.command("slips", model="press.Slip", space="whole", format="json"))
        assert pgai.server.calls == calls
        assert (report["kept"], report["complete"]) == (2, 2)
        assert report["to_embed"] == {"the row waits in pgai's queue": 1, "pgai has not embedded the row": 1}
        wanted = pgai.sql("SELECT key, 0, text, vector::text FROM press_slip WHERE key IN ('slip 2', 'slip 3')")
        assert ours(pgai, Slip, "whole") == {row[:2]: row[2:] for row in wanted}
        Slip.objects.filter(key="slip 2").update(text="Written meanwhile.")
        pgai.command("slips", undo=True)
        assert pgai.waiting("slips", "key") == {"slip 0", "slip 2"}
    finally:
        pgai.space_command("drop", "whole", yes=True)


def test_finish_drops_what_pgai_has_left(pgai):
    with pytest.raises(CommandError, match="not adopted"):
        pgai.command("moments", finish=True)
    pgai.command("moments", model="shapes.Moment")
    (key,) = statuses(Moment)
    assert key == "2026-03-01T12:30:00.123456Z"
    assert len(ours(pgai, Moment)) > 3
    with pytest.raises(CommandError, match=r"adopted already, by 'shapes.Moment'"):
        pgai.command("moments", model="shapes.Moment")
    pgai.sql("CREATE VIEW uses_it AS SELECT * FROM shapes_moment_embedding")
    with pytest.raises(CommandError, match=r"used by other objects.*uses_it"):
        pgai.command("moments", finish=True, drop_store=True)
    pgai.sql("DROP VIEW uses_it")
    pgai.command("moments", finish=True, drop_store=True)
    assert pgai.sql("SELECT to_regclass('shapes_moment_embedding_store')") == [(None,)]
    assert pgai.triggers("shapes_moment") == set()
    with pytest.raises(CommandError, match="no vectorizer 'moments'"):
        pgai.command("moments", undo=True)


def test_texts_that_differ_need_a_word(pgai):
    with pytest.raises(CommandError, match=r"TEMPLATE is '\$chunk', and the vectorizer's is '\$title: \$chunk'"):
        pgai.command("tokens", model="shapes.Token")
    dry = {"model": "shapes.Token", "dry_run": True, "format": "json"}
    report = json.loads(pgai.command("tokens", reembed=True, **dry))
    assert (report["kept"], report["to_embed"]) == (0, {"pgai embedded another text": 4})
    waits = Token.objects.earliest("note")
    Token.objects.filter(pk=waits.pk).update(note="Another note.")
    report = json.loads(pgai.command("tokens", trust=True, **dry))
    assert (report["kept"], report["to_embed"]) == (3, {"the row waits in pgai's queue": 1})
    pgai.command("tokens", model="shapes.Token", trust=True)
    texts = {key: text for (key, _), (text, _) in ours(pgai, Token).items()}
    assert texts == {str(row.pk): f"Note: {row.note}" for row in Token.objects.exclude(pk=waits.pk)}


def test_hooks_that_are_not_pgais_are_noticed_before_anything_is_written(pgai, monkeypatch):
    pgai.create("loud", "shapes_person", "name", CHUNKED)
    ann = Person.objects.create(name="Ann Lee.")
    Person.objects.create(name="Bob Ray.")
    pgai.work_as_pgai()
    monkeypatch.setattr(Person, "get_external_content", lambda row: row.name.upper())
    with pytest.raises(CommandError, match=r"pgai embedded 'Ann Lee.', and the model's text is 'ANN LEE.'"):
        pgai.command("loud", model="shapes.Person")
    assert (statuses(Person), pgai.vectorizer("loud")[1]) == ({}, False)
    assert f"  such as row '{ann.pk}': 'Ann Lee.' became 'ANN LEE.'" in pgai.command(
        "loud", model="shapes.Person", dry_run=True
    )
    monkeypatch.undo()
    assert "2 kept" in pgai.command("loud", model="shapes.Person")


def test_list(pgai):
    listed = {row["name"]: row for row in json.loads(pgai.command(format="json"))}
    assert (listed["slips"]["destination"], listed["slips"]["adopted by"]) == ("column", None)
    assert listed["notes"]["model"] == "wordllama-256"
    assert "pgknowbase_document" not in {row["table"] for row in listed.values()}


def test_what_pgai_writes_between_the_look_and_the_copy_is_not_taken_for_what_was_seen(pgai, other_session):
    """In both a row gets the vector of a text that it had not when its texts were compared."""
    first, *_ = Moment.objects.bulk_create([Moment(at=MOMENT + timedelta(days=n), note=f"{n}.") for n in (1, 2)])
    pgai.create("again", "shapes_moment", "note", CHUNKED, "destination => ai.destination_table('again')")
    pgai.work_as_pgai()

    class Late(Copier):
        def _match(self, *arguments):
            with other_session() as session:
                session.execute("UPDATE again_store SET embedding = embedding + embedding WHERE at = %s", [first.at])
                session.commit()
            return super()._match(*arguments)

    copier = Late("default", find_vectorizer("default", "again"), source_of(Moment), matching_space("default"))
    report = copier.run()
    assert report.to_embed == {"pgai embedded the row again meanwhile": 1}
    key = first.external_source_id
    assert (statuses(Moment)[key], (key, 0) in ours(pgai, Moment)) == ("pending", False)
    assert pgai.work().embedded == 1


def test_a_table_in_use_is_not_waited_for(pgai, other_session, monkeypatch):
    monkeypatch.setattr("pgknowbase.core.short_locks.LOCK_TRIES", 1)
    Page.objects.create(text="A page.")
    pgai.create("busy", "press_page", "text", CHUNKED)
    with other_session() as session:
        session.execute("UPDATE press_page SET text = text")
        with pytest.raises(CommandError, match=r"'public.press_page' cannot be locked"):
            pgai.command("busy", model="press.Page")
    assert (pgai.triggers("press_page"), pgai.vectorizer("busy")[1]) == ({"O"}, False)
    pgai.command("busy", model="press.Page")
    # After a restore from a dump the numbers of transactions begin anew: everything counts as written since.
    pgai.sql("DELETE FROM " + pgai.vectorizer("busy")[2])
    pgai.sql(
        "UPDATE ai.vectorizer SET config = jsonb_set(config, '{pgknowbase,since}', '\"9000000000000\"')"
        " WHERE name = 'busy'"
    )
    pgai.command("busy", undo=True)
    assert pgai.waiting("busy") == {str(page.pk) for page in Page.objects.all()} != set()
