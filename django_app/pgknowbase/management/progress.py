"""Progress bars of commands that wait for something."""

import sys
from types import TracebackType
from typing import Self

from tqdm import tqdm


class Bar:
    """A bar on stderr that is told how much is done of what; none without a terminal or if ``hidden``."""

    def __init__(self, *, unit: str, hidden: bool) -> None:
        self._bar = tqdm(unit=f" {unit}", disable=True if hidden else None, file=sys.stderr)

    def show(self, done: int, total: int, what: str = "") -> None:
        """So much is done."""
        self._bar.total = total
        self._bar.n = min(done, total)
        if what:
            self._bar.set_description(what, refresh=False)
        self._bar.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
