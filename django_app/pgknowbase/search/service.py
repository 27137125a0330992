"""Search, similar and fetch on behalf of a user: plain values in, pydantic models out.

The REST API, the MCP server, the chat and the tools of agents search through this module, so visibility and errors are
the same in all of them. What they may ask is in ``questions``, and which server answers in ``reading``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.models import Model

from pgknowbase.conf import get_settings
from pgknowbase.core.keys import normal_key, parse_key
from pgknowbase.core.text import is_storable
from pgknowbase.core.time_limit import time_limit
from pgknowbase.errors import ConfigurationError, NotFoundError, SearchError
from pgknowbase.rerank.stage import RerankState
from pgknowbase.search.external import external_data
from pgknowbase.search.facets import Facets
from pgknowbase.search.filters import MAX_OFFSET
from pgknowbase.search.questions import FacetQuery, FreshQuery, ObjectQuery, QueryFilters, SearchQuery
from pgknowbase.search.reading import read_page, reading
from pgknowbase.search.schemas import FetchedDocument, SearchPage, described, results_of
from pgknowbase.search.visibility import Viewer, is_anonymous, visible_data
from pgknowbase.sources.registry import Source, content_type_ids, source_by_label, source_of, sources

# Characters of a document that one ``fetch`` returns; the caller reads on from ``next_start``.
LONGEST_TEXT = 100_000
# Objects of a request for what is similar to several; each is looked up first.
MAX_LIKE = 20


def search(question: SearchQuery, *, viewer: Viewer) -> SearchPage:
    """One page of the objects that match ``question`` and that ``viewer`` may see.

    >>> page = search(SearchQuery(query="gears", mode="hybrid", limit=5), viewer=request.user)
    >>> [(result.id, result.score) for result in page.results]

    Raises:
        SearchError: something in the question is out of range or unknown.
        FreshnessError: the token cannot be kept; ``NotYetFreshError``: not within the time that the search could wait.
        EmbeddingError: the text cannot be embedded.
    """
    extra = _extra(question)
    return read_page(
        question, viewer, lambda using: _page(_search(question, viewer, extra, using), question, using, extra)
    )


def search_rows(question: SearchQuery, *, viewer: Viewer, extra: int = 0) -> list[Any]:
    """The same as rows of ``ExternalData`` with the attributes of their hits, for callers that show more of them.

    Args:
        extra: rows to find beyond the limit of ``question``.

    Raises:
        SearchError, EmbeddingError: as in ``search``.
    """
    return found_rows(question, viewer=viewer, extra=extra).rows


class FoundRows(NamedTuple):
    """Rows of ``ExternalData`` with the attributes of their hits, and what ``SearchPage`` says of a page of them."""

    rows: list[Any]
    rerank: RerankState | None
    is_partial: bool


def found_rows(question: SearchQuery, *, viewer: Viewer, extra: int = 0) -> FoundRows:
    """As ``search_rows``, and what there is to say of them.

    Raises:
        SearchError, EmbeddingError: as in ``search``.
    """
    return reading(lambda using: _found_rows(_search(question, viewer, extra, using)), question.freshness)


def _found_rows(rows: Any) -> FoundRows:
    return FoundRows(list(rows), None if (second := rows.reranked) is None else second.state, rows.is_partial)


def _search(question: SearchQuery, viewer: Viewer, extra: int, using: str) -> Any:
    return external_data(using).search(
        question.query,
        models=_models(question),
        mode=question.mode,
        dense_weight=question.dense_weight,
        snippet_length=question.snippet_length,
        correct_typos=question.correct_typos,
        rerank=question.rerank,
        **question.options(viewer, extra=extra),
    )


def facets(question: FacetQuery, *, viewer: Viewer) -> Facets:
    """Counts of the objects that ``viewer`` may see.

    >>> facets(FacetQuery(facets=["tags"], query="gears"), viewer=request.user).facets["tags"].values

    Raises:
        SearchError: something in the question is out of range or unknown.
    """

    def counted(using: str) -> Facets:
        found: Facets = external_data(using).facets(
            *question.facets,
            query=question.query,
            models=_models(question),
            values=question.values,
            metadata=question.metadata,
            tags=question.tags,
            changed_from=question.changed_from,
            changed_before=question.changed_before,
            visible_to=viewer,
        )
        return found

    return read_page(question, viewer, counted)


def similar(model: str, key: str, among: QueryFilters, *, viewer: Viewer) -> SearchPage:
    """One page of the objects most similar to an object, which is left out itself.

    Args:
        model: the label of the object's source model, such as ``'blog.Article'``.
        key: its object key.
        among: the conditions that the similar objects must satisfy.

    Raises:
        NotFoundError: there is no such object, or ``viewer`` may not see it.
        NotIndexedError: it has no chunks yet.
        SearchError: something in ``among`` is out of range or unknown.
    """
    return similar_to_several([(model, key)], among, viewer=viewer)


def similar_to_several(objects: Sequence[tuple[str, str]], among: QueryFilters, *, viewer: Viewer) -> SearchPage:
    """One page of the objects most similar to several together, which are left out themselves.

    Args:
        objects: the label of each one's source model, and its object key.
        among: the conditions that the similar objects must satisfy.

    Raises:
        NotFoundError, NotIndexedError, SearchError: as in ``similar``.
    """
    extra = _extra(among)

    def page(using: str) -> SearchPage:
        found = [find_object(model, key, viewer=viewer) for model, key in dict.fromkeys(objects)]
        return _page(_similar(found, among, viewer, extra, using), among, using, extra)

    return read_page(among, viewer, page)


def similar_rows(source: Source, found: Any, among: QueryFilters, *, viewer: Viewer, extra: int = 0) -> FoundRows:
    """The same as rows of ``ExternalData``, for an object that ``find_object`` or ``find_external_data`` returned.

    Args:
        extra: rows to find beyond the limit of ``among``.

    Raises:
        NotIndexedError: the object has no chunks yet.
        SearchError: something in ``among`` is out of range or unknown.
    """
    return reading(lambda using: _found_rows(_similar([(source, found)], among, viewer, extra, using)), among.freshness)


def _similar(found: Sequence[tuple[Source, Any]], among: QueryFilters, viewer: Viewer, extra: int, using: str) -> Any:
    rows = []
    for source, data in found:
        # The search needs the key of the row alone, so the row is not read.
        row: Model = source.model(pk=parse_key(source.model, data.object_key))
        row._state.db = using
        rows.append(row)
    return external_data(using).similar_to(rows, models=_models(among), **among.options(viewer, extra=extra))


def fetch(
    model: str,
    key: str,
    *,
    viewer: Viewer,
    start: int = 0,
    length: int = LONGEST_TEXT,
    fresh: FreshQuery | None = None,
) -> FetchedDocument:
    """An object, with at most ``length`` characters of its text from the character ``start`` on, counted from 0.

    Args:
        fresh: what the server that answers must have.

    Raises:
        NotFoundError: there is no such object, or ``viewer`` may not see it.
        FreshnessError: as in ``search``.
        ServerDownError: its text lies on a server of the cluster that does not answer.
    """

    def document(using: str) -> FetchedDocument:
        _, found = find_object(model, key, viewer=viewer)
        text = found.content
        (known,) = described([found], using)
        end = start + min(length, LONGEST_TEXT)
        return FetchedDocument(
            **known, text=text[start:end], start=start, length=len(text), next_start=end if end < len(text) else None
        )

    return read_page(fresh or FreshQuery(), viewer, document)


def list_documents(*, viewer: Viewer, after: int = 0, limit: int = 100) -> list[Any]:
    """The rows of ``ExternalData`` that ``viewer`` may see, by their primary keys.

    Args:
        after: the primary key of the last row of the page before.
    """
    known = sources()

    def page(using: str) -> list[Any]:
        ids = content_type_ids(known, using)
        rows = external_data(using).filter(pk__gt=after, is_active=True, content_type_id__in=ids)
        with time_limit(using):
            return list(visible_data(rows, known, viewer).order_by("pk")[:limit])

    return reading(page)


# Objects by their names


def parse_id(identifier: str) -> tuple[str, str]:
    """The model label and the object key in an ``id`` such as ``'blog.Article:12'``.

    Raises:
        NotFoundError: ``identifier`` has no colon.
    """
    model, colon, key = identifier.partition(":")
    if not colon:
        raise NotFoundError(f"{identifier!r} is not an id: pass one that a search gave, such as 'blog.Article:12'.")
    return model, key


def source_named(label: str) -> Source:
    """The source model with this label, where the label comes from a request.

    Raises:
        SearchError: there is no such source model. It is an error of the request, not of the configuration.
    """
    try:
        return source_by_label(label)
    except ConfigurationError as error:
        raise SearchError(str(error)) from error


def _models(filters: ObjectQuery) -> list[type[Model]] | None:
    # Each label once: finding its model takes longer than reading the label.
    labels = None if filters.models is None else dict.fromkeys(filters.models)
    return None if labels is None else [source_named(label).model for label in labels]


def _extra(filters: QueryFilters) -> int:
    """1, or 0 at the largest limit: one result beyond the limit shows whether there is a next page."""
    return int(filters.limit < get_settings().search.max_limit)


def _page(rows: Any, filters: QueryFilters, using: str, extra: int) -> SearchPage:
    found = list(rows)
    shown = found[: filters.limit]
    has_next = len(found) > filters.limit if extra else len(found) == filters.limit
    next_offset = filters.offset + filters.limit
    return SearchPage(
        results=results_of(shown, using),
        limit=filters.limit,
        offset=filters.offset,
        next_offset=next_offset if has_next and not filters.cursor and next_offset <= MAX_OFFSET else None,
        # What stood before an offset is not known.
        next_cursor=rows.cursor_after(row.pk for row in shown) if has_next and not filters.offset else None,
        did_you_mean=rows.did_you_mean,
        rerank=None if (second := rows.reranked) is None else second.state,
        is_partial=rows.is_partial,
    )


def find_object(model: str, key: str, *, viewer: Viewer) -> tuple[Source, Any]:
    """The source model and the row of ``ExternalData`` of one object that ``viewer`` may see.

    Raises:
        NotFoundError: there is no such object, or ``viewer`` may not see it. The error does not tell which.
        SearchError: ``model`` is not a source model.
    """
    source = source_named(model)

    def row(using: str) -> Any:
        known = external_data(using).of_key(source, normal_key(source.model, key))
        with time_limit(using, anonymous=is_anonymous(viewer)):
            return visible_data(known.filter(is_active=True), [source], viewer).first()

    if is_storable(key):
        found = reading(row)
        if found is not None:
            return source, found
    raise NotFoundError(f"There is no {source.label!r} with the key {key!r}: pass one that a search gave.")


def find_external_data(identifier: int, *, viewer: Viewer) -> tuple[Source, Any]:
    """The source model and the row of ``ExternalData`` with this primary key, if ``viewer`` may see it.

    Raises:
        NotFoundError: there is no such row, or ``viewer`` may not see it. The error does not tell which.
    """
    known = sources()

    def row(using: str) -> Any:
        # Only source models: nobody's rule says who may see what the index still holds of a former one.
        ids = content_type_ids(known, using)
        rows = external_data(using).filter(pk=identifier, is_active=True, content_type_id__in=ids)
        with time_limit(using, anonymous=is_anonymous(viewer)):
            return visible_data(rows, known, viewer).select_related("content_type").first()

    found = reading(row)
    if found is None:
        raise NotFoundError(f"There is no document {identifier}: use the id that a search returned.")
    return source_of(found.source_model), found
