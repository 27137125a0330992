"""The queries, one class for each mode and one for similar objects. Each calls one SQL function."""

import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

from django.db import DatabaseError
from psycopg.types.range import Range

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.database_errors import is_of_cluster, server_down
from pgknowbase.core.text import is_storable, short_repr
from pgknowbase.embeddings.base import Embedder
from pgknowbase.embeddings.query_vectors import query_literal
from pgknowbase.embeddings.serving import ActiveSpace, search_active_space
from pgknowbase.errors import (
    NotIndexedError,
    SearchError,
    SpaceMismatchError,
    UnknownTextError,
)
from pgknowbase.search.filters import Filters
from pgknowbase.search.plan import DenseStep, HybridStep, KeywordStep, SearchStep
from pgknowbase.sources.registry import Source
from pgknowbase.sources.synonyms import SynonymRule, applicable, rules_of

# About four times what embedding models read; a longer query costs time and changes nothing.
MAX_QUERY_CHARACTERS = 10_000
# Where a server of the cluster does not answer.
NO_ANSWER = "the search has no answer"

logger = logging.getLogger("pgknowbase.search")
_UNFINISHED = re.compile(r"[^\W_]{2,}$")
_SIGNS = re.compile(r'["“”„‟*-]|OR|title:')


@dataclass(frozen=True, slots=True)
class Hit:
    """One object that a search found, with its best chunk: a row of the SQL type ``pgknowbase_hit``.

    Attributes:
        span: where the chunk stands in the document's content, in characters from 0; None where it does not.
        similarity: cosine, in [-1, 1]; None where vectors were not compared.
        keyword_score: BM25; None where no word is shared.
        score: what hits are ordered by.
        pending: a newer version of the object waits to be indexed. A hit that was found in such a version alone has
            neither chunk nor score, and its ``keyword_score`` is a ts_rank.
        highlighted_title, snippet: HTML with marks around the words of the query; None unless a snippet was asked for.
        rerank_score: what the second stage gave it; None where it was not asked.
        first_rank: its place by the first stage, from 1; None without a second one.
    """

    source: int
    object_key: str
    external_data_id: int
    chunk_seq: int | None
    chunk: str | None
    span: Range[int] | None
    similarity: float | None
    keyword_score: float | None
    score: float | None
    pending: bool = False
    highlighted_title: str | None = None
    snippet: str | None = None
    rerank_score: float | None = None
    first_rank: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """``limit`` hits after the first ``skip``.

    ``record_plan``: the SQL functions keep how they searched, in settings of the transaction, for ``Query.step``.
    """

    limit: int
    skip: int = 0
    record_plan: bool = False

    def params(self, filters: Filters) -> dict[str, Any]:
        """The parameters that all searches have in common."""
        return {"limit": self.limit, "skip": self.skip, "record_plan": self.record_plan, "filter": filters.json()}


class Query(Protocol):
    """One way to search: what ``Search`` needs of it."""

    def rows(self, using: str, page: Page, filters: Filters, row: str | None = None) -> list[gateway.Row]:
        """The best objects that pass ``filters``, best first: the columns of ``Hit``, then those of ``row``.

        ``row``: see ``gateway.fetch_hits``.
        """

    def step(self, using: str, *, requested: int, found: int) -> SearchStep:
        """How the hits of this transaction's last ``Page`` with ``record_plan`` were found."""


def hits(query: Query, using: str, page: Page, filters: Filters) -> list[Hit]:
    """The best objects that pass ``filters``, best first."""
    return [Hit(*row) for row in query.rows(using, page, filters)]


@dataclass(frozen=True, slots=True)
class DenseQuery:
    """A search by the distance of embeddings, for a text."""

    text: str

    def rows(self, using: str, page: Page, filters: Filters, row: str | None = None) -> list[gateway.Row]:
        """The objects nearest to the text."""

        def search(space: ActiveSpace, embedder: Embedder) -> list[gateway.Row]:
            return gateway.fetch_hits(
                using,
                "search_dense",
                row=row,
                space=space.id,
                vector=query_literal(embedder, self.text),
                exact_search_max_chunks=get_settings().search.exact_search_max_chunks,
                space_model=embedder.model,
                **page.params(filters),
            )

        with translated_errors(using):
            try:
                return search_active_space(using, search)
            except UnknownTextError as error:
                logger.warning("a semantic search finds nothing: %s", error)
                return []

    def step(self, using: str, *, requested: int, found: int) -> DenseStep:
        """Which plan, and why.

        Raises:
            SearchError: there was none, because the model does not know the text.
        """
        plan = gateway.fetch_value(using, "dense_plan")
        if not plan:
            raise SearchError(f"The model knows hardly a word of {self.text!r}: use the mode 'keyword' or 'hybrid'.")
        return DenseStep.of(plan, requested=requested, found=found)


@dataclass(frozen=True, slots=True)
class KeywordQuery:
    """A search by the words that a text and the documents share, scored by BM25.

    ``synonyms``: the rules of the searched models.
    """

    text: str
    synonyms: tuple[SynonymRule, ...] = field(default=(), repr=False)

    def rows(self, using: str, page: Page, filters: Filters, row: str | None = None) -> list[gateway.Row]:
        """The objects that share words with the text."""
        filters = with_synonyms(filters, self.synonyms, self.text)
        with translated_errors(using):
            return gateway.fetch_hits(using, "search_keyword", row=row, text=self.text, **page.params(filters))

    def step(self, using: str, *, requested: int, found: int) -> KeywordStep:
        """Which documents were scored, and why."""
        return KeywordStep.of(gateway.fetch_value(using, "keyword_plan"), requested=requested, found=found)


@dataclass(frozen=True, slots=True)
class HybridQuery:
    """A search by both, their scores fused.

    ``dense_weight``: what similarity weighs, in [0, 1]; None: what was fitted for the active space, else what suits
    its model.
    ``synonyms``: the rules of the searched models.
    """

    text: str
    dense_weight: float | None = field(kw_only=True)
    synonyms: tuple[SynonymRule, ...] = field(default=(), kw_only=True, repr=False)

    def rows(self, using: str, page: Page, filters: Filters, row: str | None = None) -> list[gateway.Row]:
        """The objects nearest to the text by both."""

        plain = plain_text(using, self.text)
        if not plain.strip():  # it only excludes: there is nothing to look for
            return KeywordQuery(self.text, self.synonyms).rows(using, page, filters, row)
        filters = with_synonyms(filters, self.synonyms, self.text)

        def search(space: ActiveSpace, embedder: Embedder) -> list[gateway.Row]:
            return gateway.fetch_hits(
                using,
                "search_hybrid",
                row=row,
                space=space.id,
                text=self.text,
                vector=query_literal(embedder, plain),
                # A vector of text that the model cannot read says nothing. Whether the words can find the text does not
                # tell it: a question in another language than the rows has few of their words, and a good vector.
                dense_weight=self.dense_weight if embedder.reads(plain) else 0,
                model_weight=embedder.dense_weight,
                exact_search_max_chunks=get_settings().search.exact_search_max_chunks,
                space_model=embedder.model,
                **page.params(filters),
            )

        with translated_errors(using):
            try:
                return search_active_space(using, search)
            except UnknownTextError:  # such as a question in Thai, for a model of English: its words are all there is
                return KeywordQuery(self.text, self.synonyms).rows(using, page, filters, row)

    def step(self, using: str, *, requested: int, found: int) -> HybridStep | KeywordStep:
        """Both rankings, and what each weighs; that of the words where the model does not know the text."""
        fused = gateway.fetch_value(using, "hybrid_plan")
        if not fused:
            return KeywordQuery(self.text).step(using, requested=requested, found=found)
        dense = gateway.fetch_value(using, "dense_plan")
        keyword = gateway.fetch_value(using, "keyword_plan")
        return HybridStep.of(fused, dense, keyword, requested=requested, found=found)


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """A search for the objects most similar to others, by the mean of their chunks; these are left out.

    ``objects``: their sources, as content type ids, and keys.
    """

    objects: tuple[tuple[int, str], ...]

    def rows(self, using: str, page: Page, filters: Filters, row: str | None = None) -> list[gateway.Row]:
        """The objects nearest to these; those that the viewer may not see do not count.

        Raises:
            NotIndexedError: none of the objects has chunks.
        """
        sources, keys = [source for source, _ in self.objects], [key for _, key in self.objects]
        themselves = {"sources": sources, "keys": keys}
        below = get_settings().search.exact_search_max_chunks
        with translated_errors(using):
            rows = gateway.fetch_hits(
                using, "search_similar", row=row, exact_search_max_chunks=below, **themselves, **page.params(filters)
            )
            if rows or not keys or gateway.fetch_value(using, "is_partial"):
                return rows  # a partial answer does not know what is on the other servers
            if not gateway.fetch_value(using, "has_chunks", **themselves):
                raise NotIndexedError(
                    f"The object {keys[0]!r} has no chunks yet: sync it and let the worker run before you search by it."
                )
        return rows

    def step(self, using: str, *, requested: int, found: int) -> DenseStep:
        """Which plan, and why."""
        return DenseStep.of(gateway.fetch_value(using, "dense_plan"), requested=requested, found=found)


# A search for a text, which has words to mark.
TextQuery: TypeAlias = DenseQuery | KeywordQuery | HybridQuery


def plain_text(using: str, text: str) -> str:
    """The words of a search text that are looked for: without the signs of its form, and what it excludes.

    >>> plain_text("default", 'gears OR chains -"bottom bracket"')
    'gears chains'
    """
    # Most texts have none of the signs that pgknowbase_parse_query looks for, which costs them no statement.
    if not _SIGNS.search(text):
        return text
    plain: str = gateway.fetch_value(using, "plain_query", text=text)
    return plain


def declared_synonyms(sources: Iterable[Source]) -> tuple[SynonymRule, ...]:
    """The rules of the settings and of these source models."""
    groups = [*get_settings().search.synonyms, *(group for source in sources for group in source.config.synonyms)]
    return rules_of(groups) if groups else ()


def with_synonyms(filters: Filters, rules: tuple[SynonymRule, ...], text: str) -> Filters:
    """``filters`` with those of the rules that may apply to ``text``."""
    if not rules:
        return filters
    return replace(filters, synonyms=applicable(rules, text) or None)


def with_snippets(using: str, query: "TextQuery", found: list[Hit], length: int) -> list[Hit]:
    """``found``, each with its title and a snippet of ``length`` characters as HTML, the words of ``query`` marked."""
    if not found:
        return found
    rules = () if isinstance(query, DenseQuery) else query.synonyms
    synonyms = applicable(rules, query.text) if rules else []
    rows = gateway.fetch(
        using,
        "snippets",
        text=query.text,
        synonyms=json.dumps(synonyms) if synonyms else None,
        ids=[hit.external_data_id for hit in found],
        chunk_seqs=[hit.chunk_seq for hit in found],
        length=length,
    )
    shown = {key: (title, snippet) for key, title, snippet in rows}
    nothing = (None, None)  # of a row that was never indexed, or is gone
    return [
        replace(hit, highlighted_title=title, snippet=snippet)
        for hit in found
        for title, snippet in [shown.get(hit.external_data_id, nothing)]
    ]


def checked_text(text: str) -> str:
    """``text``, which can be searched for.

    Raises:
        SearchError: it is not text, empty, too long, or holds what Postgres cannot store.
    """
    if not isinstance(text, str):
        raise SearchError(f"{short_repr(text)} is not a search text: pass a str.")
    if not text.strip():
        raise SearchError(f"The search text {short_repr(text)} is empty: pass some words.")
    if len(text) > MAX_QUERY_CHARACTERS:
        raise SearchError(
            f"The search text {text[:40]!r}... has {len(text)} characters: pass at most {MAX_QUERY_CHARACTERS}."
        )
    if not is_storable(text):
        raise SearchError(f"The search text {text[:40]!r} holds a NUL or a lone surrogate: remove it.")
    return text


def while_typing(text: str) -> str:
    """``text`` with its last word as the beginning of one, unless something follows it.

    >>> while_typing("sourdough bre")
    'sourdough bre*'
    """
    return f"{text}*" if _UNFINISHED.search(text) else text


def checked_weight(weight: float | None) -> float | None:
    """``weight``, or that of the settings.

    Raises:
        SearchError: it is not a number from 0 to 1.
    """
    if weight is None:
        return get_settings().search.dense_weight
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight <= 1:
        raise SearchError(f"dense_weight {short_repr(weight)} is out of range: pass a number from 0 to 1, or None.")
    return float(weight)


@contextmanager
def translated_errors(using: str) -> Iterator[None]:
    """Turn what a search function refuses into an error that says what to do."""
    try:
        yield
    except DatabaseError as error:
        listing = command_line("pgknowbase_space list", using)
        state, first_line = getattr(error.__cause__, "sqlstate", None), str(error).partition("\n")[0]
        if state == "PK001":  # raised by pgknowbase_search_dense_v1
            raise SpaceMismatchError(f"{first_line}: run {listing!r} to see what differs.") from error
        if state == "PK002":  # raised by pgknowbase_cluster_required
            raise SpaceMismatchError(f"{first_line}: connect to its coordinator, or run {listing!r}.") from error
        if state == "PK003":  # raised by pgknowbase_shards_that_answer
            raise SearchError(
                f"{first_line}: ask for fewer results or words, or search with if_server_down='error'."
            ) from error
        if is_of_cluster(error):
            raise server_down(error, using, NO_ANSWER) from error
        if state == "42P01" and "pgknowbase_chunk" in str(error):  # undefined_table: the view comes with a space
            raise SearchError(f"No embedding space is active: run {command_line('migrate', using)!r}.") from error
        if state == "22000" and "dimensions" in str(error):  # data_exception, raised by pgvector
            raise SpaceMismatchError(
                f"The query has other dimensions than the active space ({first_line}): run"
                f" {listing!r} to see what differs."
            ) from error
        raise
