"""An executor whose provider is a server that answers what a test tells it to, and looks at the queue."""

import math
import time
import uuid
from contextlib import contextmanager

from django.db import connection

from pgknowbase.embeddings import OpenAIEmbedder
from pgknowbase.models import OutboxEvent
from pgknowbase.relay.relay import Relay
from pgknowbase.spaces.specification import active_space
from pgknowbase.vectorizer.backoff import ProviderBackoff
from pgknowbase.vectorizer.executor import Executor
from tests.projects.blog.models import Note

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


def with_long_pauses(executor):
    """So that no test has to be quicker than a pause; ``end_pause`` ends one."""
    executor.trouble.backoff = ProviderBackoff(executor.trouble.backoff.full_batch_size, delay=60, max_delay=900)


def end_pause(executor):
    assert executor.trouble.backoff.paused
    executor.trouble.backoff._paused_until = 0


def write(*texts):
    """Notes that wait for their embeddings in this order: a batch of the relay queues its documents by key."""
    first = uuid.uuid4().int >> 64 << 64
    notes = Note.notes.bulk_create([Note(id=uuid.UUID(int=first + n), text=text) for n, text in enumerate(texts)])
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
        if executor.trouble.backoff.paused:
            time.sleep(0.005)
        else:
            batches.append(executor.run_once())
    return batches


def status(note):
    data = note.external_data
    return data.status, data.error


@contextmanager
def make_executor(http, **options):
    OutboxEvent.objects.all().delete()
    sql("DELETE FROM ai._vectorizer_errors")
    sql(f"DELETE FROM ai._vectorizer_q_failed_{active_space('default').vectorizer_id}")
    with another_executor(http, **options) as made:
        yield made


@contextmanager
def another_executor(http, *, checks_model=False, **options):
    """As a second worker has it, or the same one after a restart; its model was checked a moment ago."""
    with Executor() as made:
        options = {"base_url": http.url, "api_key_env": None, "timeout": 30, "max_texts": 8, **options}
        made.embedder = OpenAIEmbedder(model="wordllama-256", dimensions=256, **options)
        if not checks_model:
            made._model._due_at = math.inf
        yield made
        made.embedder.close()
