"""What a provider was paid for is kept until its document is complete, whatever happens in between."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from pgknowbase.models import Chunk, KeptVector, ProviderOutage
from pgknowbase.spaces.specification import rebuild_space
from pgknowbase.vectorizer.backoff import ProviderBackoff
from tests.integration.vectorizer.trouble import (
    GOOD,
    another_executor,
    end_pause,
    heal,
    make_executor,
    sql,
    status,
    with_long_pauses,
    work_off,
    write,
)
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

CHUNKS = 100


@pytest.fixture
def executor(http, transactional_db):
    with make_executor(http) as made:
        with_long_pauses(made)
        yield made


def long_text(words):
    return "\n\n".join(" ".join([word] * (600 // (len(word) + 1))) for word in words)


def allow(http, calls, **headers):
    """Answer so many calls of each window, which ``http.bodies.clear()`` begins."""

    def answer(body):
        if len(http.bodies) > calls:
            return 429, headers, b"slow down"
        return 200, {}, json.dumps({"data": [{"embedding": GOOD} for _ in body["input"]]}).encode()

    http.answer = answer


def asked(http, calls):
    return [text for body in http.bodies[:calls] for text in body["input"]]


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "60"}], ids=["no wish", "Retry-After"])
def test_document_that_needs_more_calls_than_a_minute_allows(http, executor, headers):
    """Five calls of eight texts a minute, for about a hundred chunks: three minutes, and nothing is paid twice."""
    allow(http, 5, **headers)
    (note,) = write(long_text(f"word{n}" for n in range(CHUNKS)))
    paid = []
    for minute in range(1, 20):
        http.bodies.clear()
        executor.run_once()
        paid += asked(http, 5)
        if status(note)[0] == "completed":
            break
        assert len(http.bodies) == 6, "after a 429 nothing more is asked"
        assert executor.run_once().idle
        assert KeptVector.objects.count() == 40 * minute
        out = StringIO()
        call_command("pgknowbase_status", stdout=out)
        assert f"{40 * minute} vectors of unfinished documents and dropped spaces are kept." in out.getvalue()
        assert "slow down" in out.getvalue()
        state, error = status(note)
        assert state == "pending"
        assert "slow down" in error
        assert f"({40 * minute} of " in error
        end_pause(executor)
    assert minute == 3
    assert len(paid) == len(set(paid)) == Chunk.objects.count()
    assert not KeptVector.objects.exists()
    assert not ProviderOutage.objects.exists()


def test_restarted_worker_pays_nothing_twice_and_keeps_the_pause(http, executor):
    allow(http, 5, **{"Retry-After": "60"})
    (note,) = write(long_text(f"word{n}" for n in range(60)))
    executor.run_once()
    paid = asked(http, 5)
    http.bodies.clear()
    with another_executor(http) as restarted:
        assert restarted.run_once().idle
        assert restarted.trouble.backoff.paused
        assert http.bodies == []
        ProviderOutage.objects.update(paused_until=ProviderOutage.objects.get().failed_at)
        end_pause(restarted)
        heal(http)
        assert restarted.run_once().written == 1
    assert not set(paid) & set(asked(http, None))
    assert status(note) == ("completed", "")


def test_worker_that_is_killed_between_two_calls(http, executor):
    class Killed(BaseException):
        pass

    def die(texts):
        if len(http.bodies) == 3:
            raise Killed
        return answer(texts)

    heal(http)
    write(long_text(f"word{n}" for n in range(60)))
    answer, executor.embedder.embed_documents = executor.embedder.embed_documents, die
    with pytest.raises(Killed):
        executor.run_once()
    assert KeptVector.objects.count() == 24


def test_short_documents_beside_it_are_written(http, executor):
    allow(http, 2)
    notes = write(long_text(f"word{n}" for n in range(40)), "short", "and sweet")
    executor.run_once()
    assert [status(note)[0] for note in notes] == ["pending", "completed", "completed"]


def test_oldest_vectors_go_first(http, executor):
    executor.settings = executor.settings.model_copy(update={"max_kept_vectors": 20})
    allow(http, 5)
    write(long_text(f"word{n}" for n in range(CHUNKS)))
    executor.run_once()
    assert KeptVector.objects.count() <= 20
    newest = KeptVector.objects.order_by("id").last()
    assert newest.id - KeptVector.objects.order_by("id").first().id < 20


def test_text_that_is_to_be_embedded_anew_is(http, executor):
    heal(http)
    (note,) = write(long_text(["one", "two"]))
    executor.run_once()
    executor._kept_vectors().keep({chunk.text: ([1.0] * 256, None) for chunk in Chunk.objects.all()})
    note.regenerate_external_data()
    http.bodies.clear()
    executor.run_once()
    assert len(asked(http, None)) == 2


@pytest.mark.parametrize("options", [{"document_prefix": "passage: "}, {"base_url": "http://127.0.0.1:1/v1"}])
def test_vector_of_another_embedder_is_not_taken(http, executor, options):
    kept = executor._kept_vectors()
    kept.keep({"text": (GOOD, 1)})
    assert kept.find(["text", "other"]) == {"text": (GOOD, 1)}
    with another_executor(http, **options) as other:
        assert other._kept_vectors().find(["text"]) == {}
    assert Note.notes.count() == 0


# What the stores have


@pytest.fixture
def own_space(transactional_db):
    """An active space whose embedder nobody has recorded yet."""
    yield rebuild_space("default")
    rebuild_space("default")


def stored():
    return sql("SELECT id, chunk_seq, chunk, embedding::text, tokens FROM pgknowbase_chunk ORDER BY 1, 2")


def test_text_of_another_row_costs_no_call(http, executor):
    heal(http)
    write("once", "twice")
    executor.run_once()
    http.bodies.clear()
    write("once", "thrice", "once")
    assert executor.run_once().embedded == 1
    assert [text.split()[-1] for text in asked(http, None)] == ["thrice"]
    assert Chunk.objects.count() == 5
    assert not KeptVector.objects.exists()


def test_corpus_with_copies_costs_what_is_distinct(http, own_space):
    """Ten batches, three of ten texts are copies."""
    heal(http)
    texts = [f"text {n}" for n in range(140)]
    write(*texts, *texts[:60])
    with another_executor(http, max_texts=1) as executor:
        executor.trouble.backoff = ProviderBackoff(20, delay=60, max_delay=60)
        work_off(executor)
    assert len(http.bodies) == 140
    assert Chunk.objects.count() == 200


def test_rebuilt_space_costs_no_call(http, own_space):
    heal(http)
    write(*(f"text {n}" for n in range(30)), "text 1")
    with another_executor(http) as executor:
        work_off(executor)
        before = stored()
    http.bodies.clear()
    rebuild_space("default")
    assert KeptVector.objects.count() == 30
    with another_executor(http) as executor:
        work_off(executor)
    assert http.bodies == []
    assert stored() == before
    assert not KeptVector.objects.exists(), "what has a chunk again is not stored twice"


def test_space_keeps_as_many_as_the_setting_says(http, own_space, worker_settings):
    heal(http)
    write(*(f"text {n}" for n in range(9)))
    with another_executor(http) as executor:
        work_off(executor)
    worker_settings(MAX_KEPT_VECTORS=4)
    rebuild_space("default")
    assert KeptVector.objects.count() == 4


def test_vectors_of_another_option_are_taken_for_no_other_text(http, own_space):
    """A new prefix changes every vector: the store is mixed from then on, and is kept for nobody."""
    heal(http)
    write("once")
    with another_executor(http) as executor:
        work_off(executor)
    http.bodies.clear()
    for _ in range(2):
        write("once")
        with another_executor(http, document_prefix="passage: ") as executor:
            work_off(executor)
    write("once")
    with another_executor(http) as executor:
        work_off(executor)
    assert len(http.bodies) == 3
    rebuild_space("default")
    assert not KeptVector.objects.exists()


def test_vectors_that_a_store_has_rounded_are_for_such_a_store_alone(http, own_space, settings):
    """A halfvec has 11 bits of each number."""
    http.vectors(lambda position, text: [1.0001, 0.5] * 128)
    write("once")
    for storage, calls in (("halfvec", 1), ("halfvec", 0), ("vector", 1), ("halfvec", 0)):
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SPACE": {"STORAGE": storage}}
        rebuild_space("default")
        http.bodies.clear()
        with another_executor(http) as executor:
            work_off(executor)
        assert len(http.bodies) == calls, storage
