"""The relay: from outbox events to documents."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from pgknowbase.capture import tracing
from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.keys import normal_key
from pgknowbase.core.server_limits import PortionSize, can_go_smaller, describe_limit, exceeded_limit
from pgknowbase.core.telemetry import NoSpan, span
from pgknowbase.core.transactions import as_backfill, read_committed
from pgknowbase.errors import SourceUnavailableError
from pgknowbase.relay import hook_costs
from pgknowbase.relay.availability import Availability, advice, lock_current_objects
from pgknowbase.relay.expansion import expand
from pgknowbase.relay.outbox import OutboxLowWatermark
from pgknowbase.relay.rendering import render_rows
from pgknowbase.relay.writing import SyncReport, write_rendering
from pgknowbase.sources.registry import Source, sources

logger = logging.getLogger("pgknowbase.relay")

# Outbox events of one transaction: larger batches render no faster, and a failing one repeats more work.
RELAY_BATCH_SIZE = 500
# Fewer than of events, because events that arrive meanwhile wait for the batch.
MAX_RETRIES_AND_REFRESHES = 100


@dataclass
class RelayBatch:
    """What one call of ``Relay.run_once`` did.

    ``events`` counts changed rows, ``expansions`` those that were started, ``pages`` pages of expansions, ``retries``
    objects that were due for a retry or a refresh. ``interrupted``: a transaction exceeded a time limit of the server,
    and is tried again with fewer objects.
    """

    events: int = 0
    expansions: int = 0
    pages: int = 0
    retries: int = 0
    interrupted: bool = False
    report: SyncReport = field(default_factory=SyncReport)

    @property
    def idle(self) -> bool:
        return not self.events and not self.pages and not self.retries and not self.interrupted

    def add(self, other: "RelayBatch") -> None:
        """Add what one transaction did."""
        for name in ("events", "expansions", "pages", "retries"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.report.add(other.report)


@dataclass
class Wanted:
    """What one transaction is about: ``keys`` of objects by model, and the ``events`` that are done with them."""

    keys: Mapping[str, set[str]] = field(default_factory=dict)
    events: Sequence[int] = ()

    @property
    def count(self) -> int:
        """The number of objects."""
        return sum(map(len, self.keys.values()))


class Relay:
    """Turns outbox events into documents, in batches of one transaction each: a batch is done wholly or not at all.

    The objects that a changed related row concerns are expanded page by page, one page after each batch of events. So
    the change of a row that many others show delays no other change.

    A model of which the database has another version than this process is left alone: its changes wait.

    Args:
        using: the alias of the database, by default ``DATABASE``.
        batch_size: events, or expanded objects, of one transaction; by default ``RELAY_BATCH_SIZE``.

    >>> relay = Relay()
    >>> while not relay.run_once().idle: ...
    """

    def __init__(self, using: str | None = None, *, batch_size: int | None = None) -> None:
        self.using = using or get_settings().database
        self.batch_size = batch_size or RELAY_BATCH_SIZE
        self.sources: dict[str, Source] = {source.label: source for source in sources()}
        self.available = Availability(self.sources, self.using)
        self.labels: list[str] = []
        self.low_watermark = OutboxLowWatermark(self.labels, self.using)
        self._asked: dict[str, Any] = {}
        self._asked_at = 0
        # Where a role or a database has time limits: objects of one transaction, and the errors of those that alone
        # take too long, by model and key.
        self._size = PortionSize(self.batch_size)
        self._refused: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def run_once(self, *, wait: float = 0.0) -> RelayBatch:
        """Process one batch of events and one page of expansions. Without events, retry or refresh what is due.

        Args:
            wait: seconds to wait for work at most. The server waits, and does so for less where its time limits are
                small; inside a transaction nobody does.
        """
        self._serve(self.available.refresh())
        while True:
            try:
                return self._run_batch(wait)
            except SourceUnavailableError as error:
                # Nothing of the batch is written. The next one does without this model.
                self.available.leave(error)
                self._serve(self.available.labels)

    def _serve(self, labels: list[str]) -> None:
        if labels != self.labels:
            # A new mark, because below the old one there may be events of a model that was left alone.
            self.labels, self.low_watermark = list(labels), OutboxLowWatermark(list(labels), self.using)
            self._asked_at = 0

    def _served(self) -> dict[str, Any]:
        """The models that are served, as parameters; put together after each look at them, once a second."""
        by_id = self._sources_by_id()
        return {"labels": self.labels, "source_ids": list(by_id), "refreshed": _aging(by_id)}

    def _run_batch(self, wait: float) -> RelayBatch:
        batch = RelayBatch()
        if self._asked_at != self.available.looks:
            self._asked, self._asked_at = self._served(), self.available.looks
        self.low_watermark.refresh()
        events, expansions, due, ended = self._look(wait)
        if ended:
            self.low_watermark.expire()
        if events:
            self._transact(self._sync_events if self._size.is_full else self._expand_events, batch)
        if expansions or batch.expansions:
            self._transact(self._sync_expansion_page, batch, backfill=True)
        if due and not batch.events:
            self._transact(self._sync_retries_and_refreshes, batch)
        return batch

    def _look(self, wait: float) -> tuple[bool, ...]:
        """Whether there are events, expansions and objects that are due, and whether a known transaction has ended."""
        asked = self._asked | self.low_watermark.place
        if wait and connections[self.using].get_autocommit():
            return gateway.fetch_flags(self.using, "relay_wait", **asked, seconds=wait)
        return gateway.fetch_flags(self.using, "relay_has_work", **asked)

    def _transact(self, step: Callable[[RelayBatch], Wanted], batch: RelayBatch, *, backfill: bool = False) -> None:
        """One transaction: ``step`` claims work and says which objects it concerns, which are synchronised."""
        with span("pgknowbase.relay", {"pgknowbase.relay.step": step.__name__.removeprefix("_sync_")}) as told:
            done = self._transact_once(step, batch, told, backfill=backfill)
            if told.is_recording:
                told.set({"pgknowbase.relay.changes": done.events})
                counts = done.report.counts.items()
                told.set({f"pgknowbase.objects.{name}": count for name, count in counts if count})

    def _transact_once(
        self, step: Callable[[RelayBatch], Wanted], batch: RelayBatch, told: NoSpan, *, backfill: bool
    ) -> RelayBatch:
        done, wanted = RelayBatch(), Wanted()
        try:
            with read_committed(self.using), as_backfill(self.using, backfill):
                wanted = step(done)
                self._sync(wanted, done)
                if wanted.events:
                    if told.is_recording:
                        self._pass_traces(wanted.events, told)
                    # Deleted in the transaction that wrote the documents: after a crash the events are still there.
                    gateway.fetch(self.using, "outbox_ack", ids=wanted.events)
        except (DatabaseError, InterfaceError) as error:
            if not can_go_smaller(error, self.using) or not self._can_render_fewer(wanted):
                raise
            self._go_smaller(error, wanted)
            batch.interrupted = True
            return done
        if wanted.count:
            self._size.succeeded()
        batch.add(done)
        return done

    def _pass_traces(self, events: Sequence[int], told: NoSpan) -> None:
        """Link the spans that made the changes, and keep them for the vectorizer."""
        traces = tracing.traces_of_events(self.using, events)
        told.link(traceparent for *_, traceparent in traces)
        tracing.keep_for_vectorizer(
            self.using,
            {
                (source.content_type_id(self.using), normal_key(source.model, key)): traceparent
                for label, path, keys, traceparent in traces
                if not path and (source := self.sources.get(label)) is not None
                for key in keys or ()
                if key is not None
            },
        )

    def _can_render_fewer(self, wanted: Wanted) -> bool:
        """Whether anything was rendered: recording that an object was refused cannot be made less."""
        return any(keys - self._refused[label].keys() for label, keys in wanted.keys.items())

    def _go_smaller(self, error: Exception, wanted: Wanted) -> None:
        """After a transaction that took too long: halve the next one, or refuse the one object that it was about."""
        logger.info("%d objects at a time take too long (%s)", wanted.count, exceeded_limit(error))
        if wanted.count > 1:
            self._size.exceeded()
            while self._size.value >= wanted.count:
                self._size.exceeded()
            return
        ((label, (key,)),) = [(label, list(keys)) for label, keys in wanted.keys.items() if keys]
        key = normal_key(self.sources[label].model, key)
        self._refused[label][key] = describe_limit(error, self.using, advice="make the hooks of its model faster")

    def _expand_events(self, batch: RelayBatch) -> Wanted:
        """Turn events into expansions: an event has many keys, and an expansion is done in pages of any size."""
        wanted = self._sync_events(batch)
        for label, keys in sorted(wanted.keys.items()):
            self._start_expansion(label, "", keys, batch)
        return Wanted(events=wanted.events)

    def _sync_events(self, batch: RelayBatch) -> Wanted:
        place = self.low_watermark.place
        events = gateway.fetch(self.using, "outbox_claim", labels=self.labels, **place, max_keys=self.batch_size)
        self.low_watermark.note(len(events))
        changed: dict[str, set[str]] = defaultdict(set)
        related: dict[tuple[str, str], set[str]] = defaultdict(set)
        for _, label, path, keys in events:
            if keys is None:  # a whole table: TRUNCATE
                self._start_expansion(label, path, None, batch)
            else:
                known = {key for key in keys if key is not None}
                (related[label, path] if path else changed[label]).update(known)
        for (label, path), values in sorted(related.items()):
            self._start_expansion(label, path, values, batch)
        batch.events += sum(max(1, len(keys or ())) for *_, keys in events)
        return Wanted(changed, [event[0] for event in events])

    def _start_expansion(self, label: str, path: str, values: Iterable[str] | None, batch: RelayBatch) -> None:
        keys = None if values is None else sorted(values)
        gateway.fetch(self.using, "expansion_add", label=label, path=path, object_keys=keys)
        batch.expansions += 1

    def _sync_expansion_page(self, batch: RelayBatch) -> Wanted:
        """Up to a batch of objects, from the expansions that have waited longest for their next page."""
        room = self._size.value
        concerned: dict[str, set[str]] = defaultdict(set)
        while room > 0 and (claimed := gateway.fetch(self.using, "expansion_claim", labels=self.labels)):
            ((expansion_id, label, path, keys, after),) = claimed
            page = expand(self.sources[label], path, keys, after, room, self.using)
            gateway.fetch(self.using, "expansion_advance", expansion=expansion_id, done_to=page.last)
            concerned[label].update(page.keys)
            room -= len(page.keys)
            batch.pages += 1
        return Wanted(concerned)

    def _sync_retries_and_refreshes(self, batch: RelayBatch) -> Wanted:
        by_id = self._sources_by_id()
        due: dict[str, set[str]] = defaultdict(set)
        for source_id, key in self._claim_retries_and_refreshes(by_id):
            due[by_id[source_id].label].add(key)
            batch.retries += 1
        return Wanted(due)

    def _claim_retries_and_refreshes(self, by_id: Mapping[int, Source]) -> list[gateway.Row]:
        """Lock objects whose failed rendering is due for a retry, or whose document has aged: (source id, key)."""
        return gateway.fetch(
            self.using,
            "claim_retries_and_refreshes",
            source_ids=list(by_id),
            refreshed=_aging(by_id),
            max_objects=min(self._size.value, MAX_RETRIES_AND_REFRESHES),
        )

    def _sources_by_id(self) -> dict[int, Source]:
        """By content type. Looked up each time: Django caches the ids, and tests that empty the tables change them."""
        return {self.sources[label].content_type_id(self.using): self.sources[label] for label in self.labels}

    def _sync(self, wanted: Wanted, batch: RelayBatch) -> None:
        # In the same order in every process: two relays that lock objects of two models must not deadlock.
        for label, keys in sorted(wanted.keys.items()):
            refused = self._refused[label]
            source = self.sources[label]
            batch.report.add(sync_objects(source, keys, self.using, refused=refused, only_current=True))
        for label, keys in wanted.keys.items():
            for key in keys & self._refused[label].keys():
                del self._refused[label][key]  # the next attempt renders it


def _aging(by_id: Mapping[int, Source]) -> list[int]:
    """The ids of the sources whose documents age, by what the models declare now."""
    return [number for number, source in by_id.items() if source.config.refresh_after is not None]


def sync_objects(
    source: Source,
    keys: Iterable[str],
    using: str,
    *,
    force: bool = False,
    refused: Mapping[str, str] | None = None,
    only_current: bool = False,
) -> SyncReport:
    """Lock the objects, read and render their committed rows, and write what differs.

    Must run inside ``read_committed``. Objects without a row, or whose hooks keep them out, are removed. A hook that
    raises fails its own object only.

    Args:
        keys: object keys.
        force: requeue the documents, so that every chunk is embedded anew even where its text is the same.
        refused: errors by object key, of objects that fail without being locked and rendered.
        only_current: refuse where the database has another version of the model than this process. Otherwise a relay
            of that version renders the objects again afterwards.

    Raises:
        SourceUnavailableError: columns of the model are missing in the database, or ``only_current`` refuses.
    """
    refused = refused or {}
    wanted = sorted({normal_key(source.model, key) for key in keys})
    rendered = [key for key in wanted if key not in refused]
    # Locked before the rows are read: of two writers of one object the second sees what the first saw, or newer rows.
    # All callers lock in one order, so two batches cannot deadlock.
    if not lock_current_objects(source, rendered, using):
        if only_current:
            raise SourceUnavailableError(
                f"{source.label!r} has been migrated meanwhile: {advice(using)}.", label=source.label
            )
        gateway.fetch(using, "expansion_add", label=source.label, path="pk", object_keys=wanted)
    rendering = render_rows(source, rendered, using)
    rendering.failures += [(key, refused[key]) for key in wanted if key in refused]
    report = write_rendering(source, wanted, rendering, using, force=force)
    hook_costs.record(source.label, rendering.costs, using)
    return report
