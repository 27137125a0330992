"""The relay: from outbox events to documents."""

import logging
from collections import defaultdict
from dataclasses import dataclass, field

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.registry import Source, sources
from pgknowbase.relay.due import claim_due
from pgknowbase.relay.rendering import SpoiledTransactionError
from pgknowbase.relay.sync import SyncReport, sync_objects
from pgknowbase.relay.transactions import fresh_reads

logger = logging.getLogger("pgknowbase.relay")


@dataclass
class RelayBatch:
    """What one turn of the relay did: events taken, objects tried again or refreshed, and what became of them."""

    events: int = 0
    retries: int = 0
    report: SyncReport = field(default_factory=SyncReport)

    @property
    def idle(self) -> bool:
        return not self.events and not self.retries


class Relay:
    """Takes outbox events in batches, each batch in one transaction: it is done wholly or not at all."""

    def __init__(self, using: str | None = None, *, batch_size: int | None = None) -> None:
        settings = get_settings()
        self.using = using or settings.database
        self.batch_size = batch_size or settings.worker.relay_batch_size
        self.sources: dict[str, Source] = {source.label: source for source in sources()}

    def run_once(self) -> RelayBatch:
        """Work off one batch of events, or of objects that are due again."""
        try:
            return self._batch(careful=False)
        except SpoiledTransactionError as error:
            logger.info("rendering row by row after %s", error)
            return self._batch(careful=True)

    def _batch(self, *, careful: bool) -> RelayBatch:
        batch = RelayBatch()
        with fresh_reads(self.using):
            events = gateway.fetch(self.using, gateway.OUTBOX_CLAIM, list(self.sources), self.batch_size)
            wanted: dict[str, set[str]] = defaultdict(set)
            for _, label, key, _, op in events:
                if op == "T":
                    source_id = self.sources[label].content_type_id(self.using)
                    gateway.fetch(self.using, gateway.OUTBOX_EXPAND, source_id, label)
                else:
                    wanted[label].add(key)
            batch.events = len(events)
            if not events:
                batch.retries = claim_due(self.sources.values(), wanted, self.using, self.batch_size)
            for label in sorted(wanted):
                batch.report.add(sync_objects(self.sources[label], wanted[label], self.using, careful=careful))
            if events:
                gateway.fetch(self.using, gateway.OUTBOX_ACK, [event[0] for event in events])
        return batch
