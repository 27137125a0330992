"""The options that every search takes, checked at once."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import isfinite
from typing import TypedDict

from pgknowbase.conf import get_settings
from pgknowbase.errors import SearchError
from pgknowbase.search.metadata import Compiled, Metadata, compiled, shown, storable
from pgknowbase.search.visibility import EVERYTHING, Viewer

LARGEST_OFFSET = 10_000
MOST_TAGS = 500


class SearchFilters(TypedDict, total=False):
    """What narrows a search.

    ``offset``: how many of the best to leave out. ``threshold``: least similarity, in [-1, 1]; None means each row's
    own; for ``keyword_search`` the least BM25 score. ``metadata``: conditions on the row's metadata, see
    docs/search.md. ``tags``: the row must have all. ``changed_from``, ``changed_before``: when its entry in the index
    last changed. ``visible_to``: only what this user may see; an anonymous user or None sees public rows, a superuser
    all; left out, nothing is hidden.
    """

    offset: int
    threshold: float | None
    metadata: Metadata | None
    tags: Sequence[str] | None
    changed_from: datetime | None
    changed_before: datetime | None
    visible_to: Viewer


class SearchOptions(SearchFilters, total=False):
    """What every search takes by keyword. ``limit``: rows at most."""

    limit: int


class TextSearchOptions(SearchOptions, total=False):
    """What every search for a text takes.

    ``include_pending``: find rows that wait to be indexed too, by their words, and say of each row whether it waits.
    """

    include_pending: bool


@dataclass(frozen=True, kw_only=True)
class Options:
    """``TextSearchOptions`` with their defaults.

    Raises:
        SearchError: one of them is out of range or of the wrong kind.
    """

    limit: int = 10
    offset: int = 0
    threshold: float | None = None
    metadata: Metadata | None = None
    tags: Sequence[str] | None = None
    changed_from: datetime | None = None
    changed_before: datetime | None = None
    visible_to: Viewer = EVERYTHING
    include_pending: bool = False
    scored_by_words: bool = False

    def __post_init__(self) -> None:
        _check_whole("limit", self.limit, 1, get_settings().search.max_limit)
        _check_whole("offset", self.offset, 0, LARGEST_OFFSET)
        least, most = (0, None) if self.scored_by_words else (-1, 1)
        _check_threshold(self.threshold, least=least, most=most)
        _check_tags(self.tags)
        _check_moment("changed_from", self.changed_from)
        _check_moment("changed_before", self.changed_before)
        if not isinstance(self.include_pending, bool):
            raise SearchError(f"include_pending {shown(self.include_pending)} is no bool: pass True or False.")
        self.conditions  # noqa: B018 - compiles the metadata

    @cached_property
    def conditions(self) -> Compiled:
        """``metadata`` as the database takes it."""
        return compiled(self.metadata)


def _check_whole(name: str, value: int, least: int, largest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= largest:
        raise SearchError(f"{name} {shown(value)} is out of range: pass a whole number from {least} to {largest}.")


def _check_threshold(value: float | None, *, least: float, most: float | None) -> None:
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not is_number or value < least or (most is not None and value > most):
        bounds = f"from {least}" if most is None else f"from {least} to {most}"
        raise SearchError(f"threshold {shown(value)} is out of range: pass a number {bounds}, or None.")


def _check_tags(tags: Sequence[str] | None) -> None:
    if tags is None:
        return
    if isinstance(tags, str) or not isinstance(tags, Sequence | Set):
        raise SearchError(f"tags {shown(tags)} is no list: put the words into one.")
    if len(tags) > MOST_TAGS:
        raise SearchError(f"tags has {len(tags)} words: pass at most {MOST_TAGS}.")
    for tag in tags:
        if not isinstance(tag, str) or not storable(tag):
            raise SearchError(f"tags holds {shown(tag)}: pass texts without NUL and lone surrogates.")


def _check_moment(name: str, value: datetime | None) -> None:
    if value is None:
        return
    if not isinstance(value, datetime):
        raise SearchError(f"{name} {shown(value)} is no datetime: pass one with a time zone.")
    if value.utcoffset() is None:
        raise SearchError(f"{name} {value!r} has no time zone: pass an aware datetime, see django.utils.timezone.")
    try:
        in_utc(value)
    except OverflowError as error:
        raise SearchError(f"{name} {value!r} is before or after all dates: pass another one.") from error


def in_utc(value: datetime | None) -> datetime | None:
    """The same moment in a time zone that Postgres takes; it refuses those more than 16 hours away."""
    return None if value is None else value.astimezone(UTC)
