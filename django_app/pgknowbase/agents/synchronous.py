"""Functions that are for sync code alone."""

import asyncio

from pgknowbase.errors import AgentError


def check_sync(name: str, instead: str) -> None:
    """Refuse a call of ``name`` in async code.

    Raises:
        AgentError: it is async code; call ``instead`` there.
    """
    if asyncio._get_running_loop() is not None:
        raise AgentError(f"{name} was called in async code: use `{instead}`.")
