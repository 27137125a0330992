"""Searches on streaming replicas, and tokens by which they see what was just written.

``ReplicaRouter`` sends searches to the replicas that ``REPLICAS`` names; everything else asks the primary.
"""

from typing import TYPE_CHECKING, Any

from pgknowbase.replicas.router import ReplicaRouter

if TYPE_CHECKING:
    from pgknowbase.replicas.tokens import FreshnessToken, afreshness_token, freshness_token

__all__ = ["FreshnessToken", "ReplicaRouter", "afreshness_token", "freshness_token"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: settings name the router, and models cannot be imported until the apps are loaded.
    if name in __all__:
        from pgknowbase.replicas import tokens

        return getattr(tokens, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
