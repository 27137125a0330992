"""Checks of the database; they run in ``migrate`` and with ``manage.py check --database default``."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db.utils import OperationalError

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError, SpaceMismatchError
from pgknowbase.vectorizer.spaces import active_space, matching_space


@register("pgknowbase", Tags.database)
def check_space(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """E020: the active embedding space is not the one that the settings ask for."""
    try:
        using = get_settings().database
    except PgKnowbaseError:
        return []
    if not databases or using not in databases:
        return []
    try:
        if not gateway.fetch_value(using, gateway.LISTED_TABLES) or active_space(using) is None:
            return []
        matching_space(using)
    except OperationalError as error:
        return [
            Error(
                f"Database {using!r} cannot be reached: {str(error).strip()}",
                hint="Start the server and correct DATABASES (host, port, name, user, password).",
                id="pgknowbase.E021",
            )
        ]
    except SpaceMismatchError as error:
        return [Error(str(error), hint="Run 'manage.py pgknowbase_space list' to compare.", id="pgknowbase.E020")]
    return []
