"""Each kind of watched path: a change there reaches the documents of the rows it concerns, whoever writes it."""

import datetime

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction

from pgknowbase.models import Document, Expansion, ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from pgknowbase.sources.registry import source_of
from tests.projects.shapes import models as shapes

pytestmark = pytest.mark.django_db


def relay():
    """Work off events and expansions."""
    worker = Relay()
    while not worker.run_once().idle:
        pass


def text(row):
    """The document of a row, after the relay."""
    relay()
    source = source_of(type(row)).content_type_id("default")
    found = Document.objects.filter(source=source, id=row.external_source_id).first()
    return found and found.content


def is_gone_after_delete(row):
    """Whether deleting a row takes its object out."""
    key, source = row.external_source_id, source_of(type(row)).content_type_id("default")
    assert Document.objects.filter(source=source, id=key).exists()
    row.delete()
    relay()
    known = ExternalData.objects.filter(content_type_id=source, object_key=key).exists()
    return not known and not Document.objects.filter(source=source, id=key).exists()


def events():
    """The waiting events as (source, path, keys); they are taken away."""
    found = sorted((e.source, e.path, sorted(e.object_keys or ["*"])) for e in OutboxEvent.objects.all())
    OutboxEvent.objects.all().delete()
    return found


def execute(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(sql, params)


@pytest.fixture
def essay():
    over = shapes.Topic.objects.create(name="physics", slug="phys")
    topic = shapes.Topic.objects.create(name="optics", slug="opt", parent=over)
    writer = User.objects.create(username="ibn")
    row = shapes.Essay.objects.create(title="light", topic=topic, writer=writer)
    relay()
    return row


def test_foreign_key_column_and_columns_across_it(essay):
    assert "optics" in text(essay)
    essay.topic.name = "लेंस"
    essay.topic.save()
    found = {(path, *keys) for source, path, keys in events() if source == "shapes.Essay"}
    assert found == {("topic__slug", "opt"), ("topic__parent__pk", str(essay.topic.pk))}
    shapes.Topic.objects.filter(pk=essay.topic.pk).update(name="Brechung")
    assert "Brechung" in text(essay)
    User.objects.update(username="الهيثم")
    assert "الهيثم" in text(essay)
    execute("UPDATE shapes_essay SET topic_id = NULL")
    assert "Brechung" not in text(essay)


def test_twice_across_foreign_keys(essay):
    shapes.Topic.objects.filter(slug="phys").update(name="Naturlehre")
    assert {path for source, path, _ in events() if source == "shapes.Essay"} == {"topic__slug", "topic__parent__pk"}
    shapes.Topic.objects.filter(slug="phys").update(name="自然")
    assert "自然" in text(essay)
    shapes.Topic.objects.filter(slug="opt").update(parent=None)
    assert "自然" not in text(essay)


def test_unwatched_columns_of_related_rows_leave_nothing(essay):
    User.objects.update(first_name="x", last_login=datetime.datetime.now(tz=datetime.UTC))
    remark = shapes.Remark.objects.create(essay=essay, text="t")
    events()
    shapes.Remark.objects.update(likes=3)
    remark.save()
    assert events() == []


def test_many_to_many_add_remove_set_clear(essay):
    red, blue = (shapes.Tag.objects.create(name=name) for name in ("rot", "blau"))
    essay.tags.add(red, blue)
    assert events() == [("shapes.Essay", "", [str(essay.pk)])]
    essay.tags.add(red)
    assert events() == []
    essay.tags.set([blue])
    assert "blau" in text(essay)
    assert "rot" not in text(essay)
    essay.tags.remove(blue)
    assert "blau" not in text(essay)
    red.essay_set.add(essay)
    assert "rot" in text(essay)
    shapes.Tag.objects.update(name="红色")
    assert "红色" in text(essay)
    essay.tags.clear()
    assert "红色" not in text(essay)
    essay.tags.add(red)
    red.delete()
    assert "红色" not in text(essay)


def test_through_model_rows(essay):
    group = Group.objects.create(name="readers")
    essay.groups.add(group, through_defaults={"weight": 77})
    assert "77" in text(essay)
    assert "readers" in text(essay)
    shapes.Grouping.objects.update(weight=78)
    assert "78" in text(essay)
    other = shapes.Essay.objects.create(title="other")
    relay()
    execute("UPDATE shapes_grouping SET essay_id = %s", other.pk)
    assert "78" not in text(essay)
    assert "78" in text(other)
    execute("TRUNCATE shapes_grouping")
    assert "78" not in text(other)


def test_reverse_foreign_key(essay):
    other = shapes.Essay.objects.create(title="other")
    remark = shapes.Remark.objects.create(essay=essay, text="gut", writer=essay.writer)
    assert "gut" in text(essay)
    shapes.Remark.objects.bulk_create([shapes.Remark(essay=essay, text=f"n{n}") for n in range(250)])
    assert [keys for _, _, keys in events()] == [[str(essay.pk)]]
    remark.text = "besser"
    remark.save()
    assert "besser" in text(essay)
    shapes.Remark.objects.filter(pk=remark.pk).update(essay=other)
    assert "besser" not in text(essay)
    assert "besser" in text(other)
    User.objects.update(username="kritikerin")
    assert "kritikerin" in text(other)
    shapes.Remark.objects.filter(pk=remark.pk).update(essay=None)
    assert "besser" not in text(other)
    shapes.Remark.objects.update(essay=other)
    assert "n249" in text(other)
    shapes.Remark.objects.filter(text="n249").delete()
    assert "n249" not in text(other)
    with connection.cursor() as cursor, cursor.copy("COPY shapes_remark (essay_id, text, likes) FROM STDIN") as copy:
        copy.write_row((essay.pk, "copied", 0))
    assert "copied" in text(essay)
    execute("TRUNCATE shapes_remark")
    assert "copied" not in text(essay)


def test_reverse_one_to_one(essay):
    badge = shapes.Badge.objects.create(essay=essay, text="gold")
    assert "gold" in text(essay)
    shapes.Badge.objects.update(text="silber")
    assert "silber" in text(essay)
    badge.delete()
    assert "silber" not in text(essay)


def test_owner_is_watched(essay):
    user = User.objects.create(username="erbin")
    shapes.Essay.objects.update(writer=user)
    relay()
    assert ExternalData.objects.of(essay).get().owner_id == user.pk


def test_cascades(essay):
    shapes.Remark.objects.create(essay=essay, text="t")
    assert text(essay)
    shapes.Topic.objects.filter(slug="phys").delete()
    assert text(essay) is None
    assert ExternalData.objects.of(essay).first() is None


def test_cascade_in_the_database(essay):
    execute(
        "ALTER TABLE shapes_remark DROP CONSTRAINT"
        f" {_constraint('shapes_remark', 'essay_id')},"
        " ADD FOREIGN KEY (essay_id) REFERENCES shapes_essay ON DELETE SET NULL"
    )
    remark = shapes.Remark.objects.create(essay=essay, text="bleibt")
    assert "bleibt" in text(essay)
    execute("DELETE FROM shapes_essay")
    assert text(essay) is None
    remark.refresh_from_db()
    assert remark.essay_id is None


def _constraint(table, column):
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table)
    (name,) = [name for name, each in constraints.items() if each["foreign_key"] and each["columns"] == [column]]
    return name


def test_a_row_that_comes_and_goes_behind_an_unguarded_foreign_key():
    shelf = shapes.Shelf.objects.create(topic_id=4711)
    assert not text(shelf)
    shapes.Topic.objects.create(pk=4711, name="später", slug="s")
    assert "später" in text(shelf)
    shapes.Topic.objects.create(name="kind", slug="k", parent_id=4711)
    assert "kind" in text(shelf)
    shapes.Essay.objects.create(title="essay am slug", topic_id="s")
    assert "essay am slug" in text(shelf)
    execute("DELETE FROM shapes_essay")
    assert "essay am slug" not in text(shelf)
    execute("DELETE FROM shapes_topic WHERE slug = 'k'")
    execute("DELETE FROM shapes_topic")
    assert text(shelf) is None


def test_a_row_that_is_meant_by_another_column_than_its_key():
    shelf = shapes.Shelf.objects.create(topic_id=1, label_id="neu")
    topic = shapes.Topic.objects.create(pk=2, name="umbenannt", slug="alt")
    assert text(shelf) is None
    shapes.Topic.objects.filter(pk=topic.pk).update(slug="neu")
    assert "umbenannt" in text(shelf)
    shapes.Topic.objects.filter(pk=topic.pk).update(slug="anders")
    assert not text(shelf)
    shapes.Topic.objects.filter(pk=topic.pk).update(slug="neu")
    assert "umbenannt" in text(shelf)
    execute("DELETE FROM shapes_topic")
    assert not text(shelf)


def test_multi_table_inheritance():
    museum = shapes.Museum.objects.create(name="Louvre", hours="9-18")
    assert "Louvre" in text(museum)
    shapes.Place.objects.update(name="Prado")
    assert events() == [("shapes.Museum", "place_ptr__pk", [str(museum.pk)])]
    execute("UPDATE shapes_place SET name = 'Eremitage'")
    assert "Eremitage" in text(museum)
    museum.tags.add(shapes.Tag.objects.create(name="groß"))
    assert "groß" in text(museum)
    shapes.Place.objects.create(name="kein Museum")
    relay()
    assert ExternalData.objects.count() == 1
    assert is_gone_after_delete(museum)


def test_child_and_proxy_of_a_source_are_known_as_its_rows():
    pilot = shapes.Pilot.objects.create(name="Amelia", licence="A")
    friend = shapes.Friend.objects.create(name="Freitag")
    relay()
    assert sorted(ExternalData.objects.values_list("content_type__model", flat=True)) == ["person", "person"]
    for row in (pilot, friend):
        assert row.external_data.source_object == shapes.Person.objects.get(pk=row.pk)
        assert row.has_external_data
    shapes.Pilot.objects.update(name="Bessie")
    assert text(pilot) == "Bessie"
    assert is_gone_after_delete(pilot)


def test_proxy_makes_a_source_of_another_apps_model():
    group = Group.objects.create(name="Leser")
    relay()
    found = ExternalData.objects.get()
    assert found.source_model is shapes.IndexedGroup
    assert text(shapes.IndexedGroup.objects.get()) == "Leser"
    group.delete()
    relay()
    assert not ExternalData.objects.exists()


def test_composite_key_with_any_text():
    rows = [shapes.Seat.objects.create(row=row, place=1, note="frei") for row in ('a"b', "Ä,'\\", "行\n[1]", "")]
    assert {text(row) for row in rows} == {"Note: frei"}
    topic = shapes.Topic.objects.create(name="loge", slug="l")
    shapes.Seat.objects.update(topic=topic)
    relay()
    shapes.Topic.objects.update(name="balkon")
    assert {text(row) for row in rows} == {"Note: frei\n\nTopic name: balkon"}
    execute("UPDATE shapes_seat SET place = 2 WHERE row = ''")
    moved = shapes.Seat.objects.get(place=2)
    assert text(moved) is not None
    assert text(rows[-1]) is None
    shapes.Seat.objects.all().delete()
    relay()
    assert not ExternalData.objects.exists()


@pytest.mark.parametrize("style", ["ISO, DMY", "German", "SQL, MDY"])
def test_temporal_key_in_any_session(style):
    at = datetime.datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=datetime.UTC)
    execute(f"SET LOCAL DateStyle = '{style}'")
    execute("SET LOCAL TimeZone = 'Asia/Kolkata'")
    execute("INSERT INTO shapes_moment (at, note) VALUES (%s, 'jetzt')", at)
    execute("SET LOCAL DateStyle = 'ISO'")
    execute("SET LOCAL TimeZone = 'UTC'")
    row = shapes.Moment.objects.get()
    assert text(row) == "jetzt"
    assert is_gone_after_delete(row)


def test_uuid_key_seen_from_related_rows():
    token = shapes.Token.objects.create(note="n")
    shapes.Use.objects.create(token=token, note="हिन्दी")
    assert "हिन्दी" in text(token)
    shapes.Use.objects.all().delete()
    assert "हिन्दी" not in text(token)


def test_partitions_of_a_table_that_django_does_not_manage():
    execute("""INSERT INTO lab."mea'surement" VALUES (1, 'north', 'a'), (2, 'south', 'b')""")
    execute("INSERT INTO lab.north VALUES (3, 'north', 'c')")
    rows = {row.pk: row for row in shapes.Measurement.objects.all()}
    assert {pk: text(row) for pk, row in rows.items()} == {1: "a", 2: "b", 3: "c"}
    execute("UPDATE lab.north SET note = 'd' WHERE id = 3")
    assert text(rows[3]) == "d"
    execute("""UPDATE lab."mea'surement" SET place = 'south', note = 'e' WHERE id = 1""")
    assert text(rows[1]) == "e"
    execute("CREATE TABLE lab.west PARTITION OF lab.\"mea'surement\" FOR VALUES IN ('west')")
    execute("INSERT INTO lab.west VALUES (4, 'west', 'f')")
    assert text(shapes.Measurement.objects.get(pk=4)) == "f"
    execute("DELETE FROM lab.south WHERE id = 2")
    assert text(rows[2]) is None
    shapes.Measurement.objects.filter(pk=4).delete()
    execute("""TRUNCATE lab."mea'surement" """)
    assert text(rows[1]) is None
    assert not ExternalData.objects.exists()


def test_rolled_back_changes_of_related_rows_leave_nothing(essay):
    with transaction.atomic():
        shapes.Remark.objects.create(essay=essay, text="weg")
        User.objects.update(username="weg")
        transaction.set_rollback(True)
    assert events() == []


def test_a_row_with_many_readers_costs_its_writer_one_event(essay):
    shapes.Essay.objects.bulk_create(
        [shapes.Essay(title=str(n), topic=essay.topic, writer=essay.writer) for n in range(1200)]
    )
    relay()
    User.objects.update(username="neu")
    assert OutboxEvent.objects.filter(path="writer__pk").count() == 1
    assert OutboxEvent.objects.count() == 2
    worker = Relay(batch_size=100)
    batch = worker.run_once()
    assert (batch.events, batch.pages, batch.report.updated) == (2, 2, 100)
    fresh = shapes.Essay.objects.create(title="dazwischen")
    batch = worker.run_once()
    assert (batch.events, batch.pages, batch.report.created, batch.report.updated) == (1, 1, 1, 100)
    assert Document.objects.filter(id=str(fresh.pk)).exists()
    while not worker.run_once().idle:
        pass
    assert Document.objects.filter(content__contains="neu").count() == 1201
    assert not Expansion.objects.exists()


def test_a_large_expansion_takes_turns_with_a_small_one(essay):
    rare = User.objects.create(username="selten")
    shapes.Essay.objects.bulk_create([shapes.Essay(title=str(n), writer=essay.writer) for n in range(500)])
    last = shapes.Essay.objects.create(title="der letzte", writer=rare)
    relay()
    User.objects.filter(pk=essay.writer_id).update(username="häufig")
    worker = Relay(batch_size=50)
    worker.run_once()
    User.objects.filter(pk=rare.pk).update(username="gefunden")
    worker.run_once()
    worker.run_once()
    assert "gefunden" in Document.objects.get(id=str(last.pk), content__contains="letzte").content
    assert Expansion.objects.exists()


def test_truncate_of_many_goes_page_by_page():
    shapes.Person.objects.bulk_create([shapes.Person(name=str(n)) for n in range(120)])
    relay()
    assert ExternalData.objects.count() == 120
    execute("TRUNCATE shapes_person CASCADE")
    shapes.Person.objects.create(name="danach")
    worker = Relay(batch_size=50)
    assert worker.run_once().report.total <= 100
    relay()
    assert [data.document.content for data in ExternalData.objects.all()] == ["danach"]


def test_rendering_costs_the_same_number_of_statements_for_any_number_of_rows(
    essay, django_assert_max_num_queries, django_assert_num_queries
):
    def sync(number):
        shapes.Essay.objects.bulk_create(
            [shapes.Essay(title=f"{number} {n}", topic=essay.topic, writer=essay.writer) for n in range(number)]
        )
        for row in shapes.Essay.objects.filter(title__startswith=f"{number} "):
            row.tags.add(*shapes.Tag.objects.all())
            shapes.Remark.objects.create(essay=row, text="t", writer=essay.writer)
        Relay().run_once()
        shapes.Essay.objects.update(title="neu " + str(number))
        return Relay()

    shapes.Tag.objects.create(name="a")
    few = sync(3)
    with django_assert_max_num_queries(60) as captured:
        few.run_once()
    many = sync(40)
    with django_assert_num_queries(len(captured)):
        many.run_once()
