"""The options of a search: their types, their validation, and the filter that the SQL functions take."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import cached_property
from math import isfinite
from typing import Any, TypeAlias, TypedDict, get_args

from django.conf import settings

from pgknowbase.conf import IfServerDown, get_settings
from pgknowbase.core.text import is_storable, short_repr
from pgknowbase.core.times import aware
from pgknowbase.errors import SearchError
from pgknowbase.replicas.freshness import MAX_TIMEOUT, Freshness, IfStale
from pgknowbase.search.visibility import UNRESTRICTED, Viewer

MAX_OFFSET = 1000
RERANK_OFF = "off"
MIN_SNIPPET, MAX_SNIPPET = 50, 2000  # characters
MAX_CURSOR = 20_000  # characters; one of 1,000 ids has up to 12,000
MAX_ORDER = 200  # characters
# What follows is compared with each object that a search looks at, so it is bounded in total, not in each place alone.
MAX_MODELS = 500
MAX_TAGS = 100
MAX_TAG_CHARACTERS = 10_000
MAX_METADATA_PARTS = 500  # keys and values
MAX_METADATA_CHARACTERS = 20_000
MAX_METADATA_DEPTH = 20
# jsonb keeps any number, but a path predicate compares numbers as numeric: beyond this its text grows without use.
MAX_METADATA_NUMBER = 1e300

Metadata: TypeAlias = Mapping[str, Any]
_ORDER = re.compile(r"-?(?:updated|created|metadata\..+)", re.DOTALL)
_SHORT = 10  # characters of a number, about


class ObjectFilters(TypedDict, total=False):
    """The options that restrict which objects there are for a caller.

    Attributes:
        metadata: conditions on the row's metadata, such as ``{"kind": "howto", "year": {"gte": 2020}}``. A plain value
            must be equal; a dict holds operators (``eq``, ``contains``, ``gt``, ``gte``, ``lt``, ``lte``, ``in``).
        tags: the row must have all of these tags.
        changed_from: the row's state in the index must have changed then or later. Aware unless ``USE_TZ`` is off.
        changed_before: the row's state in the index must have changed before.
        visible_to: a user; only rows that this user may see are found. An anonymous user or None sees public rows, a
            superuser all. Without this option, nothing is hidden.
        fresh: a token of ``freshness_token()``: what it stands for is found, on whatever server the search runs.
        fresh_timeout: seconds to wait for that, from 0 to 30; None: ``FRESHNESS["TIMEOUT"]``.
        if_stale: what is done after them: ``primary``, ``pending`` or ``error``; None: ``FRESHNESS["IF_STALE"]``.
    """

    metadata: Metadata | None
    tags: Sequence[str] | None
    changed_from: datetime | None
    changed_before: datetime | None
    visible_to: Viewer
    fresh: str | None
    fresh_timeout: float | None
    if_stale: IfStale | None


class SearchFilters(ObjectFilters, total=False):
    """The options that restrict what a search finds.

    Attributes:
        offset: the number of the best hits to skip, from 0 to 1,000.
        threshold: the least similarity, in [-1, 1]; None applies each row's own. In ``keyword_search`` it is the least
            BM25 score.
    """

    offset: int
    threshold: float | None


class SearchOptions(SearchFilters, total=False):
    """The options of every search.

    Attributes:
        limit: the largest number of hits, from 1 to ``SEARCH["MAX_LIMIT"]``; 10 by default.
        cursor: ``next_cursor`` of the page before, instead of an offset.
        order_by: ``updated``, ``created`` or ``metadata.KEY``, with ``-`` before it for descending order, instead of
            the score. The best 1,000 hits are put into this order.
        min_relevance: with ``order_by`` only: the least share of the best hit's score, in [0, 1], that a hit needs;
            0.5 by default.
        if_server_down: what is done while a server of the cluster does not answer: ``error`` raises, ``partial``
            answers from the others, and ``is_partial`` of the result says so; None: ``SEARCH["IF_SERVER_DOWN"]``.
    """

    limit: int
    cursor: str | None
    order_by: str | None
    min_relevance: float | None
    if_server_down: IfServerDown | None


class TextSearchOptions(SearchOptions, total=False):
    """The options of every search for a text.

    Attributes:
        correct_typos: whether words that no row has are replaced by words that differ in one letter, or in the order of
            two, and that rows have. ``did_you_mean`` of the result is the text that was meant.
        include_pending: whether pending rows are found too, by their words. Each row found then has ``pending``.
        rerank: the entry of ``RERANKERS`` that puts the best hits into a new order; ``"off"``: none does. By default
            the one that ``pgknowbase_tune rerank`` has found to gain. Each row found then has ``rerank_score`` and
            ``first_rank``.
        snippet_length: characters of a snippet, from 50 to 2,000. Each row found then has ``highlighted_title`` and
            ``snippet``: HTML with ``<mark>`` around the words of the query, and everything else escaped.
    """

    correct_typos: bool
    include_pending: bool
    rerank: str | None
    snippet_length: int | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """``TextSearchOptions`` with their defaults, checked when they are made.

    Attributes:
        scored_by_words: the threshold is a BM25 score, so it has no upper bound.

    Raises:
        SearchError: one of them is out of range or of the wrong type.
    """

    limit: int = 10
    offset: int = 0
    threshold: float | None = None
    metadata: Metadata | None = None
    tags: Sequence[str] | None = None
    changed_from: datetime | None = None
    changed_before: datetime | None = None
    visible_to: Viewer = UNRESTRICTED
    cursor: str | None = None
    order_by: str | None = None
    min_relevance: float | None = None
    correct_typos: bool = False
    include_pending: bool = False
    rerank: str | None = None
    snippet_length: int | None = None
    fresh: str | None = None
    fresh_timeout: float | None = None
    if_stale: IfStale | None = None
    if_server_down: IfServerDown | None = None
    scored_by_words: bool = False

    def __post_init__(self) -> None:
        _check_integer("limit", self.limit, 1, get_settings().search.max_limit)
        _check_integer("offset", self.offset, 0, MAX_OFFSET)
        least, most = (0, None) if self.scored_by_words else (-1, 1)
        _check_threshold(self.threshold, least=least, most=most)
        _check_tags(self.tags)
        _check_time("changed_from", self.changed_from)
        _check_time("changed_before", self.changed_before)
        for name in ("include_pending", "correct_typos"):
            if not isinstance(getattr(self, name), bool):
                raise SearchError(f"{name} {short_repr(getattr(self, name))} is not a bool: pass True or False.")
        if self.snippet_length is not None:
            _check_integer("snippet_length", self.snippet_length, MIN_SNIPPET, MAX_SNIPPET)
        self._check_paging()
        self._check_rerank()
        self._check_freshness()
        if self.if_server_down not in (None, *get_args(IfServerDown)):
            raise SearchError(
                f"if_server_down {short_repr(self.if_server_down)} is unknown: pass 'error' or 'partial'."
            )
        self.metadata_filter  # noqa: B018 - refuses wrong metadata now, not when the search runs

    def _check_paging(self) -> None:
        if self.cursor is not None:
            if not isinstance(self.cursor, str) or not self.cursor or len(self.cursor) > MAX_CURSOR:
                raise SearchError(f"cursor {short_repr(self.cursor)} is not one: pass the text that came with a page.")
            if self.offset:
                raise SearchError("cursor and offset are two places to begin at: pass one of them.")
        if self.order_by is not None and (
            not isinstance(self.order_by, str)
            or not _ORDER.fullmatch(self.order_by)
            or len(self.order_by) > MAX_ORDER
            or not is_storable(self.order_by)
        ):
            raise SearchError(
                f"order_by {short_repr(self.order_by)} is unknown: pass 'updated', 'created' or 'metadata.KEY', with"
                " '-' before it for descending order."
            )
        if self.min_relevance is not None:
            _check_share("min_relevance", self.min_relevance)
            if self.order_by is None:
                raise SearchError("min_relevance bounds what order_by puts into order: pass both, or use threshold.")
        if self.include_pending and (self.cursor or self.order_by):
            raise SearchError("include_pending finds rows that have no score: leave out cursor and order_by.")

    def _check_rerank(self) -> None:
        if self.rerank in (None, RERANK_OFF):
            return
        known = sorted(get_settings().rerankers)
        if not isinstance(self.rerank, str) or self.rerank not in known:
            raise SearchError(
                f"rerank {short_repr(self.rerank)} is unknown: pass {RERANK_OFF!r}, or an entry of RERANKERS"
                f" ({known!r})."
            )
        if self.order_by is not None or self.include_pending:
            raise SearchError("rerank is an order of its own: leave out order_by and include_pending.")

    def _check_freshness(self) -> None:
        if self.fresh_timeout is not None:
            _check_number("fresh_timeout", self.fresh_timeout, 0, MAX_TIMEOUT)
        if self.if_stale not in (None, *get_args(IfStale)):
            raise SearchError(f"if_stale {short_repr(self.if_stale)} is unknown: pass 'primary', 'pending' or 'error'.")
        if self.fresh is None and (self.fresh_timeout, self.if_stale) != (None, None):
            raise SearchError("fresh_timeout and if_stale are for a search with a token: pass fresh too.")
        self.freshness  # noqa: B018 - refuses a wrong token now, not when the search runs

    @cached_property
    def freshness(self) -> Freshness | None:
        """What the search must see."""
        return Freshness.of(self.fresh, self.fresh_timeout, self.if_stale)

    def check_without_text(self) -> None:
        """Refuse what a search by another row cannot do.

        Raises:
            SearchError: there is an option that needs a search text.
        """
        for name in ("include_pending", "snippet_length", "correct_typos", "rerank"):
            if getattr(self, name):
                raise SearchError(f"{name} needs a search text: leave it out of a search by another row.")

    @cached_property
    def metadata_filter(self) -> "MetadataFilter":
        """``metadata`` as the database takes it."""
        return compile_metadata(self.metadata)


@dataclass(frozen=True, slots=True)
class Filters:
    """The SQL type ``pgknowbase_filter``, whose file says what each field means; None filters nothing.

    ``metadata`` is JSON, ``matching`` a jsonpath predicate.
    """

    sources: Sequence[int] | None = None
    threshold: float | None = None
    visible_to: str | None = None
    metadata: str | None = None
    matching: str | None = None
    tags: Sequence[str] | None = None
    changed_from: datetime | None = None
    changed_before: datetime | None = None
    object_keys: Sequence[str] | None = None
    external_data_ids: Sequence[int] | None = None
    private: bool | None = None
    synonyms: Sequence[Sequence[str]] | None = None

    @classmethod
    def of(
        cls, options: Options, *, sources: Sequence[int] | None, visible_to: str | None, private: bool = False
    ) -> "Filters":
        """The filters that ``options`` ask for.

        Args:
            visible_to: as ``visibility.viewer_param`` gives it.
            private: the queryset of the search, not ``visible_to``, leaves out what the viewer may not see.
        """
        return cls(
            sources=sources,
            threshold=None if options.threshold is None else float(options.threshold),
            visible_to=visible_to,
            metadata=options.metadata_filter.contained,
            matching=options.metadata_filter.matching,
            tags=None if options.tags is None else list(options.tags),
            changed_from=options.changed_from,
            changed_before=options.changed_before,
            private=private or None,
        )

    def without_viewer(self) -> "Filters":
        """The same for somebody who may see everything."""
        return replace(self, visible_to=None, private=None)

    def json(self) -> str:
        """The filter as JSON, for ``jsonb_populate_record(NULL::pgknowbase_filter, ...)``.

        One parameter in the place of ten, and a query does not change when the type gets another field.
        """
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        parts = [f'"{name}": {self._json(name, value)}' for name, value in given.items() if value is not None]
        return f"{{{', '.join(parts)}}}"

    @staticmethod
    def _json(name: str, value: Any) -> str:
        if name == "metadata":
            return str(value)
        if isinstance(value, datetime):
            # In UTC, because Postgres refuses zones that are more than 16 hours away.
            value = aware(value).astimezone(UTC).isoformat()
        return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class MetadataFilter:
    """``contained``: JSON that the metadata must contain. ``matching``: a jsonpath predicate that must hold."""

    contained: str | None = None
    matching: str | None = None


def compile_metadata(metadata: Metadata | None) -> MetadataFilter:
    """Conditions on metadata as the database takes them. Nothing becomes SQL text: both results are parameters.

    >>> compile_metadata({"kind": "a", "year": {"gte": 2020}, "topics": {"contains": ["x"]}})
    MetadataFilter(contained='{"kind": "a", "topics": ["x"]}', matching='strict $."year" >= 2020')

    Raises:
        SearchError: an unknown operator, or a key or value that it cannot take; the message names it.
    """
    if metadata is None:
        return MetadataFilter()
    if not isinstance(metadata, Mapping):
        raise SearchError(f"metadata {short_repr(metadata)} is not a dict: pass one from key to value or operators.")
    _check_total(metadata)
    contained: dict[str, Any] = {}
    predicates: list[str] = []
    for key, wanted in metadata.items():
        _check_text(key, "key")
        operators = wanted if isinstance(wanted, Mapping) else {"eq": wanted}
        if not operators or {"eq", "contains"} <= operators.keys():
            raise SearchError(
                f"metadata {short_repr(key)} has {'both eq and contains' if operators else 'no operator'}: pass one."
            )
        for operator, value in operators.items():
            if operator in _CONTAINMENT:
                contained[key] = _CONTAINMENT[operator](key, value)
            elif operator in _PREDICATES:
                predicates.append(_PREDICATES[operator](key, value))
            else:
                known = ", ".join([*_CONTAINMENT, *_PREDICATES])
                raise SearchError(
                    f"metadata {short_repr(key)}: unknown operator {short_repr(operator)}, use one of {known}."
                )
    # strict: a comparison looks at the value itself. A lax path would unwrap a list and compare its elements.
    return MetadataFilter(
        contained=_jsonpath_literal(contained) if contained else None,
        matching=f"strict {' && '.join(predicates)}" if predicates else None,
    )


def _equal(key: str, value: Any) -> Any:
    return _scalar(key, "eq", value)


def _contains(key: str, value: Any) -> Any:
    if isinstance(value, str | int | float | None):
        return [_scalar(key, "contains", value)]
    if not isinstance(value, Mapping | list | tuple):
        raise SearchError(f"metadata {short_repr(key)}: contains takes a value, a list or a dict, not {_type(value)}.")
    for _, part, is_key in _parts(value):
        if is_key:
            _check_text(part, "key")
        elif not isinstance(part, Mapping | list | tuple):
            _scalar(key, "contains", part)
    return value


def _parts(value: Any, depth: int = 1) -> Iterator[tuple[int, Any, bool]]:
    """All values inside ``value`` and the keys of its dicts: the depth of each, itself, and whether it is a key."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield depth, name, True
            yield depth, part, False
            yield from _parts(part, depth + 1)
    elif isinstance(value, Sequence | Set) and not isinstance(value, str | bytes | bytearray):
        for part in value:
            yield depth, part, False
            yield from _parts(part, depth + 1)


def _comparison(operator: str, sign: str) -> Callable[[str, Any], str]:
    def predicate(key: str, value: Any) -> str:
        if value is None or isinstance(value, bool):
            raise SearchError(f"metadata {short_repr(key)}: {operator} takes a number or a text, not {value!r}.")
        return f"$.{_jsonpath_literal(key)} {sign} {_jsonpath_literal(_scalar(key, operator, value))}"

    return predicate


def _one_of(key: str, values: Any) -> str:
    if isinstance(values, str | Mapping) or not isinstance(values, Sequence | set | frozenset):
        raise SearchError(f"metadata {short_repr(key)}: in takes a list of values, not {_type(values)}.")
    terms = [f"@ == {_jsonpath_literal(_scalar(key, 'in', value))}" for value in values]
    # The key is looked up once for all values; where it is missing, none is compared.
    return f"exists($.{_jsonpath_literal(key)} ? ({' || '.join(terms)}))" if terms else "(1 == 2)"


# Operators that the GIN index on metadata serves as containment, and those that become a jsonpath predicate.
_CONTAINMENT: dict[str, Callable[[str, Any], Any]] = {"eq": _equal, "contains": _contains}
_PREDICATES: dict[str, Callable[[str, Any], str]] = {
    "gt": _comparison("gt", ">"),
    "gte": _comparison("gte", ">="),
    "lt": _comparison("lt", "<"),
    "lte": _comparison("lte", "<="),
    "in": _one_of,
}


def _scalar(key: str, operator: str, value: Any) -> Any:
    if isinstance(value, str):
        _check_text(value, f"value of {short_repr(key)}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) > MAX_METADATA_NUMBER or not isfinite(value):
            raise SearchError(
                f"metadata {short_repr(key)}: {operator} takes finite numbers up to {MAX_METADATA_NUMBER:.0e}."
            )
    elif value is not None and not isinstance(value, bool):
        raise SearchError(
            f"metadata {short_repr(key)}: {operator} takes a text, number, bool or None, not {_type(value)}: use"
            " contains for lists and dicts, in for one of several values, and isoformat() for dates."
        )
    return value


def _jsonpath_literal(value: Any) -> str:
    """JSON text. A quoted string or a number means the same in jsonpath, so it serves both."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=dict)


def _type(value: Any) -> str:
    return repr(type(value).__name__)


def _check_total(metadata: Metadata) -> None:
    """Refuse conditions that are too many, too long or too deep, over all keys together; each key or value counts."""
    characters = 0
    for parts, (depth, part, _) in enumerate(_parts(metadata), 1):
        characters += len(part) if isinstance(part, str) else _SHORT
        if isinstance(part, int):
            characters += part.bit_length() // 3
        if depth > MAX_METADATA_DEPTH:
            raise SearchError(f"metadata is nested more than {MAX_METADATA_DEPTH} deep: pass flatter values.")
        if parts > MAX_METADATA_PARTS:
            raise SearchError(
                f"metadata has more than {MAX_METADATA_PARTS} keys and values in all its conditions: pass fewer."
            )
        if characters > MAX_METADATA_CHARACTERS:
            raise SearchError(
                f"metadata has more than {MAX_METADATA_CHARACTERS} characters in all its conditions: pass fewer."
            )


def _check_text(text: Any, what: str) -> None:
    if not isinstance(text, str):
        raise SearchError(f"metadata has the {what} {short_repr(text)}, which is not text: pass a str.")
    if not is_storable(text):
        raise SearchError(f"metadata has the {what} {short_repr(text)} with a NUL or a lone surrogate: remove it.")


def _check_number(name: str, value: float, least: float, largest: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= largest:
        raise SearchError(f"{name} {short_repr(value)} is out of range: pass a number from {least:g} to {largest:g}.")


def _check_integer(name: str, value: int, least: int, largest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= largest:
        raise SearchError(f"{name} {short_repr(value)} is out of range: pass a whole number from {least} to {largest}.")


def _check_threshold(value: float | None, *, least: float, most: float | None) -> None:
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not is_number or value < least or (most is not None and value > most):
        bounds = f"from {least}" if most is None else f"from {least} to {most}"
        raise SearchError(f"threshold {short_repr(value)} is out of range: pass a number {bounds}, or None.")


def _check_share(name: str, value: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise SearchError(f"{name} {short_repr(value)} is out of range: pass a number from 0 to 1, or None.")


def _check_tags(tags: Sequence[str] | None) -> None:
    if tags is None:
        return
    if isinstance(tags, str) or not isinstance(tags, Sequence | Set):
        raise SearchError(f"tags {short_repr(tags)} is not a list: put the words into one.")
    if len(tags) > MAX_TAGS:
        raise SearchError(f"tags has {len(tags)} words: pass at most {MAX_TAGS}.")
    characters = sum(len(tag) for tag in tags if isinstance(tag, str))
    if characters > MAX_TAG_CHARACTERS:
        raise SearchError(f"tags has {characters} characters: pass at most {MAX_TAG_CHARACTERS} in all.")
    for tag in tags:
        if not isinstance(tag, str) or not is_storable(tag):
            raise SearchError(f"tags holds {short_repr(tag)}: pass texts without NUL and lone surrogates.")


def _check_time(name: str, value: datetime | None) -> None:
    if value is None:
        return
    if not isinstance(value, datetime):
        raise SearchError(f"{name} {short_repr(value)} is not a datetime: pass one with a time zone.")
    if value.utcoffset() is None and settings.USE_TZ:
        raise SearchError(f"{name} {value!r} has no time zone: pass an aware datetime, see django.utils.timezone.")
    try:
        aware(value).astimezone(UTC)
    except OverflowError as error:
        raise SearchError(f"{name} {value!r} is before or after all dates: pass another one.") from error
