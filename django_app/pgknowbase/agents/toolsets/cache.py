"""Notes of an agent in Django's cache, apart for each user."""

import hashlib
import json
from typing import Any

from django.core.cache import cache

from pgknowbase.agents.adapter import RunContext, toolset
from pgknowbase.agents.toolsets.access import signed_in
from pgknowbase.errors import ToolRefusedError

LONGEST_KEY = 100
LONGEST_VALUE = 100_000
LONGEST_TIME = 7 * 24 * 3600


def cache_tools() -> Any:
    """``cache_get``, ``cache_set`` and ``cache_delete``."""
    return toolset("cache", [cache_get, cache_set, cache_delete])


async def cache_get(ctx: RunContext[Any], key: str) -> Any:
    """What was kept under a key for this user; null if nothing is.

    Args:
        ctx: Of the run.
        key: As it was given to cache_set.
    """
    return await cache.aget(await _key(ctx, key))


async def cache_set(ctx: RunContext[Any], key: str, value: Any, seconds: int = 3600) -> str:
    """Keep a value for this user.

    Args:
        ctx: Of the run.
        key: Up to 100 characters.
        value: Any JSON of up to 100,000 characters.
        seconds: For how long, at most a week.
    """
    if not 1 <= seconds <= LONGEST_TIME:
        raise ToolRefusedError(f"seconds {seconds} is out of range: pass 1 to {LONGEST_TIME}.")
    if len(json.dumps(value, default=str)) > LONGEST_VALUE:
        raise ToolRefusedError(f"The value is longer than {LONGEST_VALUE} characters: keep less.")
    await cache.aset(await _key(ctx, key), value, seconds)
    return "kept"


async def cache_delete(ctx: RunContext[Any], key: str) -> str:
    """Forget what is kept under a key for this user.

    Args:
        ctx: Of the run.
        key: As it was given to cache_set.
    """
    return "forgotten" if await cache.adelete(await _key(ctx, key)) else "there was nothing"


async def _key(ctx: RunContext[Any], key: str) -> str:
    """The user's own name for it: no key leads to another user's entry, or to the project's."""
    if not key or len(key) > LONGEST_KEY:
        raise ToolRefusedError(f"The key has {len(key)} characters: use 1 to {LONGEST_KEY}.")
    user = await signed_in(ctx)
    # The key's own characters may be any, and cache backends take few.
    return f"pgknowbase-agents:{user.pk}:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
