"""What a run knows about the user it acts for."""

import json
from dataclasses import dataclass, field
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.exceptions import SynchronousOnlyOperation, ValidationError
from django.http import HttpRequest

from pgknowbase.conf import get_settings
from pgknowbase.errors import AgentError


@dataclass(kw_only=True)
class DjangoDeps:
    """The user for whom an agent acts. Tool sets check the permissions of this user.

    Args:
        user_id: the key of a user, or None for an anonymous visitor.
        request: the HTTP request, where there is one; a run in the background has none.
        session_data: JSON that goes with a run into the background.

    Raises:
        AgentError: ``user_id`` cannot be the key of a user.
    """

    user_id: Any = None
    request: HttpRequest | None = field(default=None, repr=False)
    session_data: dict[str, Any] = field(default_factory=dict)
    _user: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.user_id is None:
            return
        options = get_user_model()._meta
        key: Any = options.pk
        while key.remote_field:  # a user model that inherits its key
            key = key.target_field
        try:
            key.run_validators(key.to_python(self.user_id))
        except (ValidationError, OverflowError):
            raise AgentError(
                f"user_id {self.user_id!r:.100} is not a key of {options.label!r}: pass `user.pk`, or None."
            ) from None

    @classmethod
    def from_user(cls, user: Any, *, session_data: dict[str, Any] | None = None) -> Self:
        """For a user; None or an anonymous user stands for a visitor."""
        deps = cls(user_id=_key(user), session_data=session_data or {})
        deps._user = user if deps.user_id is not None else None
        return deps

    @classmethod
    def from_request(cls, request: HttpRequest) -> Self:
        """For the request's authenticated user, with the JSON that the project keeps in the session.

        Raises:
            AgentError: it was called in async code.
        """
        try:
            deps = cls(user_id=_key(getattr(request, "user", None)), request=request, session_data=_session(request))
        except SynchronousOnlyOperation as error:
            raise AgentError(
                "DjangoDeps.from_request() asks the database: in async code use `await DjangoDeps.afrom_request()`."
            ) from error
        return deps

    @classmethod
    async def afrom_request(cls, request: HttpRequest) -> Self:
        """Async twin of ``from_request``."""
        return await sync_to_async(cls.from_request)(request)

    async def get_user(self) -> Any:
        """The user, loaded once; None for a visitor.

        Raises:
            AgentError: the user is gone or no longer active.
        """
        if self.user_id is None:
            return None
        if self._user is None:
            self._user = await _users().filter(pk=self.user_id).afirst()
        if self._user is None or not getattr(self._user, "is_active", True):
            raise AgentError(f"User {self.user_id!r} is gone or not active: run the agent for somebody else.")
        return self._user


def _users() -> Any:
    """Where the rows of runs point at them."""
    return get_user_model()._default_manager.using(get_settings().database)


def _key(user: Any) -> Any:
    return user.pk if user is not None and getattr(user, "is_authenticated", False) else None


def _session(request: HttpRequest) -> dict[str, Any]:
    """The session without Django's own entries, such as the hash of the password, and without what JSON cannot hold."""
    session = getattr(request, "session", None)
    items = [] if session is None else [each for each in session.items() if not each[0].startswith("_")]
    return {name: value for name, value in items if _is_json(value)}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
