"""Whom the ledger and caps count a text against: its owner, or what a hook of the project says."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.utils.module_loading import import_string

from pgknowbase.conf import get_settings
from pgknowbase.errors import ConfigurationError

logger = logging.getLogger("pgknowbase.costs")


@dataclass(frozen=True, slots=True)
class Spender:
    """On whose behalf a provider is paid.

    Attributes:
        user_id: the owner of the row, or the user who searches or runs an agent, as text; '' for nobody.
        source: label of the source model, such as 'blog.article'; '' where it is not about a row.
        object_key: of the row.
        metadata: of the row.
    """

    user_id: str = ""
    source: str = ""
    object_key: str = ""
    metadata: dict[str, Any] = field(default_factory=dict, hash=False)


Hook = Callable[[Spender], object]


def tenant_of(spender: Spender) -> str:
    """The tenant's name: by default the id of the user, else what the function in ``COSTS["TENANT"]`` returns.

    '' where that function raises, which is logged: no request or run ends because of its bookkeeping.

    Raises:
        ConfigurationError: the function cannot be imported.
    """
    path = get_settings().costs.tenant
    if not path:
        return spender.user_id
    hook = _hook(path)
    try:
        return str(hook(spender) or "")
    except Exception:
        logger.exception("COSTS['TENANT'] %r has failed for %r: the costs are counted for no tenant", path, spender)
        return ""


def check_hook(path: str) -> None:
    """Check that ``path`` is a function, or ''.

    Raises:
        ConfigurationError: it cannot be imported, or cannot be called.
    """
    if path:
        _hook(path)


@lru_cache(maxsize=4)
def _hook(path: str) -> Hook:
    try:
        hook: Hook = import_string(path)
    except ImportError as error:
        raise ConfigurationError(
            f"COSTS['TENANT'] {path!r} cannot be imported ({error}): name a function of one Spender."
        ) from error
    if not callable(hook):
        raise ConfigurationError(f"COSTS['TENANT'] {path!r} is not a function: name one of one Spender.")
    return hook
