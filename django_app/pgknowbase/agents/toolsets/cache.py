"""Notes of an agent in Django's cache, separate for each user."""

import hashlib
import json
from typing import Any

from django.core.cache import cache

from pgknowbase.agents.tools import RunContext, Toolset
from pgknowbase.agents.toolsets.access import signed_in
from pgknowbase.errors import ToolRefusedError

LONGEST_KEY = 100
LONGEST_VALUE = 100_000
LONGEST_TIME = 7 * 24 * 3600


def cache_tools() -> Toolset:
    """``cache_get``, ``cache_set`` and ``cache_delete``."""
    return Toolset("cache", [cache_get], writing=[cache_set, cache_delete])


async def cache_get(ctx: RunContext[Any], key: str) -> Any:
    """The value that is stored under a key for this user; null if there is none.

    Args:
        ctx: The context of the run.
        key: As it was passed to cache_set.
    """
    return await cache.aget(await _key(ctx, key))


async def cache_set(ctx: RunContext[Any], key: str, value: Any, seconds: int = 3600) -> str:
    """Store a value for this user.

    Args:
        ctx: The context of the run.
        key: Up to 100 characters.
        value: Any JSON of up to 100,000 characters.
        seconds: How long it is kept, at most a week.
    """
    if not 1 <= seconds <= LONGEST_TIME:
        raise ToolRefusedError(f"seconds {seconds} is out of range: pass 1 to {LONGEST_TIME}.")
    if len(json.dumps(value, default=str)) > LONGEST_VALUE:
        raise ToolRefusedError(f"The value is longer than {LONGEST_VALUE} characters: keep less.")
    await cache.aset(await _key(ctx, key), value, seconds)
    return "stored"


async def cache_delete(ctx: RunContext[Any], key: str) -> str:
    """Delete the value that is stored under a key for this user.

    Args:
        ctx: The context of the run.
        key: As it was passed to cache_set.
    """
    return "deleted" if await cache.adelete(await _key(ctx, key)) else "there was no such value"


async def _key(ctx: RunContext[Any], key: str) -> str:
    """The key in the cache. It holds the user, so that no key leads to another user's entry, or to the project's."""
    if not key or len(key) > LONGEST_KEY:
        raise ToolRefusedError(f"The key has {len(key)} characters: use 1 to {LONGEST_KEY}.")
    user = await signed_in(ctx)
    # Hashed, because the model may use any characters and cache backends accept few.
    return f"pgknowbase-agents:{user.pk}:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
