"""A text that two workers meet at the same moment is paid for once."""

import threading
from uuid import uuid4

import pytest
from django.db import connection, connections

from pgknowbase.models import ExternalData, OutboxEvent, TextsInFlight
from pgknowbase.relay.relay import Relay
from pgknowbase.spaces.specification import rebuild_space
from pgknowbase.testing.provider import Fault, FaultyProvider
from pgknowbase.vectorizer import in_flight as module
from pgknowbase.vectorizer.executor import Executor
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def provider(settings, transactional_db):
    """Each answer takes a moment, in which the other worker comes."""
    with FaultyProvider(model="shared", dimensions=256, seconds=0.3) as made:
        OutboxEvent.objects.all().delete()
        standing = settings.PGKNOWBASE
        settings.PGKNOWBASE = {**standing, "EMBEDDINGS": {"default": made.settings(MAX_TEXTS=8)}}
        rebuild_space("default")
        yield made
        settings.PGKNOWBASE = standing
        rebuild_space("default")


def render():
    while not Relay().run_once().idle:
        pass


def together(executors):
    """One batch of each at the same time, on connections of their own, until all is embedded."""
    barrier = threading.Barrier(len(executors), timeout=60)
    failures = []

    def run(executor):
        try:
            barrier.wait()
            while ExternalData.objects.exclude(status="completed").exists():
                executor.run_once()
        except BaseException as error:  # noqa: BLE001 - raised in the thread of the test
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(executor,)) for executor in executors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)


def test_two_workers_pay_once(provider):
    """Twelve texts, each in four rows; every batch of either worker has some of the other's."""
    Note.notes.bulk_create(Note(text=f"text {n % 12} " + "word " * 20) for n in range(48))
    render()
    with Executor(batch_size=16) as one, Executor(batch_size=16) as other:
        together([one, other])
    assert len(provider.texts) == len(set(provider.texts)) == 12
    assert ExternalData.objects.filter(status="completed").count() == 48
    assert not TextsInFlight.objects.exists()


def test_entry_of_a_dead_worker_holds_nobody_up_for_long(provider, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAIT", 0.05)
    Note.notes.create(text="wanted by two")
    render()
    with Executor() as executor:
        seen = []
        monkeypatch.setattr(executor._in_flight, "_executor", uuid4())
        enter = executor._in_flight.enter

        def spied(embedder, texts, **options):
            seen.extend(module._key(options["fingerprint"], text) for text in texts)
            return enter(embedder, texts, **options)

        monkeypatch.setattr(executor._in_flight, "enter", spied)
        executor._check_model([])
        fingerprint = executor._kept_vectors().fingerprint
        dead = TextsInFlight.objects.create(
            executor=uuid4(), keys=[module._key(fingerprint, "\nwanted by two")], expires_at="2999-01-01T00:00:00Z"
        )
        batch = executor.run_once()
        assert seen == dead.keys
        assert (batch.claimed, batch.written) == (1, 0)
        assert provider.texts == []
        data = ExternalData.objects.get()
        assert (data.status, data.error) == ("pending", "")
        TextsInFlight.objects.update(expires_at="2000-01-01T00:00:00Z")
        assert executor.run_once().written == 1
    assert not TextsInFlight.objects.exists(), "what has expired is cleared away"


def test_provider_that_fails_leaves_nothing_in_flight(provider):
    provider.fail_next(Fault.server_error(503))
    Note.notes.create(text="in vain")
    render()
    with Executor() as executor:
        executor.run_once()
        assert provider.texts
    assert not TextsInFlight.objects.exists()


def test_the_later_one_is_told_and_not_the_earlier(transactional_db):
    def enter(executor, *keys):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pgknowbase_in_flight_enter_v1(%s, %s::bigint[], 60)", [executor, list(keys)])
            return sorted(cursor.fetchone()[0])

    one, other = uuid4(), uuid4()
    assert enter(one, 1, 2, 3) == []
    assert enter(other, 3, 4) == [3]
    assert enter(one, 1, 2, 3) == [], "what another one was told of is not its own"
    assert enter(other, 5) == []
    assert enter(one, 4, 5) == [5]
    assert enter(one) == []
