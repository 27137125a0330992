"""Watched paths: what each entry of ``watch_fields`` means on a model."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.constants import LOOKUP_SEP

from pgknowbase.errors import ConfigurationError

ConcreteField: TypeAlias = "models.Field[Any, Any]"


class PathNotSupportedError(ConfigurationError):
    """A watched path that is understood but cannot be captured yet."""


@dataclass(frozen=True, slots=True)
class WatchedColumn:
    """A watched path that is one column of the model's own table."""

    path: str
    field: ConcreteField

    @property
    def column(self) -> str:
        return str(self.field.column)


def resolve_path(model: type[models.Model], path: str) -> WatchedColumn:
    """The column behind ``path``.

    Raises:
        ConfigurationError: the path names nothing on the model.
        PathNotSupportedError: it names a relation that triggers do not follow yet.
    """
    label = model._meta.label
    first, *rest = path.split(LOOKUP_SEP)
    if first == "pk":
        raise ConfigurationError(
            f"{path!r} of {label!r} is the key, which is always watched: take it out of watch_fields."
        )
    try:
        field = model._meta.get_field(first)
    except FieldDoesNotExist as error:
        known = ", ".join(sorted(field.name for field in model._meta.get_fields()))
        raise ConfigurationError(f"{path!r} is no field of {label!r}: use one of {known}.") from error
    if rest:
        if not field.is_relation:
            raise ConfigurationError(
                f"{path!r} of {label!r} goes through {first!r}, which is no relation: write {first!r}."
            )
        _check_related(model, field, path, rest)
        raise _not_yet(label, path, "is a column across a relation")
    if field.many_to_many or field.one_to_many or (field.auto_created and not field.concrete):
        raise _not_yet(label, path, "is a to-many relation")
    if not isinstance(field, models.Field) or not getattr(field, "column", None):
        raise _not_yet(label, path, "has no column of its own")
    if field.model._meta.concrete_model is not model._meta.concrete_model:
        raise _not_yet(label, path, "lives in a parent model's table")
    return WatchedColumn(path, field)


def _check_related(model: type[models.Model], field: Any, path: str, rest: list[str]) -> None:
    target = field.related_model
    for name in rest:
        try:
            step = target._meta.get_field(name)
        except FieldDoesNotExist as error:
            raise ConfigurationError(
                f"{path!r} of {model._meta.label!r} is wrong: {target._meta.label!r} has no field {name!r}."
            ) from error
        target = getattr(step, "related_model", None) or target


def _not_yet(label: str, path: str, why: str) -> PathNotSupportedError:
    return PathNotSupportedError(
        f"{path!r} of {label!r} {why}, which is not yet captured: watch own columns and foreign keys, and call"
        " sync_to_external_data() where related rows change."
    )
