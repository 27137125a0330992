"""Who is to blame for a refusal: the account and the request, until it is shown that it was one text."""

import json

import pytest

from pgknowbase.models import Chunk, ExternalData, ProviderOutage
from tests.integration.vectorizer.trouble import (
    GOOD,
    another_executor,
    end_pause,
    heal,
    make_executor,
    queue,
    status,
    with_long_pauses,
    write,
)
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

REFUSALS = [(402, "no credit"), (403, "blocked"), (451, "not here"), (400, "base64 not supported"), (422, "bad input")]


@pytest.fixture
def executor(http, transactional_db):
    with make_executor(http, max_texts=256) as made:
        with_long_pauses(made)
        yield made


def good(texts):
    return 200, {}, json.dumps({"data": [{"embedding": GOOD} for _ in texts]}).encode()


def refuse(http, condition, code=400, words="refused"):
    """Refuse the calls whose texts meet the condition."""

    def answer(body):
        texts = body["input"]
        return (code, {}, words.encode()) if condition(texts) else good(texts)

    http.answer = answer


def run(executor, rounds=200):
    """Turn until the queue is empty, without waiting for the ends of pauses; how many pauses there were."""
    pauses = 0
    for _ in range(rounds):
        if not queue():
            break
        if executor.trouble.backoff.paused:
            pauses += 1
            end_pause(executor)
        executor.run_once()
    return pauses


def states():
    return sorted(ExternalData.objects.values_list("status", flat=True))


@pytest.mark.parametrize(("code", "words"), REFUSALS[::2])
def test_provider_that_refuses_everything_for_hours(http, executor, code, words):
    """40 documents, 30 pauses: at most two calls for each, no dead letter, and all is indexed afterwards."""
    refuse(http, lambda texts: True, code, words)
    write(*[f"note {n}" for n in range(40)])
    executor.run_once()
    assert len(http.bodies) == 1
    for _ in range(30):
        end_pause(executor)
        executor.run_once()
        assert executor.run_once().idle
    assert len(http.bodies) <= 1 + 2 * 30
    assert states() == ["pending"] * 40
    (outage,) = ProviderOutage.objects.all()
    assert outage.failures == 31
    assert f"{code} for 'wordllama-256': '{words}'" in outage.error
    heal(http)
    run(executor)
    assert states() == ["completed"] * 40
    assert not ProviderOutage.objects.exists()


@pytest.mark.parametrize(
    ("code", "words", "place"),
    [*((*refusal, 20) for refusal in [*REFUSALS, (413, "too large")]), *((400, "no", at) for at in (0, 1, 38, 39))],
)
def test_one_text_among_many(http, executor, code, words, place):
    refuse(http, lambda texts: any("poison" in text for text in texts), code, words)
    notes = write(*["poison" if n == place else f"note {n}" for n in range(40)])
    assert run(executor) <= 2
    assert states() == ["completed"] * 39 + ["failed"]
    state, error = status(notes[place])
    assert (state, words in error) == ("failed", True)
    assert len(http.bodies) <= 30
    assert not ProviderOutage.objects.exists()


def test_several_texts_among_many(http, executor):
    refuse(http, lambda texts: any("poison" in text for text in texts))
    write(*[f"poison {n}" if n % 8 == 0 else f"note {n}" for n in range(60)])
    run(executor)
    assert states() == ["completed"] * 52 + ["failed"] * 8
    assert len(http.bodies) <= 120


def test_many_texts_in_a_row_are_the_requests_fault_until_one_is_embedded(http, executor):
    """Such as chunks longer than the model reads: five of them are dead letters, and the next waits, a call a pause."""
    refuse(http, lambda texts: any("poison" in text for text in texts))
    write(*[f"poison {n}" for n in range(6)])
    run(executor, rounds=40)
    assert states() == ["failed"] * 5 + ["pending"]
    assert len(http.bodies) <= 60
    write("good")
    run(executor, rounds=40)
    assert states() == ["completed"] + ["failed"] * 6


def test_text_alone_in_the_queue(http, executor):
    refuse(http, lambda texts: any("poison" in text for text in texts), words="too long")
    (note,) = write("poison")
    executor.run_once()
    assert status(note)[0] == "pending"
    assert len(http.bodies) == 1
    end_pause(executor)
    executor.run_once()
    assert status(note)[0] == "failed"
    assert "too long" in status(note)[1]
    assert queue() == []
    (fresh,) = write("fresh")
    executor.trouble.backoff._paused_until = 0
    executor.run_once()
    assert status(fresh) == ("completed", "")


def test_text_alone_in_the_queue_of_a_provider_that_refuses_everything(http, executor):
    refuse(http, lambda texts: True, 402, "no credit")
    (note,) = write("good")
    executor.run_once()
    for _ in range(20):
        end_pause(executor)
        executor.run_once()
    assert status(note)[0] == "pending"
    heal(http)
    run(executor)
    assert status(note) == ("completed", "")


def test_refusal_that_ends_while_the_text_is_looked_for(http, executor):
    """The credit is topped up between two calls: no text that was refused before is blamed."""
    refuse(http, lambda texts: len(http.bodies) in (1, 3, 4), 402, "no credit")
    write(*[f"note {n}" for n in range(40)])
    run(executor)
    assert states() == ["completed"] * 40


def test_credit_that_ends_in_the_middle(http, executor):
    """What was answered before stays, one call is refused, and there is a pause."""
    executor.embedder.limits = type(executor.embedder.limits)(max_texts=8, max_characters=10_000)
    refuse(http, lambda texts: len(http.bodies) > 3, 402, "no credit")
    write(*[f"note {n}" for n in range(40)])
    batch = executor.run_once()
    assert (batch.written, batch.retried, batch.failed) == (24, 16, 0)
    assert len(http.bodies) == 4
    assert executor.run_once().idle
    heal(http)
    run(executor)
    assert states() == ["completed"] * 40


def test_calls_that_are_refused_for_their_size(http, executor):
    """As by servers with a largest batch: no text is blamed, and the size is found out once."""
    refuse(http, lambda texts: len(texts) > 12, 413, "batch size > maximum allowed batch size 12")
    write(*[f"note {n}" for n in range(400)])
    run(executor)
    assert states() == ["completed"] * 400
    assert len(http.bodies) <= 80
    http.bodies.clear()
    write(*[f"more {n}" for n in range(100)])
    run(executor)
    assert states() == ["completed"] * 500
    assert max(len(body["input"]) for body in http.bodies) <= 12


def test_every_text_refused_but_the_shortest_makes_no_heap_of_dead_letters(http, executor):
    """As with chunks longer than the model reads. The others are indexed between them."""
    refuse(http, lambda texts: any("long" in text for text in texts), words="maximum context length is 512 tokens")
    write(*[f"long {n}" for n in range(60)])
    for _ in range(60):
        executor.trouble.backoff._paused_until = 0
        executor.run_once()
    assert states().count("failed") == 5
    assert "512 tokens" in ProviderOutage.objects.get().error
    (fresh,) = write("fresh")
    for _ in range(4):
        executor.trouble.backoff._paused_until = 0
        executor.run_once()
    assert status(fresh) == ("completed", "")


def test_next_worker_continues_where_the_last_one_ended(http, executor):
    """A worker that runs once, from cron, finds the text at fault too, though it remembers nothing itself."""
    refuse(http, lambda texts: any("poison" in text for text in texts))
    write(*[f"note {n}" for n in range(10)], "poison", *[f"later {n}" for n in range(10)])
    executor.run_once()
    assert executor.trouble.backoff.paused
    with another_executor(http) as other:
        while not other.run_once().idle:
            pass
    assert states() == ["completed"] * 20 + ["failed"]


def test_waiting_for_one_object_asks_once(http, executor):
    refuse(http, lambda texts: True, 402, "no credit")
    (note,) = Note.notes.bulk_create([Note(text="one")])
    from pgknowbase.relay.relay import Relay

    Relay().run_once()
    key = (note.external_data.content_type_id, str(note.pk))
    assert executor.run_document(*key).retried == 1
    assert executor.run_document(*key).idle
    assert len(http.bodies) == 1
    assert not Chunk.objects.exists()
