"""For whom a tool searches: the user named at the start, or the one of the token."""

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model

from pgknowbase.conf import get_settings
from pgknowbase.errors import ConfigurationError, PgKnowbaseError


class Named:
    """The user of that name, looked up at each call; without a name nobody, who sees public rows."""

    def __init__(self, username: str | None) -> None:
        self.username = username

    def __call__(self) -> Any | None:
        """The user.

        Raises:
            PgKnowbaseError: there is none, or they are not active any more.
        """
        if self.username is None:
            return None
        model: Any = get_user_model()
        users = model._base_manager.using(get_settings().database)
        user = users.filter(**{model.USERNAME_FIELD: self.username, "is_active": True}).first()
        if user is None:
            raise PgKnowbaseError(f"There is no active user {self.username!r}: name one that there is.")
        return user


class OfToken:
    """The user of the request's token, which counts as one of its requests."""

    def __call__(self) -> Any:
        """The user.

        Raises:
            PgKnowbaseError: the token is not valid any more, or was used too often.
        """
        from mcp.server.auth.middleware.auth_context import get_access_token

        from pgknowbase.api.problems import Problem
        from pgknowbase.api.throttling import throttle
        from pgknowbase.api.tokens import verify_token

        sent = get_access_token()
        token = verify_token(sent.token) if sent is not None else None
        if token is None:
            raise PgKnowbaseError("The token is unknown, expired or revoked: get a new one.")
        try:
            throttle(f"token:{token.pk}", get_settings().api.token_rate)
        except Problem as problem:
            raise PgKnowbaseError(problem.detail) from problem
        return token.user


def check_tokens_exist() -> None:
    """Refuse to serve over HTTP without tokens.

    Raises:
        ConfigurationError: the app that keeps them is not installed.
    """
    if not apps.is_installed("pgknowbase.api"):
        raise ConfigurationError(
            "MCP over HTTP needs tokens: add 'pgknowbase.api' to INSTALLED_APPS and run 'manage.py migrate'."
        )
