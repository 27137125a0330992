"""What a search service can be asked: pydantic models, which REST and MCP take as they are."""

from typing import Any

from pydantic import AwareDatetime, Field, model_validator

from pgknowbase.conf import IfServerDown
from pgknowbase.core.strict import StrictModel
from pgknowbase.replicas.freshness import MAX_TIMEOUT, Freshness, IfStale
from pgknowbase.replicas.tokens import MAX_CHARACTERS
from pgknowbase.search.external import SearchMode
from pgknowbase.search.facets import MAX_FACETS, MAX_VALUES
from pgknowbase.search.filters import (
    MAX_CURSOR,
    MAX_MODELS,
    MAX_OFFSET,
    MAX_ORDER,
    MAX_SNIPPET,
    MAX_TAGS,
    MIN_SNIPPET,
    SearchOptions,
)
from pgknowbase.search.queries import MAX_QUERY_CHARACTERS
from pgknowbase.search.visibility import Viewer


class FreshQuery(StrictModel):
    """What the answer must have: see docs/scaling.md."""

    fresh: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_CHARACTERS,
        description="A freshness token: the answer has what was written before it was given. Over REST also as the"
        " header Pgknowbase-Fresh.",
    )
    fresh_timeout: float | None = Field(
        None, ge=0, le=MAX_TIMEOUT, description="Seconds to wait for that; none: as the server is set."
    )
    if_stale: IfStale | None = Field(
        None,
        description="What is done after them: ask the primary, answer and say that it is pending, or fail; none: as the"
        " server is set.",
    )

    @property
    def freshness(self) -> Freshness | None:
        """What the server that answers must have."""
        return Freshness.of(self.fresh, self.fresh_timeout, self.if_stale)


class ObjectQuery(FreshQuery):
    """Which objects there are, as ``ObjectFilters``: see docs/searching.md."""

    models: list[str] | None = Field(
        None, max_length=MAX_MODELS, description="Labels of source models; none: all.", examples=[["blog.Article"]]
    )
    metadata: dict[str, Any] | None = Field(
        None, description="Conditions on metadata.", examples=[{"year": {"gte": 2020}}]
    )
    tags: list[str] | None = Field(None, max_length=MAX_TAGS, description="Each result has all of these.")
    changed_from: AwareDatetime | None = Field(None, description="Entry in the index last changed then or later.")
    changed_before: AwareDatetime | None = Field(None, description="Entry in the index last changed before.")


class FacetQuery(ObjectQuery):
    """What to count: by which facets, of the objects that a search for ``query`` finds by its words, or of all."""

    facets: list[str] = Field(
        min_length=1,
        max_length=MAX_FACETS,
        description="tags, model, metadata.KEY, updated:PERIOD, created:PERIOD, metadata.KEY:PERIOD; a period is day,"
        " month or year.",
        examples=[["tags", "updated:month"]],
    )
    query: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_QUERY_CHARACTERS,
        description="Count what a keyword search for this finds; none: everything that passes the filters.",
    )
    values: int = Field(20, ge=1, le=MAX_VALUES, description="Values of each facet at most.")


class QueryFilters(ObjectQuery):
    """What narrows a search, as ``SearchOptions``: see docs/searching.md."""

    limit: int = Field(10, ge=1, description="Results at most.")
    offset: int = Field(0, ge=0, le=MAX_OFFSET, description="How many of the best to leave out.")
    cursor: str | None = Field(
        None, min_length=1, max_length=MAX_CURSOR, description="next_cursor of the page before, instead of an offset."
    )
    threshold: float | None = Field(
        None, allow_inf_nan=False, description="Least similarity; of a keyword search the least BM25 score."
    )
    order_by: str | None = Field(
        None,
        max_length=MAX_ORDER,
        description="updated, created or metadata.KEY, with - before it for descending order; none: by score. It orders"
        " the best 1,000 results.",
        examples=["-updated"],
    )
    min_relevance: float | None = Field(
        None, ge=0, le=1, description="With order_by: least share of the best score that a result has; 0.5 by default."
    )

    if_server_down: IfServerDown | None = Field(
        None,
        description="What is done while a server of the cluster does not answer: fail, or answer from the others and"
        " say that the results are partial; none: as the server is set.",
    )

    def options(self, viewer: Viewer, *, extra: int) -> SearchOptions:
        """As keyword arguments of a search that finds ``extra`` more."""
        return SearchOptions(
            limit=self.limit + extra,
            offset=self.offset,
            cursor=self.cursor,
            order_by=self.order_by,
            min_relevance=self.min_relevance,
            threshold=self.threshold,
            metadata=self.metadata,
            tags=self.tags,
            changed_from=self.changed_from,
            changed_before=self.changed_before,
            visible_to=viewer,
            if_server_down=self.if_server_down,
        )


class SearchQuery(QueryFilters):
    """A search: by meaning (``semantic``), by words (``keyword``) or by both (``hybrid``)."""

    query: str = Field(
        min_length=1,
        max_length=MAX_QUERY_CHARACTERS,
        description="What to look for. In the modes keyword and hybrid also:"
        ' "a phrase", -without, one OR another, title:word, pref*.',
        examples=["how do triggers work"],
    )
    mode: SearchMode = "semantic"
    snippet_length: int | None = Field(
        None,
        ge=MIN_SNIPPET,
        le=MAX_SNIPPET,
        description="Characters of a snippet; with it results have highlighted_title and snippet.",
    )
    correct_typos: bool = Field(
        False, description="Replace words that no object has by the nearest that objects have; see did_you_mean."
    )
    dense_weight: float | None = Field(
        None, ge=0, le=1, description="What meaning weighs against words; for mode 'hybrid'."
    )
    rerank: str | None = Field(
        None,
        min_length=1,
        max_length=40,
        description="Name of the second stage that puts the best results into a new order; off: none does. By default"
        " the one that the site has found to gain, if any.",
    )

    @model_validator(mode="after")
    def _weight_is_heeded(self) -> "SearchQuery":
        if self.dense_weight is not None and self.mode != "hybrid":
            raise ValueError("dense_weight is for mode 'hybrid': leave it out, or choose that mode")
        return self
