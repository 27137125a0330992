"""What the books cost a batch: ledger, vectors that were paid for, rate and texts in flight, with them and without.

The provider answers at once and in this process, so that nothing else is measured but the executor and Postgres.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest import mock

import psycopg

from benchmarks import corpus
from benchmarks.cpu import Meter
from benchmarks.database import Database
from benchmarks.report import Figure, figure, middle, ratio
from benchmarks.stats import alternate
from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector

WITH, WITHOUT = "with the books", "without"


class _Instant(Embedder):
    """Vectors of no meaning, by a provider that has a name and therefore a rate."""

    model, dimensions, provider = "wordllama-256", 256, "instant"
    limits = BatchLimits(256, 200_000)

    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        return Embeddings([_vector(text) for text in texts], None, sum(len(text) // 4 for text in texts))

    def embed_query(self, text: str) -> Vector:
        return _vector(text)


def _vector(text: str) -> Vector:
    return [byte - 127.5 for byte in hashlib.sha256(text.encode()).digest() * 8]


def run(database: Database, *, quick: bool) -> list[Figure]:
    rows, rounds = (400, 2) if quick else (1_000, 8)
    with database.connect() as connection:
        corpus.stage(connection, rows)
        measure = partial(_measure, connection, rows)
        found = alternate(rounds, {WITH: partial(measure, _nothing), WITHOUT: partial(measure, _without_books)})
        corpus.clear(connection)
    return [
        figure(
            "bookkeeping",
            name,
            values,
            rows=rows,
            unit="CPU ms per batch of 200",
            against=WITHOUT,
            ratio=ratio(values, found[WITHOUT]),
            **{"ratio, middle half": middle(values, found[WITHOUT])},
        )
        for name, values in found.items()
    ]


def _measure(connection: psycopg.Connection[Any], rows: int, around: Callable[[], Any]) -> float:
    """Milliseconds of processor time for each batch, of Python and Postgres together."""
    from django.db import connection as ours

    from pgknowbase.relay.relay import Relay
    from pgknowbase.vectorizer.executor import EMBED_BATCH_SIZE, Executor

    corpus.clear(connection)
    corpus.load(connection, "catalog_article")
    relay = Relay()
    while not relay.run_once().idle:
        pass
    ours.ensure_connection()
    with Executor() as executor:
        executor.embedder = _Instant()
        executor.splitter  # noqa: B018 - imports pgai
        executor._model._due_at = float("inf")
        meter = Meter(connection)
        with around():
            before = meter.seconds([os.getpid()])
            while not executor.run_once().idle:
                pass
            busy = meter.since(before, [os.getpid()])
    return 1000 * busy / (rows / EMBED_BATCH_SIZE)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _without_books() -> Iterator[None]:
    """The same executor, which writes and asks nothing beside documents and chunks."""
    from pgknowbase.costs.ledger import EmbeddingUsage
    from pgknowbase.vectorizer.in_flight import InFlight
    from pgknowbase.vectorizer.kept_vectors import KeptVectors
    from pgknowbase.vectorizer.provider_rate import ProviderRate

    with ExitStack() as stack:
        for owner, name, value in (
            (EmbeddingUsage, "write", lambda self: None),
            (KeptVectors, "find", lambda self, texts: {}),
            (KeptVectors, "keep", lambda self, vectors: None),
            (ProviderRate, "take", lambda self, embedder, texts, limits, *, background: len(texts)),
            (ProviderRate, "correct", lambda self, embedder: None),
            (InFlight, "enter", lambda self, embedder, texts, *, fingerprint: set()),
            (InFlight, "leave", lambda self: None),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        yield
