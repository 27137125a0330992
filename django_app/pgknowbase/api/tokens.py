"""Tokens: made, shown once, verified, revoked. Nothing here needs the extra ``api``."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from pgknowbase.api.models import ApiToken
from pgknowbase.api.scopes import SCOPES
from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError

PREFIX = "pgk_"
SHOWN = len(PREFIX) + 6
USE_NOTED_EVERY = timedelta(minutes=1)


def create_token(
    user: Any, *, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """A new token of ``user`` and its secret, which cannot be had again.

    Raises:
        PgKnowbaseError: a scope is unknown, or the token would be expired at once.
    """
    unknown = sorted(set(scopes) - SCOPES.keys())
    if unknown:
        raise PgKnowbaseError(f"Scope {unknown[0]!r} is unknown: use some of {', '.join(SCOPES)}.")
    if expires_at is not None and expires_at <= timezone.now():
        raise PgKnowbaseError(f"{expires_at!r} is over: let the token expire later.")
    token = ApiToken(user=user, name=name, scopes=sorted(set(scopes)), expires_at=expires_at)
    secret = give_secret(token)
    token.save(using=get_settings().database)
    return token, secret


def give_secret(token: ApiToken) -> str:
    """A fresh secret for a token that is not saved yet."""
    # 256 random bits cannot be guessed, so a plain hash is enough and can be looked up.
    secret = PREFIX + secrets.token_urlsafe(32)
    token.prefix, token.digest = secret[:SHOWN], digest_of(secret)
    return secret


def verify_token(secret: str) -> ApiToken | None:
    """The token whose secret this is, with its user, if it is valid now; notes its use."""
    using, now = get_settings().database, timezone.now()
    valid = ApiToken.objects.using(using).filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=now), revoked_at__isnull=True, user__is_active=True
    )
    token = valid.filter(digest=digest_of(secret)).select_related("user").first()
    if token is not None and (token.last_used_at is None or token.last_used_at < now - USE_NOTED_EVERY):
        ApiToken.objects.using(using).filter(pk=token.pk).update(last_used_at=now)
    return token


def revoke(token: ApiToken) -> None:
    """End a token now; its row stays, to tell that it was."""
    ApiToken.objects.using(token._state.db).filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
