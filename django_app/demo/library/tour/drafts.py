"""Inserts a draft by psql and waits for the reaction that analyses it."""

import time
from collections.abc import Iterator

from demo.library.models import Draft
from demo.library.tour.changes import wait_until
from demo.library.tour.processes import ManagedProcess
from demo.library.tour.psql import run_psql
from demo.library.tour.questions import shorten

TITLE = "Compressed logs, line by line"
BODY = """\
Log files grow large, so most servers compress them with gzip. You need not unpack such an archive before you read it.
Python opens a gzip file like any other text file, and decompresses it line by line while you iterate over it. That
keeps the memory small, whatever the size of the log."""
INSERT_SQL = "INSERT INTO library_draft (title, body) VALUES (:'title', :'body');"


def show_draft(worker: ManagedProcess) -> Iterator[str]:
    """Lines to print: the insert, and the columns that were empty a moment ago."""
    Draft.objects.filter(title=TITLE).delete()
    run_psql(INSERT_SQL, title=TITLE, body=BODY)
    started = time.perf_counter()
    yield f"  psql: {INSERT_SQL.partition(' VALUES')[0]} ...  {TITLE!r}"
    wait_until(Draft.objects.filter(title=TITLE, analysed_at__isnull=False).exists, worker, "the draft's analysis")
    milliseconds = (time.perf_counter() - started) * 1000
    draft = Draft.objects.get(title=TITLE)
    yield f"  analysed by {draft.analysed_by}, {milliseconds:.0f} ms after the commit"
    yield f"    summary   {shorten(draft.summary)}"
    yield f"    keywords  {', '.join(draft.keywords or [])}"
    yield f"    related   {', '.join(draft.related or [])}"
    yield f"    language  {draft.language}, reading ease {draft.reading_ease:.0f}"
