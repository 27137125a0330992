"""``manage.py demo``: from an empty database to semantic search over real rows."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from demo.library.management.commands.load_library import positive
from demo.library.models import Entry, Module
from demo.library.tour.changes import CHANGES, WARM_UP, apply, restored, show_change, wait_until_restored
from demo.library.tour.drafts import show_draft
from demo.library.tour.indexing import count_index, count_sources, drain
from demo.library.tour.processes import ManagedProcess
from demo.library.tour.questions import QUESTIONS, answer, warm_up
from demo.library.tour.site import serve

NEXT_STEPS = """\
What to try next
  make demo ARGS=--serve                   the search page and the admin
  python django_app/demo/manage.py shell   Entry.objects.semantic_search("...", limit=5)
  django_app/demo/library/models.py        all that a model needs: one mixin and ExternalDataMeta
"""


def port_number(text: str) -> int:
    """An argparse type: a TCP port."""
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError("must be from 1 to 65535")
    return port


class Command(BaseCommand):
    """Migrates, loads, indexes, searches, changes rows and shows the index follow, and a reaction."""

    help = "Show pgknowbase on the documentation of Python and Django; a second run does only what is left."
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Options of the command."""
        parser.add_argument("--serve", action="store_true", help="then keep a worker and the site running")
        parser.add_argument("--port", type=port_number, default=8000, help="port of --serve (default: 8000)")
        parser.add_argument("--fresh", action="store_true", help="forget the loaded rows first")
        parser.add_argument("--limit", type=positive, help="entries of each library, as for load_library")

    def handle(self, *, serve: bool, port: int, fresh: bool, limit: int | None, **options: Any) -> None:
        """Run all steps; a failed one is a CommandError and leaves nothing running."""
        try:
            self._tour(fresh=fresh, limit=limit)
            if serve:
                self._serve(port)
        except KeyboardInterrupt:
            raise CommandError("Stopped. Run it again at any time: it continues from here.") from None

    def _tour(self, *, fresh: bool, limit: int | None) -> None:
        started = time.perf_counter()
        self._migrate()
        self._load(fresh=fresh, limit=limit)
        with self._step("Index: pgknowbase_worker --once"):
            seconds = drain(self._logs / "worker.log")
            counts = count_index()
            self.stdout.write(f"  {counts.completed:,} rows, {counts.chunks:,} chunks in {seconds:.1f} s")
        with self._step("Search"):
            self._ask()
        with self._worker() as worker:
            with self._step("Change rows while a worker runs"):
                self._change(worker)
            with self._step("Insert a draft with psql: a reaction analyses it"):
                for line in show_draft(worker):
                    self.stdout.write(line)
        seconds = time.perf_counter() - started
        self.stdout.write(f"\n{count_sources():,} rows, {counts.chunks:,} chunks, all in {seconds:.1f} s\n\n")
        self.stdout.write(NEXT_STEPS)

    @property
    def _logs(self) -> Path:
        return Path(settings.STATE_DIR)

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        self.stdout.write(self.style.MIGRATE_HEADING(f"\n{title}"))
        self.stdout.flush()
        started = time.perf_counter()
        yield
        self.stdout.write(f"  done in {time.perf_counter() - started:.1f} s")
        self.stdout.flush()

    def _migrate(self) -> None:
        with self._step("Migrate: tables, triggers, search functions, vectorizer"):
            call_command("migrate", interactive=False, stdout=self.stdout, stderr=self.stderr)

    def _load(self, *, fresh: bool, limit: int | None) -> None:
        with self._step("Load: docstrings of the standard library and of Django"):
            if fresh:
                Entry.objects.all().delete()
                Module.objects.all().delete()
            extra = {} if limit is None else {"limit": limit}
            call_command("load_library", stdout=self.stdout, stderr=self.stderr, **extra)

    def _ask(self) -> None:
        self.stdout.write(f"  the model is loaded by the first search: {warm_up():.2f} s")
        for question in QUESTIONS:
            for line in answer(question):
                self.stdout.write(line)

    def _worker(self) -> ManagedProcess:
        return ManagedProcess("pgknowbase_worker", log=self._logs / "worker.log", environment={"DJANGO_DEBUG": "0"})

    def _change(self, worker: ManagedProcess) -> None:
        with restored(CHANGES):
            self.stdout.write(f"  the worker is up: {apply(WARM_UP, worker) / 1000:.1f} s")
            for change in CHANGES:
                for line in show_change(change, worker):
                    self.stdout.write(line)
        self.stdout.write(f"  both rows restored, index back after {wait_until_restored(CHANGES, worker):.0f} ms")

    def _serve(self, port: int) -> None:
        with self._step(f"Serve on port {port}"):
            serve(port, self._logs, self.stdout.write)
