"""Whatever a hook does or returns, it fails its own object alone, with an error that names it."""

import threading

import pytest
from django.db import IntegrityError, ProgrammingError, connection, connections, transaction

from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from tests.projects.blog.models import Category, Note, Slug

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def empty_outbox(transactional_db):
    OutboxEvent.objects.all().delete()


@pytest.fixture
def bad_hook(monkeypatch):
    """Let a hook of Note do something for the note 'bad' alone; run the relay on it and two good notes around it."""

    def run(hook, act):
        original = getattr(Note, hook)
        monkeypatch.setattr(Note, hook, lambda row: act(row) if row.text == "bad" else original(row))
        good, bad, also = (Note.notes.create(text=text) for text in ("good", "bad", "also good"))
        Relay().run_once()
        assert [one.external_data_status for one in (good, also)] == ["pending", "pending"]
        assert not OutboxEvent.objects.exists()
        return bad.external_data

    return run


def deep(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return {"a": value}


class Broken(Exception):
    def __str__(self):
        raise ValueError("no text either")


def raising(error):
    def act(row):
        raise error

    return act


@pytest.mark.parametrize(
    ("hook", "value", "told"),
    [
        ("get_external_content", "x" * 50_000_000, "50,000,000 characters, and 1,000,000 are allowed: return less, or"),
        ("get_external_description", "x" * 1_000_001, "1,000,001 characters"),
        ("get_external_title", "x" * 2001, "return a shorter title, for it stands before each chunk"),
        ("get_external_tags", ["é" * 601], "return shorter tags"),
        ("get_external_tags", [f"{n:0500}" for n in range(2001)], "MAX_DOCUMENT_CHARACTERS"),
        ("get_external_tags", None, "returned 'NoneType': return a list"),
        ("get_external_tags", {"a": 1}, "returned 'dict': return a list"),
        ("get_external_metadata", {"a": "x" * 50_000_000}, "MAX_DOCUMENT_CHARACTERS"),
        ("get_external_metadata", deep(101), "nested more than 100 deep"),
        ("get_external_metadata", deep(100_000), "nested more than 100 deep"),
        ("get_external_metadata", {2026: "a"}, "has the key 2026, which is not a text"),
        ("get_external_metadata", {"a": {None: "a"}}, "has the key None, which is not a text"),
        ("get_external_metadata", {"a": float("inf")}, "other than JSON"),
        ("get_external_metadata", {"a": 10**5000}, "other than JSON"),
        ("get_external_metadata", {"\ud800": 1}, "lone surrogate"),
        ("get_external_metadata", None, "returned 'NoneType': return a dict"),
        ("get_external_title", "\ud800", "lone surrogate"),
        ("get_external_description", "\x00", "NUL"),
        ("get_external_tags", ["\x00"], "NUL"),
        ("should_sync_to_external_data", None, "returned 'NoneType': return True or False"),
    ],
)
def test_value_that_cannot_be_stored(bad_hook, hook, value, told):
    failed = bad_hook(hook, lambda row: value)
    assert (failed.status, failed.attempts) == ("failed", 1)
    assert failed.retry_at is not None
    assert told in failed.error
    assert f"{hook}()" in failed.error


def test_largest_values_are_stored(worker_settings):
    worker_settings(MAX_DOCUMENT_CHARACTERS=5_000_000)
    slug = Slug.objects.create(key="long", text="é" * 5_000_000)
    Relay().run_once()
    assert len(slug.external_data.content) == 5_000_000


def test_largest_tag_and_deepest_metadata_are_stored(monkeypatch):
    monkeypatch.setattr(Note, "get_external_tags", lambda row: ["🐘" * 600])
    monkeypatch.setattr(Note, "get_external_metadata", lambda row: deep(99))
    note = Note.notes.create(text="good")
    Relay().run_once()
    assert note.external_data.status == "pending"
    assert note.external_data.tags == ["🐘" * 600]


def test_batch_larger_than_one_statement(monkeypatch):
    monkeypatch.setattr("pgknowbase.relay.writing.LARGEST_STATEMENT", 2000)
    notes = [Note.notes.create(text="x" * 900 + str(n)) for n in range(7)]
    batch = Relay().run_once()
    assert batch.report.created == 7
    assert [note.external_data.content for note in notes] == [note.text for note in notes]


def test_values_that_postgres_alone_refuses(monkeypatch, bad_hook):
    """Too large an entry for an index, which Postgres calls an operational error."""
    monkeypatch.setattr("pgknowbase.relay.rendering.LONGEST_TAG", 10**6)
    failed = bad_hook("get_external_tags", lambda row: ["🐘" * 100_000])
    assert failed.error.startswith("OperationalError: index row")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("a\x00b\ud800c"), "RuntimeError: a\ufffdb\ufffdc (in get_external_title)"),
        (Broken(), "Broken: its text cannot be made, ValueError (in get_external_title)"),
        (RecursionError("deep"), "RecursionError: deep (in get_external_title)"),
        (StopIteration(), "StopIteration:  (in get_external_title)"),
        (RuntimeError("x" * 10_000), "RuntimeError: " + "x" * 2000 + " (in get_external_title)"),
    ],
)
def test_error_of_any_kind(bad_hook, error, told):
    assert bad_hook("get_external_title", raising(error)).error == told


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_end_of_the_process_is_no_failure(monkeypatch, error):
    monkeypatch.setattr(Note, "get_external_title", raising(error()))
    Note.notes.create(text="a")
    with pytest.raises(error):
        Relay().run_once()
    assert OutboxEvent.objects.count() == 1
    assert not ExternalData.objects.exists()
    assert not connection.in_atomic_block


# Queries in hooks


def fails(row):
    Note.notes.extra(where=["no_such_column = 1"]).count()
    return "never"


def fails_in_a_block_of_its_own(row):
    with transaction.atomic():
        raise IntegrityError("of its own")


def recovers(row):
    try:
        with transaction.atomic():
            fails(row)
    except ProgrammingError:
        return "recovered"


def swallows(row):
    try:
        fails(row)
    except ProgrammingError:
        return "swallowed"


def rolls_back(row):
    transaction.set_rollback(True)
    return "rolled back"


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (fails, "no_such_column"),
        (fails_in_a_block_of_its_own, "IntegrityError: of its own (in get_external_content)"),
        (swallows, "get_external_content() caught the error of a failed query"),
        (rolls_back, "with transaction.atomic()"),
    ],
)
def test_failed_query(bad_hook, act, told):
    assert told in bad_hook("get_external_content", act).error


def test_block_of_its_own_that_recovers(bad_hook):
    assert bad_hook("get_external_content", recovers).content == "recovered"


def saves_itself(row):
    row.text += "!"
    row.save()
    return row.text


def deletes_rows(row):
    Category.objects.all().delete()
    return "gone"


def locks_rows(row):
    return str(list(Category.objects.select_for_update()))


@pytest.mark.parametrize(("act", "verb"), [(saves_itself, "UPDATE"), (deletes_rows, "DELETE"), (locks_rows, "SELECT")])
def test_hooks_only_read(bad_hook, act, verb):
    Category.objects.create(name="kept")
    failed = bad_hook("get_external_content", act)
    assert "read-only transaction (in get_external_content); hooks only read" in failed.error
    assert verb in failed.error
    assert Category.objects.count() == 1
    assert not OutboxEvent.objects.exists()


def test_callbacks_of_hooks_are_not_run(bad_hook):
    told = []

    def act(row):
        transaction.on_commit(lambda: told.append(row))
        return "registered"

    assert bad_hook("get_external_content", act).content == "registered"
    assert told == []


@pytest.mark.parametrize(
    "queryset",
    [
        lambda: Note.notes.values(),
        lambda: None,
        lambda: Note.notes.all()[:1],
        lambda: Category.objects.all(),
        lambda: (_ for _ in ()).throw(RuntimeError("no rows")),
    ],
)
def test_wrong_queryset_fails_the_objects_of_its_model_alone(monkeypatch, queryset):
    monkeypatch.setattr(Note, "get_external_queryset", queryset)
    slug, note = Slug.objects.create(key="k", text="t"), Note.notes.create(text="a")
    Relay().run_once()
    assert slug.external_data_status == "pending"
    assert note.external_data_status == "failed"
    assert "get_external_queryset" in note.external_data.error


def test_slow_hook_holds_up_nobody_else(monkeypatch):
    asleep, wake = threading.Event(), threading.Event()

    def sleeps(row):
        if row.text == "slow":
            asleep.set()
            assert wake.wait(20)
        return row.text

    monkeypatch.setattr(Note, "get_external_content", sleeps)
    slow = Note.notes.create(text="slow")

    def first():
        try:
            Relay().run_once()
        finally:
            connections.close_all()

    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert asleep.wait(20)
        quick = Note.notes.create(text="quick")
        assert Relay().run_once().report.created == 1
        assert quick.has_external_data
        assert not slow.has_external_data
    finally:
        wake.set()
        thread.join()
    assert slow.has_external_data


def test_failures_do_not_hold_up_the_others(worker_settings):
    """A batch full of bad rows is one turn; they come back in small batches, after fresh events."""
    worker_settings(RETRY={"DELAY": 0.001})
    Note.notes.bulk_create([Note(text="explode") for _ in range(300)])
    relay = Relay(batch_size=500)
    assert relay.run_once().report.failed == 300
    note = Note.notes.create(text="fresh")
    assert relay.run_once().report.created == 1
    assert note.has_external_data
    assert relay.run_once().retries == 100
