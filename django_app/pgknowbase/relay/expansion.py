"""Expansion: from changed related rows to the source rows that they concern, a page at a time."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist, FieldError, ValidationError
from django.db import ProgrammingError
from django.db.models.constants import LOOKUP_SEP

from pgknowbase.core import gateway
from pgknowbase.core.keys import key_page, parse, parse_keys
from pgknowbase.errors import SourceUnavailableError
from pgknowbase.relay.availability import is_undefined
from pgknowbase.sources.registry import Source

logger = logging.getLogger("pgknowbase.relay")


@dataclass(frozen=True, slots=True)
class Page:
    """Keys of objects that an expansion concerns, some perhaps twice; ``last`` is the last of them, None at the end."""

    keys: list[str]
    last: str | None


def expand(source: Source, path: str, keys: Iterable[str] | None, after: str | None, limit: int, using: str) -> Page:
    """The next ``limit`` objects of ``source`` behind the key ``after`` whose ``path`` leads to one of ``keys``.

    Args:
        path: the lookup from the source to the values in ``keys``; '' for the source's own table, whose object keys
            these are, 'pk' for those of its rows that exist.
        keys: values as text, or None for a whole table: every row of the source or, without a path, every object that
            the index knows of it, because the rows themselves are gone.

    Raises:
        SourceUnavailableError: the tables are those of another version of the project.
    """
    try:
        return _page(source, path, keys, after, limit, using)
    except ProgrammingError as error:
        if not is_undefined(error):
            raise
        raise SourceUnavailableError(f"{source.label!r} cannot be read: {error}".strip(), label=source.label) from error


def _page(source: Source, path: str, keys: Iterable[str] | None, after: str | None, limit: int, using: str) -> Page:
    if keys is None and not path:
        known = gateway.fetch(
            using, "known_keys", source=source.content_type_id(using), after_key=after, max_keys=limit
        )
        found = [row[0] for row in known]
    elif keys is not None and not path:
        found = sorted(key for key in keys if after is None or key > after)[:limit]
    else:
        rows = source.model._base_manager.using(using)
        if keys is not None:
            rows = _leading_to(rows, source, path, keys)
        return Page(*key_page(rows, after, limit))
    return Page(found, found[-1] if len(found) == limit else None)


def _leading_to(rows: Any, source: Source, path: str, keys: Iterable[str]) -> Any:
    """Those of ``rows`` whose ``path`` leads to one of ``keys``.

    A path was written by the triggers of an earlier or a later version of the project, whose fields may have other
    names. Where this version does not know it, any row may be meant.
    """
    if path == "pk":
        return rows.filter(pk__in=parse_keys(source.model, keys))
    try:
        return rows.filter(**{f"{path}__in": _values(source, path, keys)})
    except (FieldDoesNotExist, FieldError):
        logger.warning("%s has no path %r any more: every row of it is rendered for this change.", source.label, path)
        return rows


def _values(source: Source, path: str, keys: Iterable[str]) -> list[Any]:
    """``keys`` as values of the field at the end of ``path``. What is not a value of it can match no row: left out."""
    model: Any = source.model
    *steps, last = path.split(LOOKUP_SEP)
    for step in steps:
        model = model._meta.get_field(step).related_model
        if model is None:
            raise FieldError(f"{path!r} goes through {step!r}, which is not a relation")
    field = model._meta.pk if last == "pk" else model._meta.get_field(last)
    found = []
    for key in keys:
        try:
            found.append(parse(field, key))
        except (ValidationError, ValueError, TypeError, ArithmeticError):
            continue
    return found
