"""Selections: synchronising or removing objects of several models, in batches and within bounds."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet

from pgknowbase.errors import ConfigurationError
from pgknowbase.relay.rendering import describe
from pgknowbase.relay.writing import SyncReport, remove_keys
from pgknowbase.sources.registry import Source, source_of
from pgknowbase.sync.backfill import sync_keys

Keys = list[str]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one call may do: objects, seconds, and objects per transaction. A command does the rest."""

    objects: int = 5000
    seconds: float = 20
    batch: int = 100


UNBOUNDED = Bounds(objects=10**12, seconds=math.inf)


@dataclass
class Outcome:
    """What was done with a selection.

    ``unknown`` counts objects whose source model does not exist any more; ``more`` says that the bounds left some over.
    """

    report: SyncReport = field(default_factory=SyncReport)
    unknown: int = 0
    more: bool = False


def sync_selection(rows: QuerySet[Any], bounds: Bounds, *, force: bool = False) -> Outcome:
    """Bring the objects of ``rows``, of any source models, into step with their committed rows.

    Args:
        rows: a queryset of ``ExternalData``, on whose database it is done.
        bounds: how much one call may do.
        force: embed every chunk anew, even where its text is the same.
    """
    using = rows.db
    outcome = Outcome()

    def work(source: Source | None, content_type_id: int, keys: Keys) -> None:
        if source is None:
            outcome.unknown += len(keys)
        else:
            outcome.report.add(sync_keys(source, keys, using, force=force))

    return _process(rows, bounds, outcome, work)


def remove_selection(rows: QuerySet[Any], bounds: Bounds) -> Outcome:
    """Remove the objects of ``rows`` from the index, also those whose source model does not exist any more."""
    using = rows.db
    outcome = Outcome()

    def work(source: Source | None, content_type_id: int, keys: Keys) -> None:
        outcome.report.add(remove_keys(source, content_type_id, keys, using))

    return _process(rows, bounds, outcome, work)


def _process(
    rows: QuerySet[Any], bounds: Bounds, outcome: Outcome, work: Callable[[Source | None, int, Keys], None]
) -> Outcome:
    # The objects written longest ago come first, so that repeated calls reach all of them even if some keep failing.
    chosen = rows.order_by("updated_at", "pk").values_list("content_type_id", "object_key")
    found = list(chosen[: bounds.objects + 1])
    outcome.more = len(found) > bounds.objects
    end = time.monotonic() + bounds.seconds
    for content_type_id, keys in _batches(found[: bounds.objects], bounds.batch):
        if time.monotonic() > end:
            outcome.more = True
            break
        try:
            work(_source(content_type_id, rows.db), content_type_id, keys)
        except Exception as error:  # noqa: BLE001 - a user's queryset may raise anything
            outcome.report.failures += [(key, describe(error)) for key in keys]
    return outcome


def _batches(found: list[tuple[int, str]], size: int) -> Iterator[tuple[int, Keys]]:
    by_type: dict[int, Keys] = defaultdict(list)
    for content_type_id, key in found:
        by_type[content_type_id].append(key)
    for content_type_id, keys in by_type.items():
        for start in range(0, len(keys), size):
            yield content_type_id, keys[start : start + size]


def _source(content_type_id: int, using: str) -> Source | None:
    model = ContentType.objects.db_manager(using).get_for_id(content_type_id).model_class()
    try:
        return source_of(model) if model is not None else None
    except ConfigurationError:
        return None
