"""Rows become knowledge, inside Postgres.

The way of a row through the packages: ``capture`` (triggers on watched columns write the outbox), ``relay``
(claims outbox events, renders rows, writes documents), ``vectorizer`` (chunks and embeds documents on pgai's
catalog), ``search`` (SQL similarity functions behind managers and querysets).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgknowbase.relay.waiting import await_indexed, wait_indexed

__version__ = "0.1.0"
__all__ = ["await_indexed", "wait_indexed"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: models cannot be imported until the apps are loaded.
    if name in __all__:
        from pgknowbase.relay import waiting

        return getattr(waiting, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
