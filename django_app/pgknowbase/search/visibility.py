"""Who may see what: from a user to the parameter that the SQL functions enforce."""

from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeAlias, Union

from django.db import models

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser


class _Everything(Enum):
    EVERYTHING = "everything"

    def __repr__(self) -> str:
        return "EVERYTHING"


EVERYTHING = _Everything.EVERYTHING
Viewer: TypeAlias = Union[models.Model, "AnonymousUser", Literal[_Everything.EVERYTHING], None]


def viewer_param(visible_to: Viewer) -> str | None:
    """None: no restriction; '': public objects only; else the id of the user who also sees their own.

    Nobody (None or an anonymous or inactive user) sees public objects, a superuser all.
    """
    if visible_to is EVERYTHING:
        return None
    if visible_to is None or not getattr(visible_to, "is_authenticated", False):
        return ""
    if not getattr(visible_to, "is_active", True):
        return ""
    if getattr(visible_to, "is_superuser", False):
        return None
    return str(visible_to.pk)
