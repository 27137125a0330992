"""Every fault of a provider, by a real server that has it: what waits, what is set aside, and that all flows again."""

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from django.db import connection

from pgknowbase.embeddings import OpenAIEmbedder, get_embedder
from pgknowbase.models import Chunk, ExternalData, OutboxEvent
from pgknowbase.relay.relay import Relay
from pgknowbase.vectorizer.executor import Executor
from pgknowbase.vectorizer.pace import Pace
from pgknowbase.vectorizer.spaces import active_space
from tests.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

GOOD = [1.0, 0.5] * 128


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else None


def queue():
    """(key, attempts, due) of what waits, in the order of the claim."""
    return sql(
        f"SELECT id, loading_retries, coalesce(loading_retry_after, '-infinity') <= clock_timestamp()"
        f" FROM ai._vectorizer_q_{active_space('default').vectorizer_id}"
        f" ORDER BY coalesce(loading_retry_after, '-infinity'), queued_at"
    )


def failed_queue():
    return sql(f"SELECT id, failure_step FROM ai._vectorizer_q_failed_{active_space('default').vectorizer_id}")


def reasons():
    return [row[0] for row in sql("SELECT details ->> 'error_reason' FROM ai._vectorizer_errors ORDER BY recorded")]


@pytest.fixture
def executor(http, transactional_db):
    OutboxEvent.objects.all().delete()
    sql("DELETE FROM ai._vectorizer_errors")
    sql(f"DELETE FROM ai._vectorizer_q_failed_{active_space('default').vectorizer_id}")
    with Executor() as made:
        options = {"base_url": http.url, "api_key_env": None, "timeout": 0.5, "max_texts": 8}
        made.embedder = OpenAIEmbedder(model="wordllama-256", dimensions=256, **options)
        yield made
        made.embedder.close()


def with_long_pauses(executor):
    """So that no test has to be quicker than a pause; ``end_pause`` ends one."""
    executor.pace = Pace(executor.pace.batch_size, delay=60, longest=900)


def end_pause(executor):
    assert executor.pace.paused
    executor.pace._until = 0


def write(*texts):
    notes = Note.notes.bulk_create([Note(text=text) for text in texts])
    while not Relay().run_once().idle:
        pass
    return notes


def heal(http):
    http.drip = 0
    http.vectors(lambda position, text: GOOD)


def work_off(executor):
    """Turn until nothing is due, waiting out the pauses."""
    batches = []
    while any(due for _, _, due in queue()):
        if executor.pace.paused:
            time.sleep(0.005)
        else:
            batches.append(executor.run_once())
    return batches


def status(note):
    data = note.external_data
    return data.status, data.error


def hang_up_in_mid_answer(http):
    http.fixed(200, b'{"data": [', Content_Length="5000", Connection="close")


def drip(http):
    http.vectors(lambda position, text: GOOD)
    http.drip = 0.05


TROUBLE = {
    "429": (lambda http: http.fixed(429, b'{"error": {"message": "slow down"}}'), "slow down"),
    "500": (lambda http: http.fixed(500, b"oops"), "500"),
    "503": (lambda http: http.fixed(503, b"busy"), "503"),
    "timeout": (drip, "within 0.5 s"),
    "no answer": (lambda http: setattr(http, "answer", lambda body: None), "failed"),
    "connection lost in mid-answer": (hang_up_in_mid_answer, "RemoteProtocolError: peer closed"),
    "malformed JSON": (lambda http: http.fixed(200, b'{"data": [{"embedding": [0.1,'), "malformed"),
    "too few vectors": (lambda http: http.fixed(200, b'{"data": []}'), "0 vectors for 4 texts"),
    "wrong dimensions": (lambda http: http.vectors(lambda position, text: GOOD[:100]), "100 dimensions"),
    "wrong key": (lambda http: http.fixed(401, b'{"error": "who are you"}'), "who are you"),
    "wrong model": (lambda http: http.fixed(404, b'{"error": "no such model"}'), "no such model"),
}


@pytest.mark.parametrize("fault", TROUBLE)
def test_trouble_of_the_provider_costs_one_call_and_no_document(http, executor, fault):
    cause, symptom = TROUBLE[fault]
    cause(http)
    with_long_pauses(executor)
    notes = write("one", "two", "three", "four")
    batch = executor.run_once()
    assert (batch.claimed, batch.written, batch.again, batch.failed) == (4, 0, 4, 0)
    assert len(http.bodies) == 1
    assert {(attempts, due) for _, attempts, due in queue()} == {(0, True)}
    assert all(state == "pending" and symptom in error for state, error in map(status, notes))
    assert len(reasons()) == 1
    assert symptom in reasons()[0]
    assert failed_queue() == []
    assert executor.run_once().idle
    assert len(http.bodies) == 1
    end_pause(executor)
    heal(http)
    batches = work_off(executor)
    assert [batch.written for batch in batches] == [1, 2, 1]
    assert {status(note) for note in notes} == {("completed", "")}
    assert Chunk.objects.count() == 4


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_pauses_the_executor(http, executor, form):
    wish = "120" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    http.fixed(429, b"later", Retry_After=wish)
    write("one", "two")
    started = time.monotonic()
    executor.run_once()
    assert 100 < executor.pace._until - started < 140
    assert executor.run_once().idle
    assert len(http.bodies) == 1
    assert {due for _, _, due in queue()} == {True}


def test_retry_after_of_a_part_pauses_too(http, executor):
    def answer(body):
        if "bad" in body["input"][0]:
            return 429, {"Retry-After": "120"}, b"later"
        return 200, {}, json.dumps({"data": [{"embedding": GOOD} for _ in body["input"]]}).encode()

    http.answer = answer
    write(*["a"] * 3, *[f"bad {'x' * n}" for n in range(8)])
    executor.embedder.limits = type(executor.embedder.limits)(max_texts=1, max_characters=10_000)
    batch = executor.run_once()
    assert (batch.written, batch.again) == (3, 8)
    assert executor.pace.paused
    assert {(attempts, due) for _, attempts, due in queue()} == {(1, False)}


def test_partial_failure_waits_document_by_document(http, executor, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "WORKER": {"RETRY_DELAY": 60}}
    executor.settings = executor.settings.model_copy(update={"retry_delay": 60})

    def answer(body):
        if any("bad" in text for text in body["input"]):
            return 500, {}, b"oops"
        return 200, {}, json.dumps({"data": [{"embedding": GOOD} for _ in body["input"]]}).encode()

    http.answer = answer
    write(*[f"{n}" for n in range(8)], *[f"bad {'x' * 50}{n}" for n in range(8)])
    batch = executor.run_once()
    assert (batch.written, batch.again, batch.failed) == (8, 8, 0)
    assert not executor.pace.paused
    assert {(attempts, due) for _, attempts, due in queue()} == {(1, False)}
    (fresh,) = write("fresh")
    assert executor.run_once().written == 1
    assert status(fresh) == ("completed", "")


def test_document_that_always_breaks_the_provider_does_not_stop_the_others(http, executor):
    def answer(body):
        if any("crash" in text for text in body["input"]):
            return 500, {}, b"oops"
        return 200, {}, json.dumps({"data": [{"embedding": GOOD} for _ in body["input"]]}).encode()

    http.answer = answer
    notes = write(*[f"note {n}" for n in range(5)], "crash", *[f"later {n}" for n in range(5)])
    for _ in range(2000):
        if ExternalData.objects.filter(status="completed").count() == 10:
            break
        if executor.run_once().idle:
            time.sleep(0.005)
    assert {status(note)[0] for note in notes if note.text != "crash"} == {"completed"}
    assert status(notes[5])[0] == "pending"
    assert failed_queue() == []


def test_document_that_fails_alone_again_waits_and_the_others_need_not(http, executor):
    executor.settings = executor.settings.model_copy(update={"retry_delay": 60})
    with_long_pauses(executor)
    http.fixed(500, b"oops")
    write("crash")
    executor.run_once()
    assert queue()[0][1:] == (1, True)
    end_pause(executor)
    executor.run_once()
    assert queue()[0][1:] == (2, False)
    assert not executor.pace.paused
    heal(http)
    (fresh,) = write("fresh")
    assert executor.run_once().written == 1
    assert status(fresh) == ("completed", "")


@pytest.mark.parametrize(
    ("fault", "symptom"),
    [
        ((400, b'{"error": {"message": "maximum context length is 8192 tokens"}}'), "8192 tokens"),
        ((413, b"too large"), "413"),
        ((422, b"cannot process"), "422"),
        ([float("nan"), *GOOD[1:]], "nan"),
        ([None, *GOOD[1:]], "nan"),
        ([0.0] * 256, "zeros"),
        ([10**400, *GOOD[1:]], "inf"),
    ],
    ids=["too long", "too large", "refused", "NaN", "null", "zero vector", "infinite"],
)
def test_text_at_fault_is_set_aside_alone(http, executor, fault, symptom):
    def answer(body):
        if isinstance(fault, tuple) and any("poison" in text for text in body["input"]):
            return fault[0], {}, fault[1]
        vectors = [fault if "poison" in text else GOOD for text in body["input"]]
        return 200, {}, json.dumps({"data": [{"embedding": vector} for vector in vectors]}).encode()

    http.answer = answer
    notes = write(*[f"note {n}" for n in range(6)], "poison", "last")
    batch = executor.run_once()
    assert (batch.written, batch.failed, batch.again) == (7, 1, 0)
    assert len(http.bodies) == 2 * 3 + 1
    assert {status(note) for note in notes if note.text != "poison"} == {("completed", "")}
    state, error = status(notes[6])
    assert state == "failed"
    assert symptom in error
    assert notes[6].external_data.retry_at is None
    assert queue() == []
    assert failed_queue() == [(str(notes[6].pk), "embedding")]
    assert reasons() == [error]
    assert not executor.pace.paused
    heal(http)
    Note.notes.filter(pk=notes[6].pk).update(text="cured")
    Relay().run_once()
    work_off(executor)
    assert status(notes[6]) == ("completed", "")
    assert failed_queue() == []


def test_once_ends_while_the_provider_is_down(http, transactional_db, settings):
    from io import StringIO

    from django.core.management import call_command

    http.fixed(503, b"busy")
    entry = {
        "BACKEND": "pgknowbase.embeddings.openai.OpenAIEmbedder",
        "MODEL": "wordllama-256",
        "DIMENSIONS": 256,
        "OPTIONS": {"BASE_URL": http.url, "API_KEY_ENV": None},
    }
    settings.PGKNOWBASE = {"EMBEDDINGS": {"default": entry}, "WORKER": {"RETRY_DELAY": 60}}
    OutboxEvent.objects.all().delete()
    space = active_space("default")
    backend, space.backend = space.backend, entry["BACKEND"]
    space.save()
    try:
        Note.notes.bulk_create([Note(text=f"note {n}") for n in range(500)])
        out = StringIO()
        call_command("pgknowbase_worker", once=True, no_progress=True, stdout=out)
    finally:
        get_embedder().close()
        space.backend = backend
        space.save()
    assert "0 documents indexed" in out.getvalue()
    assert "500 documents are not due yet" in out.getvalue()
    assert len(http.bodies) == 1
