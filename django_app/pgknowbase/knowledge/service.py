"""Search, similar and fetch on behalf of a user: plain values in, pydantic models out."""

from typing import Any

from django.db.models import Model
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from pgknowbase.conf import get_settings
from pgknowbase.errors import ConfigurationError, NotFoundError, SearchError
from pgknowbase.keys import normal_key, parse_key
from pgknowbase.knowledge.results import FetchedDocument, SearchPage, described, results_of
from pgknowbase.models import ExternalData
from pgknowbase.registry import Source, source_by_label
from pgknowbase.search.external import Leg
from pgknowbase.search.metadata import storable
from pgknowbase.search.options import SearchOptions
from pgknowbase.search.visibility import Viewer, visible_data

LONGEST_TEXT = 100_000


class Narrowing(BaseModel):
    """What narrows a search, as ``SearchOptions``: see docs/search.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: list[str] | None = Field(
        None, description="Labels of source models; none: all.", examples=[["blog.Article"]]
    )
    limit: int = Field(10, ge=1, description="Results at most.")
    offset: int = Field(0, ge=0, le=10_000, description="How many of the best to leave out.")
    threshold: float | None = Field(
        None, allow_inf_nan=False, description="Least similarity; of a keyword search the least BM25 score."
    )
    metadata: dict[str, Any] | None = Field(
        None, description="Conditions on metadata.", examples=[{"year": {"gte": 2020}}]
    )
    tags: list[str] | None = Field(None, description="Each result has all of these.")
    changed_from: AwareDatetime | None = Field(None, description="Entry in the index last changed then or later.")
    changed_before: AwareDatetime | None = Field(None, description="Entry in the index last changed before.")

    def options(self, viewer: Viewer, *, extra: int) -> SearchOptions:
        """As keyword arguments of a search that finds ``extra`` more."""
        return SearchOptions(
            limit=self.limit + extra,
            offset=self.offset,
            threshold=self.threshold,
            metadata=self.metadata,
            tags=self.tags,
            changed_from=self.changed_from,
            changed_before=self.changed_before,
            visible_to=viewer,
        )


class Question(Narrowing):
    """A search: by meaning (``semantic``), by words (``keyword``) or by both (``hybrid``)."""

    query: str = Field(min_length=1, description="What to look for.", examples=["how do triggers work"])
    leg: Leg = "semantic"
    dense_weight: float | None = Field(
        None, ge=0, le=1, description="What meaning weighs against words; for leg 'hybrid'."
    )

    @model_validator(mode="after")
    def _weight_is_heeded(self) -> "Question":
        if self.dense_weight is not None and self.leg != "hybrid":
            raise ValueError("dense_weight is for leg 'hybrid': leave it out, or choose that leg")
        return self


def search(question: Question, *, viewer: Viewer) -> SearchPage:
    """What ``viewer`` may see and ``question`` asks for.

    Raises:
        SearchError: something in the question is out of range or unknown.
        EmbeddingError: the text cannot be embedded.
    """
    using = get_settings().database
    chosen, extra = _models(question), _extra(question)
    rows = ExternalData.objects.using(using).search(
        question.query,
        models=chosen,
        leg=question.leg,
        dense_weight=question.dense_weight,
        **question.options(viewer, extra=extra),
    )
    return _page(list(rows), question, using, extra)


def similar(model: str, key: str, among: Narrowing, *, viewer: Viewer) -> SearchPage:
    """The objects most like one that ``viewer`` may see, itself left out.

    Raises:
        NotFoundError: there is none, or it is not for ``viewer``.
        NotIndexedError: it has no chunks yet.
        SearchError: something in ``among`` is out of range or unknown.
    """
    using = get_settings().database
    source, found = _known(model, key, using, viewer)
    chosen, extra = _models(among), _extra(among)
    row: Model = source.model(pk=parse_key(source.model, found.object_key))
    row._state.db = using
    rows = ExternalData.objects.using(using).similar_to(row, models=chosen, **among.options(viewer, extra=extra))
    return _page(list(rows), among, using, extra)


def fetch(model: str, key: str, *, viewer: Viewer, start: int = 0, length: int = LONGEST_TEXT) -> FetchedDocument:
    """An object that ``viewer`` may see, with at most ``length`` characters of its text from ``start`` on.

    Raises:
        NotFoundError: there is none, or it is not for ``viewer``.
    """
    using = get_settings().database
    _, found = _known(model, key, using, viewer)
    text = found.content
    end = start + min(length, LONGEST_TEXT)
    (known,) = described([found], using)
    return FetchedDocument(
        **known, text=text[start:end], start=start, length=len(text), next_start=end if end < len(text) else None
    )


def parse_id(identifier: str) -> tuple[str, str]:
    """Model label and object key of an ``id`` such as ``'blog.Article:12'``.

    Raises:
        NotFoundError: it is no such text.
    """
    model, colon, key = identifier.partition(":")
    if not colon:
        raise NotFoundError(f"{identifier!r} is no id: pass one that a search gave, such as 'blog.Article:12'.")
    return model, key


def source_named(label: str) -> Source:
    """The source model called ``label``, for text that came from outside.

    Raises:
        SearchError: there is none.
    """
    try:
        return source_by_label(label)
    except ConfigurationError as error:
        raise SearchError(str(error)) from error


def _models(asked: Narrowing) -> list[type[Model]] | None:
    return None if asked.models is None else [source_named(label).model for label in asked.models]


def _extra(asked: Narrowing) -> int:
    """One result more than asked for tells whether there is another page, unless that is more than a search may."""
    return int(asked.limit < get_settings().search.max_limit)


def _page(rows: list[ExternalData], asked: Narrowing, using: str, extra: int) -> SearchPage:
    more = len(rows) > asked.limit if extra else len(rows) == asked.limit
    following = asked.offset + asked.limit
    return SearchPage(
        results=results_of(rows[: asked.limit], using),
        limit=asked.limit,
        offset=asked.offset,
        next_offset=following if more and following <= 10_000 else None,
    )


def _known(model: str, key: str, using: str, viewer: Viewer) -> tuple[Source, ExternalData]:
    source = source_named(model)
    if storable(key):
        known = ExternalData.objects.using(using).of_key(source, normal_key(source.model, key)).filter(is_active=True)
        if found := visible_data(known, [source], viewer).first():
            return source, found
    raise NotFoundError(f"There is no {source.label!r} with the key {key!r}: pass one that a search gave.")
