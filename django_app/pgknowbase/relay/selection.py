"""Synchronising or removing a selection of objects, of several models, in batches and in bounds."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet

from pgknowbase.errors import ConfigurationError
from pgknowbase.registry import Source, source_of
from pgknowbase.relay.rendering import describe
from pgknowbase.relay.sync import SyncReport, remove_keys, sync_keys

Keys = list[str]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one request may do; what is left over is the command's."""

    objects: int = 5000
    seconds: float = 20
    batch: int = 100


UNBOUNDED = Bounds(objects=10**12, seconds=math.inf)


@dataclass
class Outcome:
    """What became of a selection. ``unknown`` objects have no source model; ``more``: some were left over."""

    report: SyncReport = field(default_factory=SyncReport)
    unknown: int = 0
    more: bool = False


def sync_selection(rows: QuerySet[Any], bounds: Bounds, *, force: bool = False) -> Outcome:
    """Bring the objects of ``rows``, of whatever source models, into step with their committed rows."""
    using = rows.db
    outcome = Outcome()

    def work(source: Source | None, content_type_id: int, keys: Keys) -> None:
        if source is None:
            outcome.unknown += len(keys)
        else:
            outcome.report.add(sync_keys(source, keys, using, force=force))

    return _work_off(rows, bounds, outcome, work)


def remove_selection(rows: QuerySet[Any], bounds: Bounds) -> Outcome:
    """Take the objects of ``rows`` out of the index, those of models that are gone included."""
    using = rows.db
    outcome = Outcome()

    def work(source: Source | None, content_type_id: int, keys: Keys) -> None:
        outcome.report.add(remove_keys(source, content_type_id, keys, using))

    return _work_off(rows, bounds, outcome, work)


def _work_off(
    rows: QuerySet[Any], bounds: Bounds, outcome: Outcome, work: Callable[[Source | None, int, Keys], None]
) -> Outcome:
    # What was written longest ago comes first: where a retry fails again, the next gets on to the rest.
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
        except Exception as error:  # noqa: BLE001 - a user's queryset may raise anything; the other batches go on
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
