"""The source models of this project and what each declares."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from pydantic import ValidationError

from pgknowbase.capture.paths import Watch, watched_tables
from pgknowbase.errors import ConfigurationError
from pgknowbase.meta import ExternalDataMetaConfig

OWNER_FIELDS = ("user", "owner", "author", "created_by")


@dataclass(frozen=True)
class Source:
    """A source model with its validated declaration."""

    model: Any
    config: ExternalDataMetaConfig

    @property
    def label(self) -> str:
        """The name by which outbox rows call the model: app label and class name."""
        return str(self.model._meta.label)

    def content_type_id(self, using: str) -> int:
        """The id that documents and chunks of this model carry in the database ``using``."""
        return ContentType.objects.db_manager(using).get_for_model(self.model, for_concrete_model=False).pk

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The watched paths; the owner's is among them, or a row would keep its former owner's visibility."""
        owner = [self.owner_path] if self.owner_path else []
        return tuple(dict.fromkeys([*self.config.watch_fields, *owner]))

    @cached_property
    def watches(self) -> tuple[Watch, ...]:
        """The tables whose changes bring rows back, the model's own first."""
        return tuple(watched_tables(self.model, self.paths))

    @cached_property
    def owner_path(self) -> str | None:
        """The path to the owner, declared or found by its usual names."""
        if self.config.owner_field is not None:
            return self.config.owner_field
        user = get_user_model()
        for name in OWNER_FIELDS:
            try:
                field = self.model._meta.get_field(name)
            except FieldDoesNotExist:
                continue
            if field.many_to_one and field.related_model is user:
                return name
        return None


def is_source(model: type[models.Model]) -> bool:
    """Whether the model carries ``ExternalDataMixin``, rightly declared or not."""
    return getattr(model, "is_external_source", False) is True


def candidates() -> list[type[models.Model]]:
    """Every source model, rightly declared or not.

    A proxy, or a child in multi-table inheritance, is one only if it has an ``ExternalDataMeta`` of its own: otherwise
    its rows are in the index as rows of the model that declares it.
    """
    return [model for model in apps.get_models() if is_source(model) and _declares(model)]


def _declares(model: type[models.Model]) -> bool:
    inherits = any(is_source(parent) for parent in [*model._meta.all_parents, *_proxied(model)])
    return not inherits or "ExternalDataMeta" in vars(model)


def _proxied(model: type[models.Model]) -> list[type[models.Model]]:
    concrete = model._meta.concrete_model
    return [concrete] if model._meta.proxy and concrete is not None else []


def declaring(model: type[models.Model]) -> type[models.Model]:
    """The source model under which the rows of ``model`` are indexed: itself, or the one it inherits from."""
    if not is_source(model) or _declares(model):
        return model
    for base in model.__mro__[1:]:
        if isinstance(base, type(models.Model)) and not base._meta.abstract and is_source(base) and _declares(base):
            return base
    return model


def source_of(model: type[models.Model]) -> Source:
    """The declaration of one source model, or of the one whose rows those of ``model`` are.

    Raises:
        ConfigurationError: the model has no ``ExternalDataMeta``, or a wrong one; the message names model and key.
    """
    model = declaring(model)
    label = model._meta.label
    if not is_source(model):
        raise ConfigurationError(f"{label!r} is no source model: let it inherit from ExternalDataMixin.")
    declared = getattr(model, "ExternalDataMeta", None)
    if declared is None:
        raise ConfigurationError(f"{label!r} has no ExternalDataMeta: add one with watch_fields.")
    try:
        source = Source(model, ExternalDataMetaConfig.from_class(declared))
    except ValidationError as error:
        raise ConfigurationError(_faults(label, error)) from error
    if source.config.owner_field:
        _check_owner(model, source.config.owner_field)
    source.watches  # noqa: B018 - resolves every path
    return source


def sources() -> list[Source]:
    """The rightly declared source models; the system checks report the others."""
    found = []
    for model in candidates():
        try:
            found.append(source_of(model))
        except ConfigurationError:
            continue
    return found


def source_by_label(label: str) -> Source:
    """The source model called ``label``, such as ``'blog.Article'``; case does not matter.

    Raises:
        ConfigurationError: there is no such source model.
    """
    for source in sources():
        if source.label.lower() == label.lower():
            return source
    known = ", ".join(source.label for source in sources()) or "none"
    raise ConfigurationError(f"{label!r} is no source model: use one of {known}.")


def _check_owner(model: type[models.Model], path: str) -> None:
    step: Any = model
    for name in path.split("__"):
        try:
            step = step._meta.get_field(name).related_model
        except FieldDoesNotExist as error:
            raise ConfigurationError(
                f"owner_field {path!r} of {model._meta.label!r} is wrong: {step._meta.label!r} has no field {name!r}."
            ) from error
        if step is None:
            break
    if step is not get_user_model():
        raise ConfigurationError(
            f"owner_field {path!r} of {model._meta.label!r} does not lead to {get_user_model()._meta.label!r}: name a"
            " foreign key to the user model."
        )


def _faults(label: str, error: ValidationError) -> str:
    known = ", ".join(ExternalDataMetaConfig.model_fields)
    parts = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            parts.append(f"{key!r} is no key of it: use one of {known}")
        elif fault["type"] == "missing":
            parts.append(f"{key!r} is missing: add it")
        else:
            parts.append(f"{key!r}: {fault['msg'].removeprefix('Value error, ')}, got {fault['input']!r}")
    return f"ExternalDataMeta of {label!r} is wrong: {'; '.join(parts)}."
