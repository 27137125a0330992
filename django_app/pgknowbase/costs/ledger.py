"""Writing the ledger: entries of batches, queries and runs."""

import json
import logging
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from django.db import DatabaseError, InterfaceError, connections

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.times import midnight
from pgknowbase.costs.calls import Call, UsageKind, apportion
from pgknowbase.costs.prices import embedding_price
from pgknowbase.costs.tenants import Spender, tenant_of
from pgknowbase.embeddings.base import Embedder

logger = logging.getLogger("pgknowbase.costs")

DocumentKey = tuple[int, str]
# Of one statement, and of a turn of the worker.
MAX_FOLDED = 10_000
FOLD_INTERVAL = 10.0
# Seconds between two writes of the queries that a process has embedded outside of requests.
QUERY_INTERVAL = 5.0


class Provided(Protocol):
    """A model that is asked: an ``Embedder`` or a ``Reranker``."""

    model: str
    provider: str


@dataclass
class _Figures:
    """Sums of one entry; names as the columns."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def entry(self, price: Decimal | None, **names: Any) -> dict[str, Any]:
        """A row of the ledger."""
        tokens = self.counts["tokens"]
        return {
            **names,
            "day": midnight().date().isoformat(),
            **self.counts,
            "unpriced_tokens": 0 if price is not None else tokens,
            "seconds": self.seconds,
            "cost": None if price is None else str(price * tokens),
        }


class EmbeddingUsage:
    """What the calls for one batch of documents have used, shared out to the source models and tenants of the texts.

    A provider bills a call as a whole. Where the tokens of each text are not known, the sum of the call is shared by
    characters, so that the shares of all tenants together are exactly what was billed.

    Args:
        space: its name.
        documents: of each text one document that has it.
    """

    def __init__(self, using: str, embedder: Embedder, space: str, documents: Mapping[str, DocumentKey]) -> None:
        self.using = using
        self.embedder = embedder
        self.space = space
        self.documents = documents
        self._calls: list[Call] = []
        self._reused: list[str] = []
        self._spenders: dict[DocumentKey, tuple[str, str]] | None = None

    def add(self, call: Call) -> None:
        """Take note of a call, from any thread."""
        self._calls.append(call)

    def reuse(self, texts: Iterable[str]) -> None:
        """Take note of texts that needed no call."""
        self._reused.extend(texts)

    def write(self) -> None:
        """Write what was noted since the last time, by one statement; and look the documents up, once."""
        calls, self._calls = self._calls, []
        reused, self._reused = self._reused, []
        if not calls and not reused:
            return
        figures: defaultdict[tuple[str, str], _Figures] = defaultdict(_Figures)
        for call in calls:
            self._share_out(call, figures)
        for text in reused:
            figures[self._spender(text)].counts["reused"] += 1
        price = embedding_price(self.embedder.model, self.embedder.provider)
        add_entries(
            self.using,
            [
                each.entry(
                    price,
                    kind=UsageKind.EMBEDDING,
                    provider=self.embedder.provider,
                    model=self.embedder.model,
                    space=self.space,
                    source=source,
                    tenant=tenant,
                )
                for (source, tenant), each in figures.items()
            ],
        )

    def _share_out(self, call: Call, figures: Mapping[tuple[str, str], _Figures]) -> None:
        groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for place, text in enumerate(call.texts):
            groups[self._spender(text)].append(place)
        lengths = [len(call.texts[place]) for place in range(len(call.texts))]
        characters = {group: sum(lengths[place] for place in places) for group, places in groups.items()}
        weights = [
            sum(call.tokens[place] for place in places) if call.tokens is not None else characters[group]
            for group, places in groups.items()
        ]
        billed, estimated = (apportion(n, weights) for n in (call.billed_tokens, call.estimated_tokens))
        for number, (group, places) in enumerate(groups.items()):
            each = figures[group]
            each.seconds += call.seconds * characters[group] / max(call.characters, 1)
            each.counts.update(tokens=billed[number], estimated_tokens=estimated[number])
            if not call.failed:
                each.counts.update(texts=len(places), characters=characters[group])
        # A call is whole: it counts for whoever had most of it.
        most = max(groups, key=characters.__getitem__)
        figures[most].counts.update(
            calls=1,
            failed_calls=int(call.failed),
            retried_calls=int(call.retried),
            doubtful_calls=int(call.is_doubtful),
        )

    def _spender(self, text: str) -> tuple[str, str]:
        """Source model and tenant of a text; of the one that probes a provider, nobody's."""
        document = self.documents.get(text)
        if document is None:
            return "", ""
        if self._spenders is None:
            self._spenders = read_spenders(self.using, set(self.documents.values()))
        return self._spenders.get(document, ("", ""))


def record_texts(
    using: str, embedder: Embedder, calls: Iterable[Call], *, kind: UsageKind, space: str, tenant: str
) -> None:
    """Add what calls for texts that belong to no document have used."""
    figures = _Figures()
    for call in calls:
        figures.seconds += call.seconds
        figures.counts.update(
            calls=1,
            failed_calls=int(call.failed),
            doubtful_calls=int(call.is_doubtful),
            texts=0 if call.failed else len(call.texts),
            characters=0 if call.failed else call.characters,
            tokens=call.billed_tokens,
            estimated_tokens=call.estimated_tokens,
        )
    if figures.counts["calls"]:
        names = {"provider": embedder.provider, "model": embedder.model, "space": space, "tenant": tenant}
        add_entries(using, [figures.entry(embedding_price(embedder.model, embedder.provider), kind=kind, **names)])


def read_spenders(using: str, documents: Iterable[DocumentKey]) -> dict[DocumentKey, tuple[str, str]]:
    """Label of the source model and tenant of documents, by key."""
    keys, has_hook = list(documents), bool(get_settings().costs.tenant)
    rows = gateway.fetch(
        using,
        "text_owners",
        sources=[source for source, _ in keys],
        ids=[key for _, key in keys],
        with_metadata=has_hook,
    )
    if not has_hook:
        return {(source, key): (label, owner or "") for source, key, label, owner, _ in rows}
    return {
        (source, key): (label, tenant_of(Spender(owner or "", label, key, json.loads(metadata or "null") or {})))
        for source, key, label, owner, metadata in rows
    }


def add_entries(using: str, entries: list[dict[str, Any]]) -> None:
    """Insert entries: dicts with the columns of ``UsageEntry``."""
    gateway.fetch(using, "usage_add", rows=json.dumps(entries))


def record_run(
    using: str,
    *,
    kind: UsageKind,
    model: str,
    user_id: Any,
    calls: int,
    failed: bool,
    input_tokens: int,
    output_tokens: int,
    cost: Decimal | None,
    seconds: float,
) -> None:
    """Add what one run of an agent, or one answer of a chat, has used since it was last recorded."""
    tokens = input_tokens + output_tokens
    if not calls and not tokens:
        return
    entry = {
        "day": midnight().date().isoformat(),
        "kind": kind,
        "model": model,
        "tenant": tenant_of(Spender("" if user_id is None else str(user_id))),
        "calls": calls,
        "failed_calls": int(failed and calls > 0),
        "tokens": input_tokens,
        "output_tokens": output_tokens,
        "unpriced_tokens": tokens if cost is None else 0,
        "cost": None if cost is None else str(cost),
        "seconds": seconds,
    }
    add_entries(using, [entry])


class QueryUsage:
    """What this process has used for search texts and has not written yet.

    A search writes nothing: it may run in a transaction of its caller, which may be read-only, or end with a rollback
    that would lose what was paid for. The figures are written at the end of a request, or every five seconds outside of
    any transaction; a process that ends loses those of its last seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._figures: defaultdict[tuple[str, str, str, UsageKind], _Figures] = defaultdict(_Figures)
        self._written_at = time.monotonic()
        self._has_warned = False

    def add(self, asked: Provided, call: Call, kind: UsageKind = UsageKind.QUERY) -> None:
        """Take note of the call for one search text, and write what is due."""
        using = get_settings().database
        with self._lock:
            figures = self._figures[using, asked.provider, asked.model, kind]
            figures.seconds += call.seconds
            figures.counts.update(
                calls=1,
                failed_calls=int(call.failed),
                doubtful_calls=int(call.is_doubtful),
                texts=0 if call.failed else len(call.texts),
                characters=0 if call.failed else call.characters,
                tokens=call.billed_tokens,
                estimated_tokens=call.estimated_tokens,
            )
        if self._is_due():
            self.write(connect=False)

    def write_after_request(self, **kwargs: Any) -> None:
        """Write on the connection of the request, else every five seconds; a receiver of ``request_finished``."""
        self.write(connect=self._is_due())

    def write(self, *, connect: bool = True) -> None:
        """Write the figures, unless a transaction is open.

        Args:
            connect: open a connection where this thread has none.
        """
        with self._lock:
            for key in [key for key in self._figures if key[0] not in connections.settings]:
                lost = self._figures.pop(key).counts["calls"]
                logger.warning("what %d searches have used is not recorded: no database is %r any more", lost, key[0])
            due = [key for key in self._figures if _is_free(key[0], connect=connect)]
            taken = {key: self._figures.pop(key) for key in due}
            self._written_at = time.monotonic()
        for (using, provider, model, kind), figures in taken.items():
            was_open = connections[using].connection is not None
            names = {"provider": provider, "model": model, "tenant": tenant_of(Spender())}
            entry = figures.entry(embedding_price(model, provider), kind=kind, **names)
            try:
                add_entries(using, [entry])
            except (DatabaseError, InterfaceError) as error:
                # Such as a role that may only read: a search must not fail for its bookkeeping.
                level = logging.DEBUG if self._has_warned else logging.WARNING
                logger.log(level, "what %d searches have used is not recorded: %s", figures.counts["calls"], error)
                self._has_warned = True
            if not was_open:
                connections[using].close_if_unusable_or_obsolete()

    def _is_due(self) -> bool:
        return time.monotonic() >= self._written_at + QUERY_INTERVAL

    def forget(self) -> None:
        """Drop what is not written: it is the parent's, in a process that was forked."""
        self.__init__()  # type: ignore[misc]


def _is_free(using: str, *, connect: bool) -> bool:
    connection = connections[using]
    return not connection.in_atomic_block and (connect or connection.connection is not None)


query_usage = QueryUsage()
os.register_at_fork(after_in_child=query_usage.forget)


class UsageFold:
    """Folds the entries into sums of days, at most every ten seconds, and lets kept vectors expire."""

    # A vector says something of its text, and whoever deletes a row expects that to end.
    KEPT_DAYS = 30

    def __init__(self, using: str) -> None:
        self.using = using
        self._due = 0.0

    def run_if_due(self) -> None:
        """Fold, unless the last time was too recent."""
        if time.monotonic() < self._due:
            return
        folded = gateway.fetch_value(self.using, "usage_fold", max_rows=MAX_FOLDED)
        gateway.fetch(self.using, "kept_vectors_expire", max_rows=1000, days=self.KEPT_DAYS)
        self._due = time.monotonic() + (FOLD_INTERVAL if folded < MAX_FOLDED else 0.0)
