"""Every fault of a provider, by a real server that has it: what waits, what is set aside, and that all flows again."""

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pgknowbase.conf import RetryPolicy
from pgknowbase.embeddings import get_embedder
from pgknowbase.models import Chunk, ExternalData, OutboxEvent, ProviderOutage
from pgknowbase.relay.relay import Relay
from pgknowbase.spaces.specification import active_space
from tests.integration.vectorizer.trouble import (
    GOOD,
    end_pause,
    failed_queue,
    heal,
    make_executor,
    queue,
    reasons,
    status,
    with_long_pauses,
    work_off,
    write,
)
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def executor(http, transactional_db):
    with make_executor(http, timeout=0.5) as made:
        yield made


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
    "wrong key for a while": (lambda http: http.fixed(403, b'{"error": "not today"}'), "not today"),
    "no credit": (
        lambda http: http.fixed(402, b'{"error": {"message": "insufficient balance"}}'),
        "insufficient balance",
    ),
    "no such method": (lambda http: http.fixed(405, b"POST?"), "POST?"),
    "model is gone": (lambda http: http.fixed(410, b'{"detail": "deprecated"}'), "deprecated"),
    "its own provider fails": (lambda http: http.fixed(424, b"upstream"), "upstream"),
    "legal reasons": (lambda http: http.fixed(451, b"not in your country"), "not in your country"),
    "token expired": (lambda http: http.fixed(498, b"expired"), "expired"),
    "refused option": (lambda http: http.fixed(400, b'{"error": "base64 not supported"}'), "base64 not supported"),
    "missing option": (lambda http: http.fixed(422, b'{"error": "input_type is required"}'), "input_type is required"),
    "too large, it says": (lambda http: http.fixed(413, b"too large"), "too large"),
    "NaN for every text": (lambda http: http.vectors(lambda position, text: [float("nan"), *GOOD[1:]]), "nan"),
    "wrong model": (lambda http: http.fixed(404, b'{"error": "no such model"}'), "no such model"),
}


@pytest.mark.parametrize("fault", TROUBLE)
def test_trouble_of_the_provider_costs_one_call_and_no_document(http, executor, fault):
    cause, symptom = TROUBLE[fault]
    cause(http)
    with_long_pauses(executor)
    notes = write("one", "two", "three", "four")
    batch = executor.run_once()
    assert (batch.claimed, batch.written, batch.retried, batch.failed) == (4, 0, 4, 0)
    # Numbers that cannot be compared are looked into at once: most often they are those of one text.
    assert len(http.bodies) == (4 if fault.startswith("NaN") else 1)
    calls = len(http.bodies)
    assert {(attempts, due) for _, attempts, due in queue()} == {(0, True)}
    assert all(state == "pending" and symptom in error for state, error in map(status, notes))
    assert len(reasons()) == 1
    assert symptom in reasons()[0]
    assert failed_queue() == []
    assert executor.run_once().idle
    assert len(http.bodies) == calls
    (outage,) = ProviderOutage.objects.all()
    assert (outage.provider, outage.model) == ("127.0.0.1", "wordllama-256")
    assert symptom in outage.error
    end_pause(executor)
    heal(http)
    batches = work_off(executor)
    assert [batch.written for batch in batches] == [1, 2, 1]
    assert {status(note) for note in notes} == {("completed", "")}
    assert Chunk.objects.count() == 4
    assert not ProviderOutage.objects.exists()


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_pauses_the_executor(http, executor, form):
    wish = "120" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    http.fixed(429, b"later", Retry_After=wish)
    write("one", "two")
    started = time.monotonic()
    executor.run_once()
    assert 100 < executor.trouble.backoff._paused_until - started < 140
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
    assert (batch.written, batch.retried) == (3, 8)
    assert executor.trouble.backoff.paused
    assert {(attempts, due) for _, attempts, due in queue()} == {(0, True)}
    assert len(http.bodies) == 2, "after a 429 nothing more is asked"


def test_partial_failure_waits_document_by_document(http, executor, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "WORKER": {"RETRY": {"DELAY": 60}}}
    executor.trouble.retry = RetryPolicy(DELAY=60)

    def answer(body):
        if any("bad" in text for text in body["input"]):
            return 500, {}, b"oops"
        return 200, {}, json.dumps({"data": [{"embedding": GOOD} for _ in body["input"]]}).encode()

    http.answer = answer
    write(*[f"{n}" for n in range(8)], *[f"bad {'x' * 50}{n}" for n in range(8)])
    batch = executor.run_once()
    assert (batch.written, batch.retried, batch.failed) == (8, 8, 0)
    assert not executor.trouble.backoff.paused
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
    executor.trouble.retry = RetryPolicy(DELAY=60)
    with_long_pauses(executor)
    http.fixed(500, b"oops")
    write("crash")
    executor.run_once()
    assert queue()[0][1:] == (1, True)
    end_pause(executor)
    executor.run_once()
    assert queue()[0][1:] == (2, False)
    assert not executor.trouble.backoff.paused
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
    batches = [executor.run_once(), *work_off(executor)]
    assert sum(batch.written for batch in batches) == 7
    assert sum(batch.failed for batch in batches) == 1
    assert len(http.bodies) < 16
    assert {status(note) for note in notes if note.text != "poison"} == {("completed", "")}
    state, error = status(notes[6])
    assert state == "failed"
    assert symptom in error
    assert notes[6].external_data.retry_at is None
    assert queue() == []
    assert failed_queue() == [(str(notes[6].pk), "embedding")]
    assert reasons()[-1] == error
    assert not executor.trouble.backoff.paused
    assert not ProviderOutage.objects.exists()
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
    settings.PGKNOWBASE = {"EMBEDDINGS": {"default": entry}, "WORKER": {"RETRY": {"DELAY": 60}}}
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
