"""Visibility: from the user of ``visible_to`` to the conditions that the database evaluates."""

import inspect
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, Union

from django.db import models

from pgknowbase.core.keys import key_text
from pgknowbase.errors import ConfigurationError

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from pgknowbase.sources.registry import Source


class _Unrestricted(Enum):
    UNRESTRICTED = "everything"

    def __repr__(self) -> str:
        return "UNRESTRICTED"


UNRESTRICTED = _Unrestricted.UNRESTRICTED
Viewer: TypeAlias = Union[models.Model, "AnonymousUser", Literal[_Unrestricted.UNRESTRICTED], None]
Rows = TypeVar("Rows", bound="models.QuerySet[Any]")


def viewer_param(visible_to: Viewer) -> str | None:
    """The viewer as the SQL functions take it.

    Returns:
        None for no restriction, which superusers have too; ``''`` for public objects only, which is what None, an
        anonymous or an inactive user sees; else the id of the user, who also sees the objects that they own.
    """
    if visible_to is UNRESTRICTED:
        return None
    if visible_to is None or not getattr(visible_to, "is_authenticated", False):
        return ""
    if not getattr(visible_to, "is_active", True):
        return ""
    if getattr(visible_to, "is_superuser", False):
        return None
    return str(visible_to.pk)


def is_anonymous(visible_to: Viewer) -> bool:
    """Whether nobody is signed in, so that only public objects are seen."""
    return viewer_param(visible_to) == ""


def visible_rows(model: type[models.Model], visible_to: Viewer) -> "models.QuerySet[Any] | None":
    """The rows that the model's own rule lets this user see, or None where public and owned rows are the rule.

    The rule is a classmethod ``visible_to(user)`` of the model, or a method of that name of its default manager. It is
    called for users who are signed in, active and not superusers.

    Raises:
        ConfigurationError: the rule does not return a queryset of the model.
    """
    if not viewer_param(visible_to):
        return None
    rule = getattr(model, "visible_to", None)
    if not inspect.ismethod(rule):
        rule = getattr(model._default_manager, "visible_to", None)
    if not callable(rule):
        return None
    rows = rule(visible_to)
    if not isinstance(rows, models.QuerySet) or rows.model._meta.concrete_model is not model._meta.concrete_model:
        raise ConfigurationError(
            f"visible_to() of {model._meta.label!r} returned {type(rows).__name__!r}: return a queryset of that model."
        )
    return rows


def visible_data(rows: Rows, sources: "Sequence[Source]", visible_to: Viewer) -> Rows:
    """The rows of ``ExternalData`` among ``rows`` that this user may see.

    Args:
        sources: the source models whose objects ``rows`` may contain; each may have a rule of its own.
    """
    viewer = viewer_param(visible_to)
    if viewer is None:
        return rows
    owned = models.Q(is_public=True) | (models.Q(owner_id=viewer) if viewer else models.Q())
    ruled = models.Q()
    for source in sources:
        seen = visible_rows(source.model, visible_to)
        if seen is not None:
            # By name, because the ids of content types differ between databases.
            name = source.model._meta
            of_source = models.Q(content_type__app_label=name.app_label, content_type__model=name.model_name)
            owned &= ~of_source
            ruled |= of_source & models.Q(object_key__in=seen.values(pgknowbase_key=key_text(source.model)))
    return rows.filter(owned | ruled)
