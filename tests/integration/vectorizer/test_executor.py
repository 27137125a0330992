"""The executor embeds what changed, once, and writes it only where it is still true."""

import time

import psycopg
import pytest
from django.db import connection, connections

from pgknowbase.errors import (
    EmbeddingSetupError,
    PermanentEmbeddingError,
    RetryableEmbeddingError,
    UnknownTextError,
)
from pgknowbase.models import Chunk, ExternalData
from pgknowbase.relay.relay import Relay
from pgknowbase.spaces.specification import active_space
from tests.fakes import hashed
from tests.integration.vectorizer.conftest import make_executor
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)


def paragraphs(*words):
    """One paragraph of some 600 characters for each word, so that each is a chunk of its own."""
    return "\n\n".join(" ".join([word] * (600 // (len(word) + 1))) for word in words)


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else None


def queue():
    return sql(f"SELECT id, loading_retries FROM ai._vectorizer_q_{active_space('default').vectorizer_id}")


def make_due():
    """What an expired lease or an elapsed delay does."""
    sql(f"UPDATE ai._vectorizer_q_{active_space('default').vectorizer_id} SET loading_retry_after = NULL")


def pgai_errors():
    return sql("SELECT details ->> 'error_reason' FROM ai._vectorizer_errors ORDER BY recorded")


@pytest.fixture(autouse=True)
def clean_errors(provider):
    sql("DELETE FROM ai._vectorizer_errors")
    sql(f"DELETE FROM ai._vectorizer_q_failed_{active_space('default').vectorizer_id}")


def test_document_becomes_chunks(index, assert_complete, provider):
    note = Note.notes.create(text=paragraphs("alpha", "beta", "gamma"))
    batch = index()
    assert (batch.claimed, batch.written, batch.embedded) == (1, 1, 3)
    assert_complete()
    data = note.external_data
    assert (data.status, data.chunk_count) == ("completed", 3)
    assert data.token_count == sum(len(text.split()) for text in provider.texts)
    assert data.processed_at is not None
    assert queue() == []
    assert index().idle


@pytest.mark.parametrize(("seconds", "status"), [(0.0, "processing"), (1000.0, "pending")])
def test_objects_are_shown_as_processing_after_a_batch_that_took_long(
    index, provider, monkeypatch, database_url, seconds, status
):
    monkeypatch.setattr("pgknowbase.vectorizer.executor.SHOWN_SECONDS", seconds)
    seen = []

    def look(texts):
        with psycopg.connect(database_url) as other:
            seen.extend(other.execute("SELECT status FROM pgknowbase_externaldata").fetchall())

    provider.before = look
    Note.notes.create(text="hello")
    assert index().written == 1
    assert seen == [(status,)]


def test_only_the_changed_paragraph_is_embedded(index, assert_complete, provider):
    words = [f"word{n}" for n in range(100)]
    Note.notes.create(text=paragraphs(*words))
    index()
    provider.calls.clear()
    words[40] = "changed"
    Note.notes.update(text=paragraphs(*words))
    index()
    assert_complete()
    assert len(provider.texts) == 1
    assert "changed" in provider.texts[0]


def test_chunks_that_only_move_are_not_embedded(index, assert_complete, provider):
    Note.notes.create(text=paragraphs("one", "two", "three", "four"))
    index()
    vectors = dict(Chunk.objects.values_list("text", "uuid"))
    provider.calls.clear()
    Note.notes.update(text=paragraphs("zero", "one", "two", "four", "three", "one"))
    index()
    assert_complete()
    assert len(provider.texts) == 1  # the second "one" has its vector already
    kept = dict(Chunk.objects.values_list("text", "uuid"))
    assert sum(kept.get(text) == uuid for text, uuid in vectors.items()) >= 3


def test_shorter_document_loses_its_last_chunks(index, assert_complete, provider):
    note = Note.notes.create(text=paragraphs("one", "two", "three"))
    index()
    provider.calls.clear()
    Note.notes.update(text=paragraphs("one"))
    index()
    assert_complete()
    assert provider.calls == []
    assert note.external_data.chunk_count == 1


def test_new_title_changes_every_chunk(index, assert_complete, provider):
    from tests.projects.blog.models import Article

    Article.objects.create(title="old", body=paragraphs("one", "two"))
    index()
    Article.objects.update(title="new")
    index()
    assert_complete()
    assert all(text.startswith("new\n") for text in Chunk.objects.values_list("text", flat=True))


def test_metadata_change_calls_no_provider(index, provider):
    from tests.projects.blog.models import Article

    article = Article.objects.create(title="t", body="b")
    index()
    provider.calls.clear()
    sql("UPDATE pgknowbase_externaldata SET is_public = true")
    article.sync_to_external_data()
    assert article.external_data.is_public is False
    assert index().idle
    assert provider.calls == []


def test_same_text_in_many_documents_is_embedded_once(index, assert_complete, provider):
    Note.notes.bulk_create([Note(text="the same") for _ in range(10)])
    assert index().written == 10
    assert_complete()
    assert provider.texts == ["\nthe same"]


def test_batches_respect_the_limits(index, assert_complete, provider):
    Note.notes.bulk_create([Note(text=f"note {n}") for n in range(150)])
    index()
    assert_complete()
    assert sorted(map(len, provider.calls)) == [22, 64, 64]


def test_provider_down_is_waited_out(index, assert_complete, provider):
    def down(texts):
        raise RetryableEmbeddingError("503 from the provider", retry_after=60)

    note = Note.notes.create(text="hello")
    provider.before = down
    assert index().retried == 1
    data = note.external_data
    assert (data.status, data.error) == ("pending", "503 from the provider")
    assert queue() == [(str(note.pk), 1)]
    assert pgai_errors() == [("503 from the provider",)]
    assert index().idle
    assert len(provider.calls) == 1
    provider.before = lambda texts: None
    assert make_executor(provider).run_once().written == 1
    assert_complete()
    assert note.external_data.error == ""


def test_wrong_key_fails_no_document(index, provider):
    def refuse(texts):
        raise EmbeddingSetupError("401 wrong key")

    notes = [Note.notes.create(text=f"note {n}") for n in range(4)]
    provider.before = refuse
    batch = index()
    assert (batch.retried, batch.failed) == (4, 0)
    assert len(provider.calls) == 1
    assert {note.external_data.status for note in notes} == {"pending"}


def test_text_of_unknown_words_gets_no_vector_and_says_so(index, provider):
    def refuse(texts):
        if any("ไทย" in text for text in texts):
            raise UnknownTextError("knows hardly a word")

    some, none = Note.notes.create(text=paragraphs("word", "ไทย")), Note.notes.create(text="ไทยไทยดี")
    provider.before = refuse
    batch = index()
    assert (batch.written, batch.failed) == (1, 1)
    assert (some.external_data.status, some.external_data.chunk_count) == ("completed", 1)
    assert [chunk.text.split()[-1] for chunk in Chunk.objects.all()] == ["word"]
    dead = none.external_data
    assert (dead.status, dead.error) == ("failed", "knows hardly a word")
    sql("SELECT pgknowbase_keywords_refresh_v1(10)")
    assert next(iter(Note.notes.keyword_search("ไทยดี"))) == none


def test_poison_text_is_set_aside_and_the_others_go_through(index, provider):
    def refuse(texts):
        if any("poison" in text for text in texts):
            raise PermanentEmbeddingError("400 refused")

    notes = [Note.notes.create(text=f"note {n}") for n in range(31)]
    bad = Note.notes.create(text="poison")
    provider.before = refuse
    batch = index()
    assert (batch.written, batch.failed) == (31, 1)
    assert {note.external_data.status for note in notes} == {"completed"}
    dead = bad.external_data
    assert (dead.status, dead.error, dead.retry_at) == ("failed", "400 refused", None)
    assert queue() == []
    failed = sql(f"SELECT id, failure_step FROM ai._vectorizer_q_failed_{active_space('default').vectorizer_id}")
    assert failed == [(str(bad.pk), "embedding")]
    assert pgai_errors() == [("400 refused",)]
    assert len(provider.calls) <= 2 * 6 + 1
    Note.notes.filter(pk=bad.pk).update(text="cured")
    index()
    assert bad.external_data.status == "completed"


@pytest.mark.parametrize(
    ("vector", "error", "status"),
    [
        ([0.0] * 256, "zeros", "failed"),
        ([float("nan")] * 256, "nan", "failed"),
        ([float("inf"), *[1.0] * 255], "inf", "failed"),
        ([1.0] * 255, "255 dimensions", "pending"),
    ],
)
def test_vectors_that_must_not_be_stored(index, provider, vector, error, status):
    note = Note.notes.create(text="hello")
    provider.vector = lambda text: vector if "hello" in text else hashed(text)
    index()
    assert error in note.external_data.error
    assert note.external_data.status == status
    assert not Chunk.objects.exists()


def test_bad_vectors_for_every_text_are_the_models_fault(index, executor, provider):
    notes = Note.notes.bulk_create([Note(text=f"note {n}") for n in range(40)])
    provider.vector = lambda text: [0.0] * 256
    batch = index()
    assert (batch.retried, batch.failed) == (40, 0)
    assert len(provider.calls) < 12
    provider.vector = hashed
    while batch.written or batch.retried:
        executor.trouble.backoff._paused_until = 0
        batch = index()
    assert {note.external_data.status for note in notes} == {"completed"}


def test_document_that_changes_during_embedding_is_not_written(index, executor, assert_complete, provider):
    Note.notes.create(text="first")

    def change(texts):
        provider.before = lambda texts: None
        Note.notes.update(text="second")
        Relay().run_once()

    provider.before = change
    assert index().written == 0
    assert not Chunk.objects.exists()
    assert executor.run_once().written == 1
    assert_complete()
    assert Chunk.objects.get().text.endswith("second")


def test_document_that_goes_during_embedding_leaves_no_chunk(index, executor, provider):
    Note.notes.create(text="first")

    def delete(texts):
        Note.notes.all().delete()
        Relay().run_once()

    provider.before = delete
    assert index().written == 0
    assert not Chunk.objects.exists()
    assert not ExternalData.objects.exists()
    make_due()
    assert executor.run_once().idle
    assert queue() == []


def test_two_executors_at_one_document(index, executor, assert_complete, provider):
    Note.notes.create(text=paragraphs("one", "two", "three"))
    index()
    Note.notes.update(text=paragraphs("zero", "one", "two", "three"))
    Relay().run_once()
    sql("SELECT pgknowbase_requeue_v1(source, array_agg(id)) FROM pgknowbase_document GROUP BY source")

    def race(texts):
        provider.before = lambda texts: None
        other = make_executor(type(provider)())
        make_due()
        assert other.run_once().written == 1

    provider.before = race
    batch = executor.run_once()
    assert (batch.written, batch.retried) == (0, 1)
    assert_complete()
    make_due()
    executor.run_once()
    assert_complete()


def test_dead_worker_is_inherited(index, assert_complete, provider):
    class Killed(BaseException):
        pass

    def die(texts):
        raise Killed

    note = Note.notes.create(text="hello")
    provider.before = die
    with pytest.raises(Killed):
        index()
    assert note.external_data.status == "processing"
    provider.before = lambda texts: None
    assert index().idle
    make_due()
    assert index().written == 1
    assert_complete()
    assert note.external_data.status == "completed"


def test_regenerate_embeds_every_chunk_anew(index, assert_complete, provider):
    note = Note.notes.create(text=paragraphs("one", "two"))
    index()
    provider.calls.clear()
    note.regenerate_external_data()
    assert Chunk.objects.count() == 2
    index()
    assert_complete()
    assert len(provider.texts) == 2
    provider.calls.clear()
    note.sync_to_external_data()
    index()
    assert provider.calls == []


def test_waiting_for_the_embedding(provider):
    note = Note.notes.create(text="a note about trees")
    note.sync_to_external_data(wait=True)
    assert note.external_data_status == "completed"
    assert list(Note.semantic_search("trees")) == [note]


def test_documents_of_one_call_are_written_while_the_next_one_runs(index, assert_complete, provider, monkeypatch):
    """Where another process embeds. Texts of a document stay in one call, whatever their lengths."""
    monkeypatch.setattr("pgknowbase.vectorizer.executor.EMBED_BATCH_SIZE", 2)
    provider.provider = "elsewhere"
    seen = []

    def before(texts):
        if len(provider.calls) == 2:
            deadline = time.monotonic() + 60
            while not Chunk.objects.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            seen.append(Chunk.objects.count())
            connections.close_all()

    provider.before = before
    Note.notes.bulk_create([Note(text=f"{paragraphs(f'long{n}')}\n\n{'short ' * 50 * n}") for n in (1, 2)])
    batch = index()
    assert seen == [2]
    assert (batch.claimed, batch.written, batch.embedded) == (2, 2, 4)
    assert_complete()
