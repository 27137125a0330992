"""API tokens and their scopes. Nothing here needs the extra ``api``, so commands and the MCP server use it too."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from pgknowbase.api.models import ApiToken
from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError

# What a token may be allowed to do. An app with routes of its own adds to it in AppConfig.ready().
SCOPES = {
    "search": "Search, and ask for what is similar",
    "status": "See how far the index is",
    "sync": "Bring rows into the index",
    "agents": "Run agents and workflows, and see, cancel and retry runs",
    "approvals": "Decide on tool calls that wait for a person",
    "act_for_others": "Act as another user, if the token's user may",
}
PREFIX = "pgk_"
# Kept in clear text, so that a person can tell tokens apart.
VISIBLE_CHARACTERS = len(PREFIX) + 6
# last_used_at is written at most this often: a write for each request would be the most expensive part of it.
LAST_USE_RESOLUTION = timedelta(minutes=1)


def create_token(
    user: Any, *, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Create a token.

    Args:
        user: the user it acts as.
        name: what it is for.
        scopes: keys of ``SCOPES``.
        expires_at: when it stops working; None for never.

    Returns:
        The token, and its secret, which is not stored and cannot be read again.

    Raises:
        PgKnowbaseError: a scope is unknown, or ``expires_at`` is in the past.

    >>> token, secret = create_token(user, name="nightly import", scopes=["sync"])
    """
    unknown = sorted(set(scopes) - SCOPES.keys())
    if unknown:
        raise PgKnowbaseError(f"Scope {unknown[0]!r} is unknown: use some of {', '.join(SCOPES)}.")
    if expires_at is not None and expires_at <= timezone.now():
        raise PgKnowbaseError(f"{expires_at!r} is over: let the token expire later.")
    token = ApiToken(user=user, name=name, scopes=sorted(set(scopes)), expires_at=expires_at)
    secret = assign_secret(token)
    token.save(using=get_settings().database)
    return token, secret


def assign_secret(token: ApiToken) -> str:
    """Give a token that is not saved yet a new secret, and return the secret."""
    # 256 random bits cannot be guessed, so a plain hash is enough and can be looked up by an index.
    secret = PREFIX + secrets.token_urlsafe(32)
    token.prefix, token.digest = secret[:VISIBLE_CHARACTERS], _digest(secret)
    return secret


def verify_token(secret: str) -> ApiToken | None:
    """The token with this secret and its user, or None if it is unknown, expired, revoked or its user inactive.

    It records when the token was used.
    """
    using, now = get_settings().database, timezone.now()
    valid = ApiToken.objects.using(using).filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=now), revoked_at__isnull=True, user__is_active=True
    )
    token = valid.filter(digest=_digest(secret)).select_related("user").first()
    if token is not None and (token.last_used_at is None or token.last_used_at < now - LAST_USE_RESOLUTION):
        ApiToken.objects.using(using).filter(pk=token.pk).update(last_used_at=now)
    return token


def revoke(token: ApiToken) -> None:
    """End a token now. Its row stays, as evidence that it existed."""
    ApiToken.objects.using(token._state.db).filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
