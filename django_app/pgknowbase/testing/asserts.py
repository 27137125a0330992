"""Assertions on the index and on search results."""

from collections.abc import Sequence
from typing import Any

from django.db import models

from pgknowbase.conf import get_settings
from pgknowbase.drift.repair import check
from pgknowbase.drift.report import Drift
from pgknowbase.models import ExternalData
from pgknowbase.registry import source_of, sources


def assert_in_sync(*chosen: type[models.Model], using: str | None = None) -> None:
    """The index holds exactly what the committed rows say, chunks included, and nothing waits.

    ``chosen``: source models; none means all that have ``auto_sync``.

    Raises:
        AssertionError: lists the objects that differ, and in what.
    """
    using = using or get_settings().database
    compared = [source_of(model) for model in chosen] or [one for one in sources() if one.config.auto_sync]
    lines = [line for source in compared for line in _lines(check(source, using))]
    if lines:
        raise AssertionError("The index is not in step with the rows:\n" + "\n".join(lines))


def assert_ranks(query: str, expected: Sequence[models.Model], *, limit: int = 10, **options: Any) -> None:
    """A search finds all of ``expected``, in this order; others may stand between them.

    Rows of one model are searched with ``semantic_search``, rows of several with ``ExternalData.objects.search``.
    ``threshold`` is -1 unless given; other options as theirs.

    Raises:
        AssertionError: shows what was found, with similarities.
    """
    options.setdefault("threshold", -1)
    found = _search(query, list(dict.fromkeys(map(type, expected))), limit, options)
    wanted = [_name(row) for row in expected]
    if [name for name, _ in found if name in wanted] != wanted:
        shown = "\n".join(f"  {similarity:.3f} {name}" for name, similarity in found) or "  nothing"
        raise AssertionError(f"{query!r} should rank {', '.join(wanted)}, and found:\n{shown}")


def _lines(drift: Drift) -> list[str]:
    lines = [f"  {drift.model} {fault}" for fault in drift.examples]
    lines += [f"  {drift.model} {fault}, but it still waits: call drain() first" for fault in drift.waiting]
    lines += [f"  {drift.model} {key}: cannot be rendered: {error}" for key, error in drift.failures]
    more = drift.total + drift.pending + drift.failed - len(lines)
    return [*lines, f"  {drift.model}: {more} more"] if more else lines


def _search(
    query: str, searched: Sequence[type[models.Model]], limit: int, options: dict[str, Any]
) -> list[tuple[str, float]]:
    if len(searched) == 1:
        from pgknowbase.mixins import rows

        found: Any = rows(searched[0]).semantic_search(query, limit=limit, **options)
        return [(_name(row), row.similarity) for row in found]
    hits = ExternalData.objects.search(query, models=searched, limit=limit, **options)
    return [(_name(hit.source_object), hit.similarity) for hit in hits]


def _name(row: models.Model) -> str:
    return f"{row._meta.label} {row.pk} {str(row)!r}"
