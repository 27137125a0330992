"""From changed related rows to the source rows they concern, a page at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models.constants import LOOKUP_SEP

from pgknowbase import gateway
from pgknowbase.keys import object_key, parse_key
from pgknowbase.registry import Source


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects that an expansion concerns, one perhaps several times; ``last`` is None on the last page."""

    keys: list[str]
    last: str | None


def page(source: Source, path: str, keys: Iterable[str] | None, after: str | None, limit: int, using: str) -> Page:
    """The next ``limit`` objects of ``source`` behind ``after`` whose ``path`` leads to one of ``keys``.

    Without ``keys`` every row of the model, or, where there is no ``path``, every object that the index knows of it.
    """
    if keys is None and not path:
        known = gateway.fetch(using, gateway.KNOWN_KEYS, source.content_type_id(using), after, limit)
        found = [row[0] for row in known]
    else:
        rows = source.model._base_manager.using(using).order_by("pk").values_list("pk", flat=True)
        if keys is not None:
            rows = rows.filter(**{f"{path}__in": values(source, path, keys)})
        if after is not None:
            rows = rows.filter(pk__gt=parse_key(source.model, after))
        found = [object_key(pk) for pk in rows[:limit]]
    return Page(found, found[-1] if len(found) == limit else None)


def values(source: Source, path: str, keys: Iterable[str]) -> list[Any]:
    """``keys`` as values of the field at the end of ``path``, without those that are none."""
    model: Any = source.model
    *steps, last = path.split(LOOKUP_SEP)
    for step in steps:
        model = model._meta.get_field(step).related_model
    field = model._meta.pk if last == "pk" else model._meta.get_field(last)
    found = []
    for key in keys:
        try:
            found.append(field.to_python(key))
        except (ValidationError, ValueError, TypeError):
            continue
    return found
