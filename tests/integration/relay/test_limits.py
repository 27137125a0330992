"""Time limits that a role or a database sets: a batch that exceeds one is done in portions, and one row fails alone."""

import time

import psycopg
import pytest
from django.db import connection

from pgknowbase.models import Document, ExternalData
from pgknowbase.operations.drift import check, repair
from pgknowbase.relay import loading
from pgknowbase.sources.registry import source_of
from pgknowbase.vectorizer.executor import Executor
from pgknowbase.worker import Worker
from tests.integration.migrations.databases import url
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db(transaction=True)

# Seconds: much longer than rendering ordinary rows takes on a busy machine.
LIMIT = 1.5
IDLE = ["idle_in_transaction_session_timeout", "transaction_timeout"]


@pytest.fixture
def limit():
    """Set a limit for all new sessions of the database, as an administrator does."""
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    admin = psycopg.connect(url("postgres"), autocommit=True)

    def change(setting, seconds=LIMIT):
        if setting == "transaction_timeout" and connection.pg_version < 170000:
            pytest.skip("needs transaction_timeout of Postgres 17")
        admin.execute(f"ALTER DATABASE {name} SET {setting} = '{int(seconds * 1000)}ms'")
        connection.close()

    yield change
    admin.execute(f"ALTER DATABASE {name} RESET ALL")
    admin.close()
    connection.close()


@pytest.fixture
def slow(monkeypatch):
    """Notes whose text has a number take so many seconds to render."""

    def content(self):
        time.sleep(float(self.text.partition(" ")[2] or 0))
        return self.text

    monkeypatch.setattr(Note, "get_external_content", content)


def states():
    return dict(ExternalData.objects.values_list("object_key", "status"))


@pytest.mark.parametrize("setting", IDLE)
def test_one_row_fails_alone_and_names_the_setting(limit, slow, setting):
    Note.notes.bulk_create([Note(text=f"note{n}") for n in range(12)])
    poison = Note.notes.create(text="poison 2")
    article = Article.objects.create(title="Another model")
    limit(setting)
    Worker().run_until_idle()
    assert ExternalData.objects.filter(status="completed").count() == 13
    data = poison.external_data
    assert data.status == "failed"
    assert data.error.startswith(f"It alone takes longer than {setting} = 1500ms allows: make the hooks")
    assert article.external_data.status == "completed"


@pytest.mark.parametrize("setting", IDLE)
def test_rows_that_are_too_slow_together(limit, slow, setting):
    Note.notes.bulk_create([Note(text=f"note{n} 0.3") for n in range(8)])
    limit(setting)
    Worker().run_until_idle()
    assert set(states().values()) == {"completed"}
    assert len(states()) == 8


def test_deleted_rows_leave_the_index_in_portions_too(limit, slow):
    notes = Note.notes.bulk_create([Note(text=f"note{n}") for n in range(5)])
    Worker().run_until_idle()
    Note.notes.filter(pk__in=[note.pk for note in notes[:3]]).delete()
    Note.notes.filter(pk=notes[3].pk).update(text="poison 2")
    limit(IDLE[0])
    Worker().run_until_idle()
    assert states() == {str(notes[3].pk): "failed", str(notes[4].pk): "completed"}


def test_statement_timeout_of_the_query_that_loads(limit, monkeypatch):
    real = loading.load_rows

    def load(source, keys, using):
        rows = real(source, keys, using)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.4 * %s)", [len(keys)])
        return rows

    monkeypatch.setattr("pgknowbase.relay.rendering.load_rows", load)
    Note.notes.bulk_create([Note(text=f"note{n}") for n in range(8)])
    limit("statement_timeout")
    Worker().run_until_idle()
    assert set(states().values()) == {"completed"}


def test_lock_timeout_of_one_object(limit, drain):
    notes = Note.notes.bulk_create([Note(text=f"note{n}") for n in range(4)])
    source = source_of(Note).content_type_id("default")
    held = str(notes[2].pk)
    with psycopg.connect(url(connection.settings_dict["NAME"]), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, %s))", [held, source])
        limit("lock_timeout", 0.3)
        Worker().run_until_idle()
        assert states() == {str(note.pk): "failed" if str(note.pk) == held else "completed" for note in notes}
        assert "longer than lock_timeout = 300ms allows" in ExternalData.objects.get(status="failed").error


def test_hook_that_swallows_the_end_of_its_connection(limit, monkeypatch):
    def content(self):
        if "poison" in self.text:
            time.sleep(2 * LIMIT)
            try:
                Article.objects.count()
            except Exception:  # noqa: BLE001 - as a careless hook does
                return "nothing happened"
        return self.text

    monkeypatch.setattr(Note, "get_external_content", content)
    Note.notes.create(text="note")
    poison = Note.notes.create(text="poison")
    limit(IDLE[0])
    Worker().run_until_idle()
    assert poison.external_data.status == "failed"
    assert IDLE[0] in poison.external_data.error
    assert Document.objects.count() == 1


def test_check_and_repair_and_sync_go_in_portions(limit, slow):
    notes = Note.notes.bulk_create([Note(text=f"note{n} 0.3") for n in range(6)])
    Worker().run_until_idle()
    ExternalData.objects.update(description="wrong")
    limit(IDLE[0])
    source = source_of(Note)
    assert check(source, "default").counts["stale"] == 6
    assert repair(source, "default").repaired.metadata == 6
    Note.notes.filter(pk=notes[0].pk).update(text="poison 2")
    report = Note.sync_all_external_data()
    assert (report.unchanged, [key for key, _ in report.failures]) == (5, [str(notes[0].pk)])
    assert check(source, "default").failed == 1


def test_chunks_are_written_in_portions(limit, drain):
    Note.notes.bulk_create([Note(text=f"note{n}") for n in range(6)])
    Worker(relay_only=True).run_until_idle()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION delay() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END$$;"
        )
        cursor.execute("SELECT store_table FROM pgknowbase_space WHERE is_active")
        (table,) = cursor.fetchone()
        cursor.execute(f"CREATE TRIGGER delay BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION delay()")
    try:
        limit("statement_timeout")
        with Executor() as executor:
            batch = executor.run_once()
        assert (batch.written, batch.failed) == (6, 0)
    finally:
        connection.close()
        with psycopg.connect(url(connection.settings_dict["NAME"]), autocommit=True) as admin:
            admin.execute("SET statement_timeout = 0")
            admin.execute("DROP FUNCTION delay() CASCADE")


def test_words_are_made_in_portions(limit, drain):
    text = "ähm " * 60_000  # not ASCII, so its words are made the slow way
    Note.notes.bulk_create([Note(text=f"{n} {text}") for n in range(3)])
    Worker(relay_only=True).run_until_idle()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pgknowbase_keywords SET stale = true")
    limit("statement_timeout", 0.05)
    worker = Worker(relay_only=True)
    while not worker._run_keywords():
        pass
    assert not worker._keywords_size.is_full
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pgknowbase_keywords WHERE stale")
        assert cursor.fetchone() == (0,)
