"""Filling a space: waiting until it has all documents, or embedding them here."""

import time
from collections.abc import Callable

from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.errors import SpaceError
from pgknowbase.models import EmbeddingSpace, WorkerHeartbeat
from pgknowbase.spaces.lifecycle import queued_before
from pgknowbase.spaces.specification import find_space
from pgknowbase.vectorizer.executor import Executor

# Seconds between two looks at how many documents remain.
LOOK_INTERVAL = 0.5
IDLE_PAUSE = 0.1
# Seconds without a worker after which waiting is pointless.
WORKER_TIMEOUT = 30.0

Progress = Callable[[int, int], object]


def fill_space(using: str, name: str, *, here: bool, progress: Progress = lambda done, total: None) -> EmbeddingSpace:
    """Return when all documents that wait for the space at this moment were embedded for it, or refused.

    Args:
        using: the alias of the database.
        name: of the space.
        here: embed in this process, beside workers if any run.
        progress: called with the number of documents done and their total.

    Raises:
        SpaceError: there is no such space, it was dropped meanwhile, or no worker runs that could fill it.
        SpaceMismatchError: with ``here``, the settings have no embedder for it.
    """
    space = find_space(using, name)
    started_at = gateway.fetch_value(using, "now")
    total = queued_before(using, space, started_at)

    def remaining() -> int:
        documents = queued_before(using, find_space(using, name), started_at)
        progress(total - documents, total)
        return documents

    if here:
        with Executor(using, space=space) as executor:
            _embed(executor, remaining)
    else:
        _wait_for_workers(using, name, remaining)
    return space


def _embed(executor: Executor, remaining: Callable[[], int]) -> None:
    while remaining():
        look_at = time.monotonic() + LOOK_INTERVAL
        while time.monotonic() < look_at:
            if executor.run_once().idle:
                time.sleep(IDLE_PAUSE)  # the rest is leased by workers, or the provider has a pause
                break


def _wait_for_workers(using: str, name: str, remaining: Callable[[], int]) -> None:
    alive_at = time.monotonic()
    while documents := remaining():
        if WorkerHeartbeat.objects.using(using).exists():
            alive_at = time.monotonic()
        elif time.monotonic() > alive_at + WORKER_TIMEOUT:
            raise SpaceError(
                f"{documents} documents wait for the space {name!r} and no worker runs: start"
                f" {command_line('pgknowbase_worker', using)!r}, or pass --here."
            )
        time.sleep(LOOK_INTERVAL)
