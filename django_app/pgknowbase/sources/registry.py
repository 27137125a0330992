"""The source models of this project and what each declares."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from pydantic import ValidationError

from pgknowbase.core.command_line import command_line
from pgknowbase.errors import ConfigurationError
from pgknowbase.sources.declaration import ExternalDataMetaConfig
from pgknowbase.sources.paths import Watch, watched_tables

OWNER_FIELDS = ("user", "owner", "author", "created_by")
TITLE_FIELDS = ("title", "name", "headline", "subject", "label")
DEFAULT_TITLE = "ExternalDataMixin.get_external_title"


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
        """The id that documents and chunks of this model carry in the database ``using``.

        Raises:
            ConfigurationError: ``migrate`` has not run since the model was added or renamed.
        """
        opts = self.model._meta
        try:
            # Not get_for_model(), which would create a missing one. Of a renamed model that would keep Django's
            # migration from renaming the content type that the objects in the index belong to.
            return ContentType.objects.db_manager(using).get_by_natural_key(opts.app_label, opts.model_name).pk
        except ContentType.DoesNotExist as error:
            raise ConfigurationError(
                f"{self.label!r} has no content type in the database {using!r}: run {command_line('migrate', using)!r}."
            ) from error

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The watched paths, with those that defaults read: the title's field, and the owner's.

        The owner's is watched in any case, or a row would stay visible to its former owner.
        """
        title = title_field(self.model) if self.model.get_external_title.__qualname__ == DEFAULT_TITLE else ""
        read = [path for path in (title, self.owner_path) if path]
        return tuple(dict.fromkeys([*self.config.watch_fields, *read]))

    @cached_property
    def watches(self) -> tuple[Watch, ...]:
        """The tables whose changes concern rows of the model, the model's own first."""
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


@cache
def title_field(model: type[models.Model]) -> str:
    """The name of the field that is a row's title by default, or '' where the model has none of the usual names."""
    names = {field.name for field in model._meta.concrete_fields}
    return next((name for name in TITLE_FIELDS if name in names), "")


def is_source(model: type[models.Model]) -> bool:
    """Whether the model has ``ExternalDataMixin``, whether or not its declaration is valid."""
    return getattr(model, "is_external_source", False) is True


def candidates() -> list[type[models.Model]]:
    """Every source model, whether or not its declaration is valid.

    A proxy, or a child in multi-table inheritance, is one only if it has an ``ExternalDataMeta`` of its own: otherwise
    its rows are in the index as rows of the model that declares it.
    """
    return [model for model in apps.get_models() if is_source(model) and _declares(model)]


def _declares(model: type[models.Model]) -> bool:
    if "ExternalDataMeta" in vars(model):
        return True
    return not any(is_source(parent) for parent in [*model._meta.all_parents, *_proxied(model)])


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
    source = Source(model, declaration_of(model))
    if source.config.owner_field:
        _check_owner(model, source.config.owner_field)
    source.watches  # noqa: B018 - resolves every path
    return source


def declaration_of(model: type[models.Model]) -> ExternalDataMetaConfig:
    """What ``source_of`` declares, at a fraction of the cost: paths and owner are not looked at. For each row.

    Raises:
        ConfigurationError: the model has no ``ExternalDataMeta``, or a wrong one; the message names model and key.
    """
    model = declaring(model)
    label = model._meta.label
    if not is_source(model):
        raise ConfigurationError(f"{label!r} is not a source model: let it inherit from ExternalDataMixin.")
    declared = getattr(model, "ExternalDataMeta", None)
    if declared is None:
        raise ConfigurationError(f"{label!r} has no ExternalDataMeta: add one with watch_fields.")
    try:
        return ExternalDataMetaConfig.from_class(declared)
    except ValidationError as error:
        raise ConfigurationError(_faults(label, error)) from error


def sources() -> list[Source]:
    """The source models with a valid declaration; the system checks report the others."""
    found = []
    for model in candidates():
        try:
            found.append(source_of(model))
        except ConfigurationError:
            continue
    return found


def content_type_ids(found: Iterable[Source], using: str) -> list[int]:
    """The ids of those of ``found`` that have been migrated; the others have nothing in the index yet."""
    ids = []
    for source in found:
        try:
            ids.append(source.content_type_id(using))
        except ConfigurationError:
            continue
    return ids


def source_by_label(label: str) -> Source:
    """The source model called ``label``, such as ``'blog.Article'``; case does not matter.

    Raises:
        ConfigurationError: there is no such source model.
    """
    for source in sources():
        if source.label.lower() == label.lower():
            return source
    known = ", ".join(source.label for source in sources()) or "none"
    raise ConfigurationError(f"{label!r} is not a source model: use one of {known}.")


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
            parts.append(f"{key!r} is not a key of it: use one of {known}")
        elif fault["type"] == "missing":
            parts.append(f"{key!r} is missing: add it")
        else:
            parts.append(f"{key!r}: {fault['msg'].removeprefix('Value error, ')}, got {fault['input']!r}")
    return f"ExternalDataMeta of {label!r} is wrong: {'; '.join(parts)}."
