"""Rows become knowledge, inside Postgres.

The way of a row through the packages: ``capture`` (triggers on watched columns write the outbox), ``relay``
(claims outbox events, renders rows, writes documents), ``vectorizer`` (chunks and embeds documents on pgai's
catalog), ``search`` (SQL similarity functions behind managers and querysets). Beside them ``reactions``: functions that
run in the worker after a change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgknowbase.reactions import Change, on_change
    from pgknowbase.sync.waiting import await_indexed, wait_indexed

__version__ = "0.1.0"
__all__ = ["Change", "await_indexed", "on_change", "wait_indexed"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: models cannot be imported until the apps are loaded.
    if name in __all__:
        module = "reactions" if name in ("Change", "on_change") else "sync.waiting"
        return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
