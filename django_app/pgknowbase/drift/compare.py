"""The comparison of source rows with the index, page by page.

Each page is compared while its objects are locked. Whoever holds the lock keeps every relay from writing these objects,
and a relay deletes an event only after it has written its objects. So what differs from the row that was read either
has its event still in the outbox, which is looked at last, or has drifted: writers raise no false alarm.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence

from pgknowbase import gateway
from pgknowbase.drift.report import Drift, Fault
from pgknowbase.errors import SpaceMismatchError
from pgknowbase.keys import object_key, parse_keys
from pgknowbase.registry import Source
from pgknowbase.relay.backfill import row_keys
from pgknowbase.relay.rendering import render_rows
from pgknowbase.relay.sync import carefully_if_needed
from pgknowbase.relay.transactions import fresh_reads
from pgknowbase.vectorizer.pgai import Splitter, splitter
from pgknowbase.vectorizer.spaces import active_space

Heal = Callable[[Sequence[Fault]], None]
Progress = Callable[[int], object]


class Comparison:
    """Compares one source model with its objects in the index and in the active space; writes nothing.

    ``heal`` is called with the faults of each page that do not wait, outside the page's transaction.

    Raises:
        SpaceMismatchError: there is no active space.
    """

    def __init__(self, source: Source, using: str, *, batch_size: int = 500) -> None:
        self.source, self.using, self.batch_size = source, using, batch_size
        self.source_id = source.content_type_id(using)
        self.splitter = _splitter(using)
        self.drift = Drift(source.label)

    def run(self, heal: Heal = lambda faults: None, progress: Progress = lambda rows: None) -> Drift:
        """Compare every row, then everything that the index holds."""
        started = time.perf_counter()
        for keys in row_keys(self.source, self.using, self.batch_size):
            self._take(self._rows(keys), heal)
            self.drift.rows += len(keys)
            progress(len(keys))
        for keys in self._index_keys():
            self._take([*self._without_row(keys), *self._chunks(keys)], heal)
        self.drift.seconds = time.perf_counter() - started
        return self.drift

    def _take(self, faults: Sequence[Fault], heal: Heal) -> None:
        for fault in faults:
            self.drift.add(fault)
        if drifted := [fault for fault in faults if not fault.waits]:
            heal(drifted)

    def _rows(self, keys: Sequence[str]) -> list[Fault]:
        """The faults of these rows."""

        def attempt(careful: bool) -> tuple[list[Fault], list[tuple[str, str]]]:
            with fresh_reads(self.using):
                gateway.fetch(self.using, gateway.LOCK_OBJECTS, self.source_id, list(keys))
                made = render_rows(self.source, keys, self.using, careful=careful)
                failed = {key for key, _ in made.failures}
                return self._compare([key for key in keys if key not in failed], made.records), made.failures

        faults, failures = carefully_if_needed(attempt)
        self.drift.add_failures(failures)
        return faults

    def _without_row(self, keys: Sequence[str]) -> list[Fault]:
        """The faults of those that have no row."""
        rows = self.source.model._base_manager.using(self.using)
        with fresh_reads(self.using):
            gateway.fetch(self.using, gateway.LOCK_OBJECTS, self.source_id, list(keys))
            pks = rows.filter(pk__in=parse_keys(self.source.model, keys)).values_list("pk", flat=True)
            alive = {object_key(pk) for pk in pks}
            return self._compare([key for key in keys if key not in alive], {})

    def _compare(self, keys: Sequence[str], records: dict[str, str]) -> list[Fault]:
        if not keys:
            return []
        rows = f"[{','.join(records.values())}]"
        found = gateway.fetch(self.using, gateway.COMPARE, self.source_id, self.source.label, list(keys), rows)
        return [
            Fault(key, kind, ", ".join(fields), waits, redo="document" in fields or kind == "missing")
            for key, kind, fields, waits in found
        ]

    def _index_keys(self) -> Iterator[list[str]]:
        last: str | None = None
        while page := gateway.fetch(self.using, gateway.INDEX_KEYS, self.source_id, last, self.batch_size):
            yield [row[0] for row in page]
            last = page[-1][0]

    def _chunks(self, keys: Sequence[str]) -> Iterator[Fault]:
        """The faults between documents and chunks. One snapshot shows both and the queue, so no lock is needed."""
        for key, title, content, chunks, queued, dead in gateway.fetch(
            self.using, gateway.CHUNK_STATE, self.source_id, list(keys)
        ):
            stored = [tuple(chunk) for chunk in json.loads(chunks)]
            if content is None and stored:
                yield Fault(key, "dangling", "chunks without a document", redo=True)
            elif content is None and queued:
                # Whoever claims an item without a document drops it.
                yield Fault(key, "dangling", "queued without a document", waits=True)
            elif queued:
                yield Fault(key, "dangling", "not embedded yet", waits=True)
            elif content is not None and not dead:
                wanted = self.splitter.split(self.source_id, key, title, content)
                if stored != list(enumerate(wanted)):
                    yield Fault(key, "dangling", "chunks of another text" if stored else "no chunks")


def _splitter(using: str) -> Splitter:
    space = active_space(using)
    if space is None:
        raise SpaceMismatchError(f"Database {using!r} has no active embedding space: run 'manage.py migrate'.")
    return splitter(gateway.fetch_value(using, gateway.VECTORIZER, space.vectorizer_id))
