"""What the hooks of one batch cost: seconds and statements, by hook."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from pgknowbase.relay.transactions import spoiled


class Meter:
    """Counts while ``counting`` is open. At the end of ``with meter`` no hook is at work any more.

    For error messages: ``hook`` was called last, ``spoiler`` broke the transaction.
    """

    def __init__(self) -> None:
        self.hook = self.spoiler = ""
        self.rows = 0
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.statements: Counter[str] = Counter()
        self._account = ""
        self._since = 0.0
        self._queried = False
        self._using = ""

    @contextmanager
    def counting(self, using: str) -> Iterator[None]:
        """Count the statements on the connection ``using``."""
        self._using = using
        with connections[using].execute_wrapper(self._count):
            yield

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        self.leave()

    def enter(self, hook: str) -> None:
        """Put time and statements to the account of ``hook`` from now on."""
        self.leave()
        self.hook = self._account = hook
        self._since = time.perf_counter()

    def leave(self) -> None:
        """Put them to nobody's account from now on."""
        if self._account:
            self.seconds[self._account] += time.perf_counter() - self._since
            if self._queried:
                self._queried = False
                if not self.spoiler and spoiled(self._using):
                    self.spoiler = self._account
            self._account = ""

    def _count(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        if self._account:
            self.statements[self._account] += 1
            self._queried = True
        return execute(*arguments)
