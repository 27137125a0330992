"""The relay: from outbox events to documents."""

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.registry import Source, sources
from pgknowbase.relay import expand
from pgknowbase.relay.due import claim_due, due_sources
from pgknowbase.relay.floor import OutboxFloor
from pgknowbase.relay.rendering import SpoiledTransactionError
from pgknowbase.relay.sync import SyncReport, sync_objects
from pgknowbase.relay.transactions import fresh_reads, queued_last

logger = logging.getLogger("pgknowbase.relay")


@dataclass
class RelayBatch:
    """What one turn of the relay did: changed rows taken, expansions begun, pages of those, objects due again."""

    events: int = 0
    expansions: int = 0
    pages: int = 0
    retries: int = 0
    report: SyncReport = field(default_factory=SyncReport)

    @property
    def idle(self) -> bool:
        return not self.events and not self.pages and not self.retries


class Relay:
    """Takes outbox events in batches, each batch in one transaction: it is done wholly or not at all.

    What an event of a related row concerns is found page by page, one page after each batch of events: the change of a
    row that many others show keeps no other waiting.
    """

    def __init__(self, using: str | None = None, *, batch_size: int | None = None) -> None:
        settings = get_settings()
        self.using = using or settings.database
        self.batch_size = batch_size or settings.worker.relay_batch_size
        self.sources: dict[str, Source] = {source.label: source for source in sources()}
        self.labels = list(self.sources)
        self.floor = OutboxFloor(self.labels, self.using)

    @property
    def by_id(self) -> dict[int, Source]:
        """The sources by content type; Django caches the ids, and forgets them where tests empty the tables."""
        return {source.content_type_id(self.using): source for source in self.sources.values()}

    def run_once(self) -> RelayBatch:
        """Work off one batch of events and one page of expansions, or failed objects that are due again."""
        batch = RelayBatch()
        ((events, expansions, due),) = gateway.fetch(
            self.using, gateway.OUTBOX_WAITING, self.labels, self.floor.refresh(), *due_sources(self.by_id)
        )
        if events:
            self._step(self._events, batch)
        if expansions or batch.expansions:
            self._step(self._page, batch, backfill=True)
        if due and not batch.events:
            self._step(self._due_again, batch)
        return batch

    def _step(self, step: Callable[[RelayBatch, bool], None], total: RelayBatch, *, backfill: bool = False) -> None:
        """Run ``step`` in a transaction; again, with a savepoint for each row, where a hook's query failed.

        ``backfill``: the executor takes fresh documents before these.
        """
        for careful in (False, True):
            batch = RelayBatch()
            try:
                with fresh_reads(self.using), queued_last(self.using, backfill):
                    step(batch, careful)
            except SpoiledTransactionError as error:
                if careful:
                    raise
                logger.info("rendering row by row after %s", error)
                continue
            total.events += batch.events
            total.expansions += batch.expansions
            total.pages += batch.pages
            total.retries += batch.retries
            total.report.add(batch.report)
            return

    def _events(self, batch: RelayBatch, careful: bool) -> None:
        events = gateway.fetch(self.using, gateway.OUTBOX_CLAIM, self.labels, self.floor.value, self.batch_size)
        wanted: dict[str, set[str]] = defaultdict(set)
        related: dict[tuple[str, str], set[str]] = defaultdict(set)
        for _, label, path, keys in events:
            if keys is None:
                gateway.fetch(self.using, gateway.EXPANSION_ADD, label, path, None)
                batch.expansions += 1
            else:
                known = {key for key in keys if key is not None}
                (related[label, path] if path else wanted[label]).update(known)
        for (label, path), values in sorted(related.items()):
            gateway.fetch(self.using, gateway.EXPANSION_ADD, label, path, sorted(values))
            batch.expansions += 1
        batch.events = sum(max(1, len(keys or ())) for *_, keys in events)
        self._sync(wanted, batch, careful)
        if events:
            gateway.fetch(self.using, gateway.OUTBOX_ACK, [event[0] for event in events])

    def _page(self, batch: RelayBatch, careful: bool) -> None:
        """Up to a batch of objects from the expansions whose turn it is."""
        room = self.batch_size
        wanted: dict[str, set[str]] = defaultdict(set)
        while room > 0:
            claimed = gateway.fetch(self.using, gateway.EXPANSION_CLAIM, self.labels)
            if not claimed:
                break
            ((expansion, label, path, keys, after),) = claimed
            page = expand.page(self.sources[label], path, keys, after, room, self.using)
            gateway.fetch(self.using, gateway.EXPANSION_TURN, expansion, page.last)
            wanted[label].update(page.keys)
            room -= len(page.keys)
            batch.pages += 1
        self._sync(wanted, batch, careful)

    def _due_again(self, batch: RelayBatch, careful: bool) -> None:
        wanted: dict[str, set[str]] = defaultdict(set)
        batch.retries = claim_due(self.by_id, wanted, self.using, self.batch_size)
        self._sync(wanted, batch, careful)

    def _sync(self, wanted: dict[str, set[str]], batch: RelayBatch, careful: bool) -> None:
        for label in sorted(wanted):
            batch.report.add(sync_objects(self.sources[label], wanted[label], self.using, careful=careful))
