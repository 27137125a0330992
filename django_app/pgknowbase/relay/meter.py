"""What the hooks of one batch cost: seconds and statements, by hook."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connections

from pgknowbase.relay.transactions import spoiled

Answer = TypeVar("Answer")


class Meter:
    """Counts while ``counting`` is open.

    For error messages: ``hook`` was called last, ``spoiler`` broke the transaction.
    """

    def __init__(self) -> None:
        self.hook = self.spoiler = ""
        self.rows = 0
        self.seconds: dict[str, float] = {}
        self.statements: Counter[str] = Counter()
        self._statements = 0
        self._using = ""

    @contextmanager
    def counting(self, using: str) -> Iterator[None]:
        """Count the statements on the connection ``using``."""
        self._using = using
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
                if not self.spoiler and spoiled(self._using):
                    self.spoiler = hook

    def _count(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self._statements += 1
        return execute(*arguments)
