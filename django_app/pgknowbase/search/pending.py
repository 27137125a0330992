"""Rows that wait to be indexed, found by their words: what ``include_pending`` adds to a search."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.registry import Source
from pgknowbase.search.hits import Filters, Hit

Key = tuple[int, str]
# Characters of JSON that are sent to the database at once; rows beyond count as not rendered.
LARGEST_RENDERING = 16_000_000


@dataclass(frozen=True)
class Waiting:
    """What waits among the objects of a search.

    ``hits``: those that share words with the search text, best first. ``gone``: objects that the index has and that the
    search must not find. ``changed``: objects whose change nobody has taken yet.
    """

    hits: list[Hit]
    gone: set[Key]
    changed: set[Key]


@dataclass(frozen=True)
class Pending:
    """Where a search looks for what waits.

    ``viewer`` as in ``Filters``; not asked about ``ruled`` sources, whose rows the queryset of the search filters.
    """

    text: str
    sources: Sequence[Source]
    viewer: str | None
    ruled: Sequence[Source]

    def waiting(self, using: str, filters: Filters) -> Waiting:
        """What waits now, after rendering the rows that have changed."""
        at_most = get_settings().search.max_pending
        changes = _Changes.of(self.sources, using, at_most)
        ruled = [source.content_type_id(using) for source in self.ruled]
        filters = replace(filters, viewer=self.viewer, threshold=None)
        sources, _, *others = filters.params()
        found = gateway.fetch(
            using, gateway.SEARCH_PENDING, self.text, changes.json(), at_most, ruled, sources, *others
        )
        hits = [
            Hit(source, key, data, None, None, None, None, rank, None, pending=True)
            for source, key, data, passes, rank in found
            if passes and rank > 0
        ]
        hidden = {(source, key) for source, key, _, passes, _ in found if not passes}
        return Waiting(hits, changes.gone | hidden, changes.keys)


@dataclass
class _Changes:
    """The newest changes: their objects, what those are rendered to, and those that are to leave the index."""

    keys: set[Key] = field(default_factory=set)
    gone: set[Key] = field(default_factory=set)
    records: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, sources: Sequence[Source], using: str, at_most: int) -> "_Changes":
        """The newest ``at_most`` objects with a change in the outbox."""
        made = cls()
        left = at_most
        for source, keys in _changed_keys(sources, using, at_most):
            made._render(source, keys[:left], using)
            left -= len(keys[:left])
        return made

    def _render(self, source: Source, keys: list[str], using: str) -> None:
        from pgknowbase.relay.rendering import render_rows
        from pgknowbase.relay.sync import carefully_if_needed

        if not keys:
            return
        rendering = carefully_if_needed(lambda careful: render_rows(source, keys, using, careful=careful))
        of_source = source.content_type_id(using)
        failed = {key for key, _ in rendering.failures}
        self.keys |= {(of_source, key) for key in keys}
        self.gone |= {(of_source, key) for key in keys if key not in rendering.records and key not in failed}
        self.records += [(of_source, record) for record in rendering.records.values()]

    def json(self) -> str:
        """The records for ``pgknowbase_search_pending_v1``."""
        parts, size = [], 0
        for source, record in self.records:
            size += len(record)
            if size > LARGEST_RENDERING:
                break
            parts.append(f'{{"source": {json.dumps(source)}, "record": {record}}}')
        return f"[{','.join(parts)}]"


def _changed_keys(sources: Sequence[Source], using: str, at_most: int) -> list[tuple[Source, list[str]]]:
    """The keys of objects with a change that waits, by source, the newest first: of rows, and of related rows.

    Left out are changes that concern a whole table: what they truncate is no row any more, and the rest is too much.
    """
    from pgknowbase.keys import normal_key
    from pgknowbase.relay.expand import page

    by_label = {source.label: source for source in sources}
    found: dict[str, dict[str, None]] = {}
    related: dict[tuple[str, str], dict[str, None]] = {}
    for label, path, keys, _ in gateway.fetch(using, gateway.PENDING_EVENTS, list(by_label), at_most):
        into = related.setdefault((label, path), {}) if path else found.setdefault(label, {})
        into.update(dict.fromkeys(keys or ()))
    for (label, path), values in related.items():
        if values:
            concerned = page(by_label[label], path, values, None, at_most, using).keys
            found.setdefault(label, {}).update(dict.fromkeys(concerned))
    return [
        (by_label[label], list(dict.fromkeys(normal_key(by_label[label].model, key) for key in keys)))
        for label, keys in found.items()
    ]


def merged(indexed: list[Hit], waiting: list[Hit]) -> list[Hit]:
    """Both in one order: after each indexed hit the waiting one of the same place, each object once.

    Their scores cannot be compared, so neither side may crowd the other out.
    """
    known = {(hit.source, hit.object_key) for hit in indexed}
    others = [hit for hit in waiting if (hit.source, hit.object_key) not in known]
    return [hit for pair in zip_longest(indexed, others) for hit in pair if hit is not None]


def marked(indexed: list[Hit], waiting: Waiting, using: str) -> list[Hit]:
    """``indexed`` hits, those that wait for a newer version marked as pending."""
    ids = [hit.external_data_id for hit in indexed]
    queued = {row[0] for row in gateway.fetch(using, gateway.PENDING_HITS, ids)} if ids else set()
    return [
        replace(hit, pending=hit.external_data_id in queued or (hit.source, hit.object_key) in waiting.changed)
        for hit in indexed
    ]
