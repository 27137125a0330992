"""``manage.py pgknowbase_worker``: run the worker, which indexes and embeds changed rows."""

import logging
import os
import signal
from types import FrameType
from typing import Any

from django.core.management.base import CommandParser

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.commands import KnowbaseCommand, add_database, database_alias, positive, progress_bar
from pgknowbase.spaces.specification import active_space
from pgknowbase.worker import Worker, WorkerTotals


class Command(KnowbaseCommand):
    help = (
        "Index and embed changed rows. The first SIGTERM or SIGINT stops the worker after the current batch, a second"
        " one at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="process what is due, then exit")
        parser.add_argument("--batch-size", type=positive, help="outbox events per transaction, 500")
        parser.add_argument(
            "--concurrency", type=positive, help="concurrent calls to the embedding provider, instead of CONCURRENCY"
        )
        parser.add_argument(
            "--relay-only", action="store_true", help="render documents, and leave embedding to another worker"
        )
        parser.add_argument(
            "--no-progress", action="store_true", help="no progress bar; there is none without a terminal either"
        )
        add_database(parser)

    def handle(
        self,
        *,
        once: bool,
        batch_size: int | None,
        concurrency: int | None,
        relay_only: bool,
        no_progress: bool,
        database: str | None,
        verbosity: int,
        **options: Any,
    ) -> None:
        """Run until a signal, or with ``--once`` until nothing is due."""
        using = database_alias(database)
        logging.basicConfig(
            level=logging.INFO if verbosity > 1 else logging.WARNING,
            format="%(asctime)s %(name)s %(message)s",
        )
        with progress_bar(unit="documents", hidden=no_progress or verbosity == 0) as bar:

            def show(totals: WorkerTotals) -> None:
                bar.update(totals.documents - bar.n)
                bar.set_postfix(
                    events=totals.events,
                    embedded=totals.embedded,
                    failed=totals.failed + totals.rows["failed"],
                )

            worker = Worker(using, batch_size=batch_size, concurrency=concurrency, relay_only=relay_only, progress=show)
            _handle_signals(worker)
            totals = worker.run_until_idle() if once else worker.run()
        self.stdout.write(summary(totals))
        if once and not relay_only and (waiting := _waiting_documents(using)):
            self.stdout.write(
                f"{waiting} documents are not due yet: they wait for a retry, or another worker has them"
                f" (one that died releases them after {get_settings().worker.heartbeat_timeout:.0f} s). Repeat the"
                " command then."
            )


def _waiting_documents(using: str) -> int:
    """Documents left in the queue of the active space."""
    space = active_space(using)
    return gateway.fetch_value(using, "queue_pending", vectorizer=space.vectorizer_id) if space else 0


def summary(totals: WorkerTotals) -> str:
    """One line of figures about a run of the worker."""
    rows = ", ".join(f"{number} {outcome}" for outcome, number in totals.rows.items())
    return (
        f"{totals.events} events: {rows}; {totals.documents} documents indexed, {totals.embedded} texts embedded,"
        f" {totals.failed} refused, {totals.retried} to be retried{_reactions(totals)}"
    )


def _reactions(totals: WorkerTotals) -> str:
    ended = totals.reactions
    if not ended:
        return ""
    cancelled = f", {ended['cancelled']} cancelled" if ended["cancelled"] else ""
    return f"; reactions: {ended['done']} done, {ended['retry']} to be retried, {ended['dead']} dead letters{cancelled}"


def _handle_signals(worker: Worker) -> None:
    def first(number: int, frame: FrameType | None) -> None:
        worker.stop()
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, second)

    def second(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, first)
