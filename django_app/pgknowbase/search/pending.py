"""Pending objects, found by their words: what ``include_pending`` adds to a search.

An object is pending while its newest committed state is not in the index. There are three kinds: its change is still in
the outbox, its document is still in the queue of the vectorizer, or the words of its document are stale. SQL reads the
documents of the last two. Objects of the first kind have no current document, so their rows are rendered here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TypeAlias

from pgknowbase.core import gateway
from pgknowbase.core.keys import normal_key
from pgknowbase.relay.expansion import expand
from pgknowbase.relay.rendering import render_rows
from pgknowbase.search.filters import Filters
from pgknowbase.search.queries import Hit
from pgknowbase.sources.registry import Source

# The id of the source model's content type, and the object key.
ObjectId: TypeAlias = tuple[int, str]
# Characters of JSON that one statement may send; rendered rows beyond them are left out of the search.
MAX_RENDERED_CHARACTERS = 16_000_000
# Objects of each kind that one search looks at, the newest first. Each changed row is rendered, so this bounds what a
# search costs while a bulk load is pending; a row that was written just now is among the newest.
MAX_PENDING = 1000


@dataclass(frozen=True)
class PendingObjects:
    """What is pending among the objects of a search.

    Attributes:
        hits: the pending objects that share words with the search text, best first.
        removed: objects that the index may still have, and that their newest state excludes from the search.
        changed: objects whose change is still in the outbox.
    """

    hits: list[Hit]
    removed: set[ObjectId]
    changed: set[ObjectId]


@dataclass(frozen=True)
class PendingSearch:
    """The pending half of a search.

    Args:
        text: the search text.
        sources: the source models that are searched.
        visible_to: the viewer, as in ``Filters``.
        ruled_sources: source models with a visibility rule of their own. ``visible_to`` does not apply to them, because
            the queryset of the search has their rule as a condition.
    """

    text: str
    sources: Sequence[Source]
    visible_to: str | None
    ruled_sources: Sequence[Source]

    def find(self, using: str, filters: Filters) -> PendingObjects:
        """Render the rows that have changed, and search them and the queued documents in one statement."""
        changes = _Changes.find(self.sources, using, MAX_PENDING)
        ruled = [source.content_type_id(using) for source in self.ruled_sources]
        # The rank of a pending object is neither a similarity nor a BM25 score, so no threshold applies to it.
        filters = replace(filters, visible_to=self.visible_to, threshold=None)
        found = gateway.fetch(
            using,
            "search_pending",
            text=self.text,
            rendered=changes.json(),
            max_pending=MAX_PENDING,
            ruled=ruled,
            filter=filters.json(),
        )
        hits = [
            Hit(source, key, data, None, None, None, None, rank, None, pending=True)
            for source, key, data, passes, rank in found
            if passes and rank > 0
        ]
        # The index may have an older version that passes the filter. The newest state decides.
        hidden = {(source, key) for source, key, _, passes, _ in found if not passes}
        return PendingObjects(hits, changes.removed | hidden, changes.changed)


@dataclass
class _Changes:
    """The objects with a change in the outbox.

    Attributes:
        changed: all of them.
        removed: those whose row is deleted, or kept out of the index by its hooks.
        records: the others, as content type id and the JSON that rendering gives.
    """

    changed: set[ObjectId] = field(default_factory=set)
    removed: set[ObjectId] = field(default_factory=set)
    records: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def find(cls, sources: Sequence[Source], using: str, max_objects: int) -> "_Changes":
        """Render the ``max_objects`` objects whose changes are the newest."""
        changes = cls()
        remaining = max_objects
        for source, keys in _changed_keys(sources, using, max_objects):
            changes._render(source, keys[:remaining], using)
            remaining -= len(keys[:remaining])
        return changes

    def _render(self, source: Source, keys: list[str], using: str) -> None:
        if not keys:
            return
        rendering = render_rows(source, keys, using)
        content_type_id = source.content_type_id(using)
        # The index keeps its last version of a row that cannot be rendered, and so does the search.
        failed = {key for key, _ in rendering.failures}
        self.changed |= {(content_type_id, key) for key in keys}
        self.removed |= {(content_type_id, key) for key in keys if key not in rendering.records and key not in failed}
        self.records += [(content_type_id, record) for record in rendering.records.values()]

    def json(self) -> str:
        """The records as the parameter ``rendered`` of ``pgknowbase_search_pending_v1``."""
        parts, size = [], 0
        for content_type_id, record in self.records:
            size += len(record)
            if size > MAX_RENDERED_CHARACTERS:
                break
            # A record is JSON already; it is neither parsed nor quoted.
            parts.append(f'{{"source": {json.dumps(content_type_id)}, "record": {record}}}')
        return f"[{','.join(parts)}]"


def _changed_keys(sources: Sequence[Source], using: str, max_objects: int) -> list[tuple[Source, list[str]]]:
    """The keys of the objects with a change in the outbox, by source model, the newest first.

    They are the changed rows themselves and the rows that show a changed related row. A change of a whole table
    (TRUNCATE) has no keys and is left out: its own rows are gone, and the rows that showed them are too many to render.
    """
    by_label = {source.label: source for source in sources}
    # Dicts stand for sets that keep their order.
    found: dict[str, dict[str, None]] = {}
    related: dict[tuple[str, str], dict[str, None]] = {}
    for label, path, keys, _ in gateway.fetch(using, "pending_events", labels=list(by_label), max_events=max_objects):
        into = related.setdefault((label, path), {}) if path else found.setdefault(label, {})
        into.update(dict.fromkeys(keys or ()))
    for (label, path), values in related.items():
        if values:
            concerned = expand(by_label[label], path, values, None, max_objects, using).keys
            found.setdefault(label, {}).update(dict.fromkeys(concerned))
    return [
        (by_label[label], list(dict.fromkeys(normal_key(by_label[label].model, key) for key in keys)))
        for label, keys in found.items()
    ]


def interleave(indexed: list[Hit], pending: list[Hit]) -> list[Hit]:
    """Both lists in one order, by rank: an indexed hit, then the pending hit of the same rank.

    Each object appears once. The scores of the two lists cannot be compared, so neither list may displace the other.
    """
    known = {(hit.source, hit.object_key) for hit in indexed}
    others = [hit for hit in pending if (hit.source, hit.object_key) not in known]
    return [hit for pair in zip_longest(indexed, others) for hit in pair if hit is not None]


def mark_pending(indexed: list[Hit], pending: PendingObjects, using: str) -> list[Hit]:
    """The ``indexed`` hits, each with ``pending`` set to whether a newer version of its object is to be indexed."""
    ids = [hit.external_data_id for hit in indexed]
    queued = {row[0] for row in gateway.fetch(using, "pending_hits", ids=ids)} if ids else set()
    return [
        replace(hit, pending=hit.external_data_id in queued or (hit.source, hit.object_key) in pending.changed)
        for hit in indexed
    ]
