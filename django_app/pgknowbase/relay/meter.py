"""What the hooks of one batch cost: seconds and statements, by hook."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connections

Answer = TypeVar("Answer")


class Meter:
    """Counts while ``counting`` is open. ``hook`` is the one that was called last, for error messages."""

    def __init__(self) -> None:
        self.hook = ""
        self.rows = 0
        self.seconds: dict[str, float] = {}
        self.statements: Counter[str] = Counter()
        self._statements = 0

    @contextmanager
    def counting(self, using: str) -> Iterator[None]:
        """Count the statements on the connection ``using``."""
        with connections[using].execute_wrapper(self._count):
            yield

    def call(self, hook: str, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Call a hook, and put its time and its statements to its account."""
        self.hook = hook
        statements, started = self._statements, time.perf_counter()
        try:
            return function(*arguments)
        finally:
            self.seconds[hook] = self.seconds.get(hook, 0.0) + time.perf_counter() - started
            if self._statements != statements:
                self.statements[hook] += self._statements - statements

    def _count(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self._statements += 1
        return execute(*arguments)
