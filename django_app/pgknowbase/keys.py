"""Object keys: a row's primary key as text, the same in triggers, outbox, documents and the chunk store."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Cast

from pgknowbase.errors import PgKnowbaseError


def object_key(pk: Any) -> str:
    """The key of a primary key value: its text, or a JSON array for a composite key."""
    if isinstance(pk, tuple):
        return json.dumps([object_key(part) for part in pk], ensure_ascii=False)
    return str(pk)


def parse_key(model: type[models.Model], key: str) -> Any:
    """The primary key value that ``key`` stands for.

    Raises:
        PgKnowbaseError: ``key`` is no key of ``model``.
    """
    pk: Any = model._meta.pk
    try:
        if isinstance(pk, models.CompositePrimaryKey):
            fields: Any = pk.fields
            return tuple(field.to_python(part) for field, part in zip(fields, json.loads(key), strict=True))
        return pk.to_python(key)
    except (ValidationError, ValueError, TypeError) as error:
        raise PgKnowbaseError(
            f"{key!r} is not a primary key of {model._meta.label!r}: pass the value of {pk.name!r} as text."
        ) from error


def normal_key(model: type[models.Model], key: str) -> str:
    """``key`` as ``object_key`` writes it; what is no key of ``model`` stays as it is."""
    try:
        return object_key(parse_key(model, key))
    except PgKnowbaseError:
        return key


def parse_keys(model: type[models.Model], keys: Iterable[str]) -> list[Any]:
    """The primary key values of ``keys``, without those that are no key of ``model``."""
    found = []
    for key in keys:
        try:
            found.append(parse_key(model, key))
        except PgKnowbaseError:
            continue
    return found


def key_text(model: type[models.Model], prefix: Callable[[str], Any] = models.F) -> Any:
    """The expression whose value is a row's key; ``prefix`` makes an expression of a field's name."""
    pk: Any = model._meta.pk
    if not isinstance(pk, models.CompositePrimaryKey):
        return Cast(prefix("pk"), models.TextField())
    fields: Any = pk.fields
    parts = [Cast(prefix(field.attname), models.TextField()) for field in fields]
    return Cast(models.Func(*parts, function="jsonb_build_array"), models.TextField())
