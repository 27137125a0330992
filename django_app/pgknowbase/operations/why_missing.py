"""Why a search does not find one object: everything that keeps it out, the plainest first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

from django.db import models, transaction

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.keys import normal_key, parse_keys
from pgknowbase.core.text import is_storable
from pgknowbase.errors import SearchError
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.relay.rendering import render_rows
from pgknowbase.search.external import SearchMode
from pgknowbase.search.filters import Filters, Options, TextSearchOptions
from pgknowbase.search.queries import DenseQuery, Hit, KeywordQuery, Page, checked_text, hits
from pgknowbase.search.visibility import viewer_param
from pgknowbase.sources.registry import Source, source_of

CODES = {
    "found": "It is found.",
    "other_model": "Its model is not searched.",
    "no_row": "There is no such row.",
    "hook": "A hook keeps it out: should_sync_to_external_data() is false, or there is no text.",
    "hook_failed": "A hook raises.",
    "outbox": "A change waits in the outbox: a worker has to take it.",
    "not_indexed": "It was never brought into the index: sync it.",
    "inactive": "It is switched off (is_active is false).",
    "dead_letter": "It failed and is not tried again by itself: mend the cause and retry it.",
    "failed": "It failed and is tried again.",
    "queue": "It waits in the queue for its embeddings: a worker has to take it.",
    "stale_words": "Its words wait to be indexed: a worker has to do it.",
    "not_visible": "It is not visible to this user.",
    "filtered": "A filter leaves it out.",
    "no_chunks": "It has no chunks in the active space.",
    "no_words": "It shares no indexed word with the text.",
    "below_threshold": "It is less similar than its threshold asks.",
    "not_near": "Others are nearer.",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps an object out. ``code``: a key of ``CODES``; ``detail``: figures and errors."""

    code: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{CODES[self.code]} {self.detail}".rstrip()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why an object is missing. ``rank``: its place among all hits, from 1, as far as it was looked for."""

    reasons: tuple[Reason, ...]
    data: Any = None
    rank: int | None = None
    score: float | None = None
    similarity: float | None = None
    keyword_score: float | None = None
    threshold: float | None = None

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the reasons."""
        return tuple(reason.code for reason in self.reasons)


def why_missing(
    query: str,
    source: Source,
    key: str,
    *,
    using: str,
    mode: SearchMode = "semantic",
    among: Sequence[type[models.Model]] | None = None,
    **options: Unpack[TextSearchOptions],
) -> Verdict:
    """Why ``ExternalData.objects.search`` with these arguments (``among``: its ``models``) misses one object.

    Raises:
        SearchError: the query or the options are out of range.
        EmbeddingError: the query cannot be embedded.
    """
    if not is_storable(key):
        raise SearchError(f"The key {key!r} holds a NUL or a lone surrogate: remove it.")
    chosen = Options(**options, scored_by_words=mode == "keyword")
    question = _Question(checked_text(query), source, normal_key(source.model, key), using, mode, among, chosen)
    return question.answered(options)


@dataclass(frozen=True)
class _Question:
    text: str
    source: Source
    key: str
    using: str
    mode: SearchMode
    among: Sequence[type[models.Model]] | None
    options: Options

    def answered(self, options: TextSearchOptions) -> Verdict:
        data = ExternalData.objects.using(self.using).of_key(self.source, self.key).first()
        reasons = [*self._of_the_row(data)]
        if data is None:
            return Verdict((*(reasons or [Reason("not_indexed")]), *self._perhaps(reasons)))
        reasons += [*self._of_the_entry(data), *self._of_the_filters(data)]
        near = None if self.mode == "keyword" else self._alone(data, DenseQuery(self.text))
        worded = None if self.mode == "semantic" else self._alone(data, KeywordQuery(self.text))
        rank, score = self._rank(data, options)
        verdict = Verdict(
            (),
            data=data,
            rank=rank,
            score=score,
            similarity=None if near is None else near.similarity,
            keyword_score=None if worded is None else worded.keyword_score,
            threshold=data.similarity_threshold if self.options.threshold is None else self.options.threshold,
        )
        if rank is not None and rank <= self.options.offset + self.options.limit and rank > self.options.offset:
            return replace(verdict, reasons=(Reason("found", f"It has place {rank}."), *reasons))
        reasons += self._of_the_score(verdict, near, worded, bool(reasons))
        return replace(verdict, reasons=(*reasons, *self._perhaps(reasons)))

    def _of_the_row(self, data: Any) -> Iterator[Reason]:
        if self.among is not None and self.source.model not in self.among:
            yield Reason("other_model")
        manager = self.source.model._base_manager.using(self.using)
        if not manager.filter(pk__in=parse_keys(self.source.model, [self.key])).exists():
            yield Reason("no_row", "" if data is None else "The index still has it.")
        elif kept_out := self._hook():
            yield kept_out
        if self._has_event():
            yield Reason("outbox")

    def _has_event(self) -> bool:
        events = OutboxEvent.objects.using(self.using).filter(source=self.source.label, path="")
        return events.filter(object_keys__contains=[self.key]).exists()

    def _perhaps(self, reasons: Sequence[Reason]) -> Iterator[Reason]:
        """A change of which only the relay can say which objects it concerns."""
        if Reason("outbox") not in reasons and gateway.fetch(
            self.using, "objects_with_pending_events", label=self.source.label, object_keys=[self.key]
        ):
            yield Reason("outbox", "It is one of related rows or of the whole table, and may concern this object.")

    def _hook(self) -> Reason | None:
        with transaction.atomic(using=self.using):
            made = render_rows(self.source, [self.key], self.using)
        if made.failures:
            return Reason("hook_failed", made.failures[0][1])
        return None if self.key in made.records else Reason("hook")

    def _of_the_entry(self, data: Any) -> Iterator[Reason]:
        if not data.is_active:
            yield Reason("inactive")
        if data.status == "failed":
            tried = f"after {data.attempts} attempts: {data.error}"
            yield Reason("dead_letter" if data.retry_at is None else "failed", tried)
        elif data.status in ("pending", "processing"):
            yield Reason("queue")
        stale = gateway.fetch_value(
            self.using, "keywords_stale", source=data.content_type_id, object_key=data.object_key
        )
        if self.mode != "semantic" and stale:
            yield Reason("stale_words")

    def _of_the_filters(self, data: Any) -> Iterator[Reason]:
        itself = type(data).objects.using(self.using).filter(pk=data.pk)
        if not itself.visible(self.source, self.options.visible_to).exists():
            owner = "nobody owns it" if data.owner_id is None else f"user {data.owner_id} owns it"
            viewer = viewer_param(self.options.visible_to) or "nobody"
            yield Reason(
                "not_visible", f"It is {'public' if data.is_public else 'private'}, {owner}; asked as {viewer}."
            )
        if self.options.metadata and not self._passes(data, metadata=self.options.metadata):
            yield Reason("filtered", f"metadata is {data.metadata}.")
        if self.options.tags and not self._passes(data, tags=self.options.tags):
            yield Reason("filtered", f"tags are {data.tags}.")
        for name in ("changed_from", "changed_before"):
            moment = getattr(self.options, name)
            if moment is not None and not self._passes(data, **{name: moment}):
                yield Reason("filtered", f"{name}: it last changed at {data.updated_at:%Y-%m-%d %H:%M}.")

    def _passes(self, data: Any, **conditions: Any) -> bool:
        """Whether the database lets the object through these conditions alone: asked of the function that searches."""
        filters = Filters.of(Options(**conditions), sources=None, visible_to=None)
        given = {"filter": filters.json(), "external_data": data.pk}
        return bool(gateway.fetch_value(self.using, "object_matches_filter", **given))

    def _alone(self, data: Any, query: DenseQuery | KeywordQuery) -> Hit | None:
        """The object as a hit of one mode, whatever its threshold and the filters."""
        lowest = -1.0 if isinstance(query, DenseQuery) else None
        narrow = Filters(threshold=lowest, sources=[data.content_type_id], external_data_ids=[data.pk])
        if isinstance(query, KeywordQuery):
            # How rare a word is depends on the sources that are searched.
            narrow = replace(narrow, sources=self._sources())
        found = hits(query, self.using, Page(1), narrow)
        return found[0] if found else None

    def _sources(self) -> list[int] | None:
        return None if self.among is None else [source_of(model).content_type_id(self.using) for model in self.among]

    def _rank(self, data: Any, options: TextSearchOptions) -> tuple[int | None, float | None]:
        """The place and score of the object in the search itself, looked for as far as a search goes."""
        wide: TextSearchOptions = {**options, "limit": get_settings().search.max_limit, "offset": 0}
        rows = type(data).objects.using(self.using).search(self.text, models=self.among, mode=self.mode, **wide)
        for place, row in enumerate(rows, start=1):
            if row.pk == data.pk:
                return place, row.score
        return None, None

    def _of_the_score(self, verdict: Verdict, near: Hit | None, worded: Hit | None, kept_out: bool) -> Iterator[Reason]:
        itself = {"sources": [verdict.data.content_type_id], "keys": [verdict.data.object_key]}
        if self.mode != "keyword" and near is None and not gateway.fetch_value(self.using, "has_chunks", **itself):
            yield Reason("no_chunks")
        if self.mode == "keyword" and worded is None and verdict.data.is_active:
            yield Reason("no_words")
        measured = verdict.keyword_score if self.mode == "keyword" else verdict.similarity
        threshold = self.options.threshold if self.mode == "keyword" else verdict.threshold
        # By words too an object is found that is below it, where both are searched.
        below = measured is not None and threshold is not None and measured < threshold
        if below and (worded is None or self.mode == "keyword"):
            yield Reason("below_threshold", f"{measured:.4f} against {threshold:.4f}.")
            return
        if verdict.rank is not None:
            yield Reason("not_near", f"It has place {verdict.rank} with the score {verdict.score:.4f}.")
        elif measured is not None and not kept_out:
            most = get_settings().search.max_limit
            yield Reason("not_near", f"It is not among the first {most:,}; it has {measured:.4f}.")


def parsed_object(text: str) -> tuple[str, str]:
    """Model label and key of ``'blog.Article:12'``.

    Raises:
        SearchError: it is not such a text.
    """
    label, colon, key = text.strip().partition(":")
    if not (label and colon and key):
        raise SearchError(f"{text!r} names no object: write model and key, such as 'blog.Article:12'.")
    return label, key


__all__ = ["CODES", "Reason", "Verdict", "parsed_object", "why_missing"]
