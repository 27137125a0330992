"""What failed, what waits and for how long, and who is there to work it off."""

from collections.abc import Iterator

from django.utils import timezone

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.doctor.findings import Finding, ago, error, warning
from pgknowbase.models import WorkerHeartbeat
from pgknowbase.status import worker_statuses

LONGEST_LAG = 300.0
START = "manage.py pgknowbase_worker"


def failures(using: str) -> Iterator[Finding]:
    """Dead letters, and failed objects that are tried again, per source model."""
    for row in gateway.fetch_dicts(using, gateway.STATUS):
        source, dead, failed = row["source"], row["dead"], row["failed"]
        if dead:
            yield warning(
                "failed.dead",
                f"{dead} dead letters of {source}: they are not tried again by themselves.",
                f"manage.py pgknowbase_failed {source}",
                f"manage.py pgknowbase_failed {source} --retry",
            )
        if failed > dead:
            yield warning(
                "failed.object",
                f"{failed - dead} objects of {source} failed; they are tried again with growing pauses.",
                f"manage.py pgknowbase_failed {source}",
            )


def lag(using: str) -> Iterator[Finding]:
    """Changes that have waited for long, in the outbox or in a queue of documents."""
    for row in gateway.fetch_dicts(using, gateway.STATUS):
        if row["lag_seconds"] > LONGEST_LAG:
            waiting = row["pending"] + row["processing"]
            yield warning(
                "lag.source",
                f"The oldest change of {row['source']} has waited for {ago(row['lag_seconds'])}: {row['outbox']} events"
                f" in the outbox, {waiting} objects not embedded yet.",
                *_more_work(using),
            )
    now = timezone.now()
    for queue in gateway.fetch_dicts(using, gateway.QUEUE_STATES):
        since = queue["due_since"]
        if since is not None and (now - since).total_seconds() > LONGEST_LAG:
            yield warning(
                "lag.queue",
                f"{queue['due']:,} documents are due in the queue of the space {queue['space']!r}, the oldest for"
                f" {ago((now - since).total_seconds())}.",
                *_more_work(using),
            )


def workers(using: str) -> Iterator[Finding]:
    """Work without a worker, and workers that are silent and were not replaced."""
    dead_after = get_settings().worker.dead_after
    found = worker_statuses(using)
    living = [worker for worker in found if worker.beat_age <= dead_after]
    for worker in found:
        if worker not in living:
            holds = ", and holds documents on lease" if worker.busy else ""
            yield (error if worker.busy else warning)(
                "worker.silent",
                f"The worker {worker.host}:{worker.pid} has been silent for {ago(worker.beat_age)}{holds}; no other has"
                " taken over.",
                START,
            )
    waiting = sum(row["outbox"] for row in gateway.fetch_dicts(using, gateway.STATUS))
    due = sum(queue["due"] for queue in gateway.fetch_dicts(using, gateway.QUEUE_STATES))
    embedding = any(worker.role == WorkerHeartbeat.Role.BOTH for worker in living)
    if waiting and not living:
        yield error("worker.none", f"{waiting} changes wait in the outbox and no worker runs.", START)
    if due and not embedding and not gateway.fetch_value(using, gateway.PGAI_WORKERS):
        yield error("worker.none", f"{due:,} documents wait to be embedded and no worker embeds.", START)


def _more_work(using: str) -> tuple[str, ...]:
    return "manage.py pgknowbase_status", f"{START}  # one more, or a larger WORKER CONCURRENCY"
