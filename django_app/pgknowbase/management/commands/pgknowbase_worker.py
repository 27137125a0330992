"""``manage.py pgknowbase_worker``: keeps the index in step with the rows."""

import logging
import os
import signal
import sys
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from tqdm import tqdm

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.management.arguments import positive
from pgknowbase.management.base import KnowbaseCommand
from pgknowbase.vectorizer.spaces import active_space
from pgknowbase.worker import Worker, WorkerTotals


class Command(KnowbaseCommand):
    help = (
        "Render changed rows, chunk and embed them. The first SIGTERM or SIGINT ends after the current batch, a second"
        " at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="work off what is due, then exit")
        parser.add_argument("--batch-size", type=positive, help="outbox events per transaction")
        parser.add_argument("--concurrency", type=positive, help="provider calls at the same time")
        parser.add_argument(
            "--relay-only", action="store_true", help="leave embedding to another worker, such as pgai's"
        )
        parser.add_argument("--no-progress", action="store_true", help="no progress bar")

    def handle(
        self,
        *,
        once: bool,
        batch_size: int | None,
        concurrency: int | None,
        relay_only: bool,
        no_progress: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        logging.basicConfig(
            level=logging.INFO if verbosity > 1 else logging.WARNING,
            format="%(asctime)s %(name)s %(message)s",
        )
        with tqdm(unit=" documents", disable=True if no_progress or verbosity == 0 else None, file=sys.stderr) as bar:

            def show(totals: WorkerTotals) -> None:
                bar.update(totals.documents - bar.n)
                bar.set_postfix(
                    events=totals.events,
                    embedded=totals.embedded,
                    failed=totals.failed + totals.rows["failed"],
                )

            worker = Worker(batch_size=batch_size, concurrency=concurrency, relay_only=relay_only, progress=show)
            _listen(worker)
            totals = worker.run_until_idle() if once else worker.run()
        self.stdout.write(summary(totals))
        if once and not relay_only and (waiting := _waiting()):
            self.stdout.write(
                f"{waiting} documents are not due yet: they wait for another try, or another worker has them"
                f" (one that died lets go of them after {get_settings().worker.dead_after:.0f} s). Run again then."
            )


def _waiting() -> int:
    """Items left in the queue of the active space."""
    using = get_settings().database
    space = active_space(using)
    return gateway.fetch_value(using, gateway.QUEUE_PENDING, space.vectorizer_id) if space else 0


def summary(totals: WorkerTotals) -> str:
    """One line of figures."""
    rows = ", ".join(f"{number} {outcome}" for outcome, number in totals.rows.items())
    return (
        f"{totals.events} events: {rows}; {totals.documents} documents indexed, {totals.embedded} texts embedded,"
        f" {totals.failed} refused, {totals.again} to be tried again{_reactions(totals)}"
    )


def _reactions(totals: WorkerTotals) -> str:
    ended = totals.reactions
    if not ended:
        return ""
    cancelled = f", {ended['cancelled']} cancelled" if ended["cancelled"] else ""
    return f"; reactions: {ended['done']} done, {ended['again']} to be tried again, {ended['dead']} given up{cancelled}"


def _listen(worker: Worker) -> None:
    def first(number: int, frame: FrameType | None) -> None:
        worker.stop()
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, second)

    def second(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, first)
