"""For whom a tool searches: the user named when the server starts, or the user of the request that is answered."""

from contextvars import ContextVar
from typing import Any, Protocol

from django.contrib.auth import get_user_model
from django.http import HttpRequest

from pgknowbase.api.links import absolute_url
from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError
from pgknowbase.search.visibility import Viewer


class Identity(Protocol):
    """The viewer of the tools, and the address under which they know the site."""

    def viewer(self) -> Viewer:
        """The user, or None for a visitor; called in the thread of each tool call."""
        ...

    def absolute_url(self, path: str) -> str:
        """The address of a path of the site."""
        ...


class FixedUser:
    """The user with that name. Without a name it is an anonymous visitor, who sees public rows.

    The user is looked up at each call, so that one who is deactivated loses access while the server runs.
    """

    def __init__(self, username: str | None) -> None:
        self.username = username

    def viewer(self) -> Any | None:
        """The user, or None for a visitor.

        Raises:
            PgKnowbaseError: there is no such user, or the user is not active.
        """
        if self.username is None:
            return None
        model: Any = get_user_model()
        users = model._base_manager.using(get_settings().database)
        user = users.filter(**{model.USERNAME_FIELD: self.username, "is_active": True}).first()
        if user is None:
            raise PgKnowbaseError(f"User {self.username!r} does not exist or is not active: name an active user.")
        return user

    def absolute_url(self, path: str) -> str:
        """The path itself, unless PUBLIC_URL says where the site is."""
        return absolute_url(None, path)


# Set by the view, for the tools that the SDK calls.
current_request: ContextVar[HttpRequest] = ContextVar("pgknowbase_mcp_request")


class RequestUser:
    """The user of the HTTP request that is answered, whose token the view has verified."""

    def viewer(self) -> Any:
        """The user."""
        return current_request.get().user

    def absolute_url(self, path: str) -> str:
        """The address of a path of the site, as the request knows it."""
        return absolute_url(current_request.get(), path)
