"""Writes extracted records into the tables; a row that is up to date is not touched."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.db import models, transaction

from demo.library.extract import LibraryRecords
from demo.library.extract.records import Library
from demo.library.models import Entry, Module

BATCH_SIZE = 500
MODULE_FIELDS = ["library", "docstring"]
ENTRY_FIELDS = ["module_id", "kind", "name", "signature", "docstring", "line"]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Rows of one library and model: written (new or changed), removed, and in all."""

    written: int
    removed: int
    total: int

    def __add__(self, other: "LoadReport") -> "LoadReport":
        return LoadReport(self.written + other.written, self.removed + other.removed, self.total + other.total)


@transaction.atomic
def load_records(
    library: Library, records: LibraryRecords, *, on_progress: Callable[[int], object] = int
) -> LoadReport:
    """Make the tables hold exactly ``records`` of ``library``; ``on_progress`` gets the rows just done."""
    modules = [Module(library=r.library, name=r.name, docstring=clean(r.docstring)) for r in records.modules]
    report = _write(modules, Module.objects.all(), "name", MODULE_FIELDS, on_progress)
    ids = dict(Module.objects.filter(library=library).values_list("name", "pk"))
    entries = [
        Entry(
            module_id=ids[record.module],
            kind=record.kind,
            name=record.name,
            qualname=record.qualname,
            signature=clean(record.signature),
            docstring=clean(record.docstring),
            line=record.line,
        )
        for record in records.entries
    ]
    report += _write(entries, Entry.objects.all(), "qualname", ENTRY_FIELDS, on_progress)
    removed = _remove(Entry.objects.filter(module__library=library), "qualname", (r.qualname for r in records.entries))
    removed += _remove(Module.objects.filter(library=library), "name", (r.name for r in records.modules))
    return report + LoadReport(0, removed, 0)


def clean(text: str) -> str:
    """``text`` without what Postgres cannot store: some docstrings hold NUL or lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _write(
    rows: Sequence[models.Model],
    existing: "models.QuerySet[models.Model]",
    key: str,
    fields: Sequence[str],
    on_progress: Callable[[int], object],
) -> LoadReport:
    known = {values[0]: values[1:] for values in existing.values_list(key, *fields)}
    stale = [row for row in rows if known.get(getattr(row, key)) != tuple(getattr(row, f) for f in fields)]
    on_progress(len(rows) - len(stale))
    for start in range(0, len(stale), BATCH_SIZE):
        batch = stale[start : start + BATCH_SIZE]
        # bulk_create sends no signals: the triggers see it, which a post_save receiver would not.
        existing.model._default_manager.bulk_create(
            batch,
            update_conflicts=True,
            unique_fields=[key],
            update_fields=[f.removesuffix("_id") for f in fields],
        )
        on_progress(len(batch))
    return LoadReport(len(stale), 0, len(rows))


def _remove(existing: "models.QuerySet[models.Model]", key: str, wanted: Iterable[str]) -> int:
    gone = set(existing.values_list(key, flat=True)) - set(wanted)
    existing.filter(**{f"{key}__in": gone}).delete()
    return len(gone)
