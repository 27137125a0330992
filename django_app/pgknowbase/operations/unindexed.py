"""Rows that the index does not know and that no waiting change will bring in, such as those older than their triggers.

Rows that their hooks keep out are in the same state, and only rendering tells the two apart. So a model is reported if
one of a few of its rows, the first and the last, would be indexed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models

from pgknowbase.core.command_line import command_line
from pgknowbase.core.keys import key_text
from pgknowbase.errors import SourceUnavailableError
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.availability import unavailable
from pgknowbase.relay.rendering import render_rows
from pgknowbase.sources.registry import Source, sources

MAX_COUNTED = 100_000
SAMPLE = 50  # rows at either end of a model


@dataclass(frozen=True, slots=True)
class Unindexed:
    """How many rows of a source model the index does not know; counted up to 100,000, then ``rows`` is that number."""

    label: str
    rows: int
    using: str

    def __str__(self) -> str:
        at_least = "at least " if self.rows == MAX_COUNTED else ""
        return f"The index does not know {at_least}{self.rows:,} rows of {self.label!r}"

    @property
    def command(self) -> str:
        """What brings the rows in."""
        return command_line(f"sync_external_models {self.label}", self.using)


def unindexed_models(using: str) -> Iterator[Unindexed]:
    """The source models with triggers that have rows which a sync would bring into the index.

    >>> [str(found) for found in unindexed_models("default")]
    ["The index does not know 20,000 rows of 'blog.Article'"]
    """
    declared = {source.label: source for source in sources() if source.config.auto_sync}
    # Nothing can be said of those of another version than the database; status and doctor name them.
    left = unavailable(declared, using)
    for label, source in declared.items():
        if label not in left and _sync_would_index(source, using):
            yield Unindexed(source.label, unindexed_rows(source, using)[:MAX_COUNTED].count(), using)


def unindexed_rows(source: Source, using: str) -> "models.QuerySet[Any]":
    """The rows of a source model without an object in the index and without an event of their own in the outbox."""
    known = ExternalData.objects.using(using).filter(
        content_type_id=source.content_type_id(using), object_key=key_text(source.model, models.OuterRef)
    )
    events = OutboxEvent.objects.using(using).filter(source__iexact=source.label, path="", object_keys__isnull=False)
    # Not correlated, so that the keys are read once whatever the outbox holds.
    waiting = events.order_by().values_list(models.Func("object_keys", function="unnest"), flat=True)
    rows: models.QuerySet[Any] = source.model._base_manager.using(using).order_by()
    unknown: models.QuerySet[Any] = rows.filter(~models.Exists(known)).alias(own_key=key_text(source.model))
    return unknown.exclude(own_key__in=waiting)


def _sync_would_index(source: Source, using: str) -> bool:
    unknown = unindexed_rows(source, using).annotate(pgknowbase_key=key_text(source.model))
    readable = unknown.exclude(pgknowbase_key=None).values_list("pgknowbase_key", flat=True)
    for order in ("pk", "-pk"):
        keys = list(readable.order_by(order)[:SAMPLE])
        try:
            rendering = render_rows(source, keys, using)
        except SourceUnavailableError:
            return False
        if rendering.records or rendering.failures:
            return True
        if len(keys) < SAMPLE:
            return False
    return False
