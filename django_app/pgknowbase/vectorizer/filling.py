"""Waiting until a space is filled, or filling it here; then its vector index."""

import time
from collections.abc import Callable
from datetime import datetime

from pgknowbase import gateway
from pgknowbase.errors import SpaceError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.status import worker_statuses
from pgknowbase.vectorizer.change import left
from pgknowbase.vectorizer.executor import Executor
from pgknowbase.vectorizer.spaces import find_space

LOOK_INTERVAL = 0.5
NOBODY = 30.0  # seconds without a worker after which waiting is no use

Progress = Callable[[int, int], object]


def fill_space(using: str, name: str, *, here: bool, progress: Progress = lambda done, total: None) -> EmbeddingSpace:
    """Return when all documents that wait for the space at this moment have been embedded for it, or refused for good.

    ``here``: this process embeds, beside workers if any run. ``progress`` takes documents done and their total.

    Raises:
        SpaceError: there is no such space; it is dropped meanwhile; or no worker runs that could fill it.
        SpaceMismatchError: with ``here``, the settings have no embedder for it.
    """
    space = find_space(using, name)
    until = gateway.fetch_value(using, gateway.NOW)
    total = left(using, space, until)
    progress(0, total)
    if here:
        with Executor(using, space=space) as executor:
            _wait(using, space, until, lambda rest: progress(total - rest, total), executor)
    else:
        _wait(using, space, until, lambda rest: progress(total - rest, total), None)
    return space


def _wait(
    using: str, space: EmbeddingSpace, until: datetime, told: Callable[[int], object], executor: Executor | None
) -> None:
    alone = time.monotonic()
    looked = 0.0
    while True:
        busy = executor is not None and not executor.run_once().idle
        if busy and time.monotonic() < looked + LOOK_INTERVAL:
            continue
        looked = time.monotonic()
        rest = left(using, find_space(using, space.name), until)
        told(rest)
        if not rest:
            return
        if busy:
            continue
        if executor is not None or worker_statuses(using):
            alone = time.monotonic()
        elif time.monotonic() > alone + NOBODY:
            raise SpaceError(
                f"{rest} documents wait for the space {space.name!r} and no worker runs: start 'manage.py"
                " pgknowbase_worker', or pass --here."
            )
        time.sleep(LOOK_INTERVAL if executor is None else 0.1)
