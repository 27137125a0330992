"""Threads for the sync functions of others that pydantic-ai calls: none keeps a database connection."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

from django.db import connections


class ClosingExecutor(ThreadPoolExecutor):
    """Closes, or gives back to their pool, the connections that a call opened."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As its parent's."""

        def closing() -> Any:
            try:
                return function(*args, **kwargs)
            finally:
                connections.close_all()

        return super().submit(closing)


@cache
def threads() -> ClosingExecutor:
    """Those of this process."""
    return ClosingExecutor(max_workers=32, thread_name_prefix="pgknowbase-agents-call")


os.register_at_fork(after_in_child=threads.cache_clear)  # threads do not live on in a fork
