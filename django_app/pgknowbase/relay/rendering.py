"""Rendering a batch: the rows are loaded, their hooks run, and what goes wrong is kept with the object it concerns."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError
from pgknowbase.keys import parse_keys
from pgknowbase.meta import SourceRow
from pgknowbase.registry import Source
from pgknowbase.relay.meter import Meter
from pgknowbase.relay.render import Renderer, RenderError
from pgknowbase.relay.transactions import only_reading, spoiled

LONGEST_ERROR = 2000
READ_ONLY_STATE = "25006"

NO_GUARD = nullcontext()


class SpoiledTransactionError(PgKnowbaseError):
    """A hook's failed query has spoiled the batch's transaction: render each row behind a savepoint."""


@dataclass
class Rendering:
    """``records``: JSON by object key, in the order of the keys; ``failures``: (object key, error) pairs."""

    records: dict[str, str] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    meter: Meter = field(default_factory=Meter)


def render_rows(source: Source, keys: Sequence[str], using: str, *, careful: bool) -> Rendering:
    """Load the committed rows of ``keys`` and render them. Objects without a record or a failure are to be removed.

    Raises:
        SpoiledTransactionError: a hook's query failed, and not ``careful``.
    """
    made = Rendering()
    settings = get_settings()
    longest, language = settings.worker.max_document_characters, settings.search.language
    renderer = Renderer(source, made.meter, longest, language, gateway.languages(using))
    with only_reading(using), made.meter.counting(using):
        for key, row in sorted(_load(source, keys, using, careful, made).items()):
            made.meter.rows += 1
            try:
                with _guard(using, careful, made.meter), made.meter:
                    record = renderer.record(row)
            except Exception as error:  # noqa: BLE001 - a user's hook may raise anything; it is recorded on the object
                _fail(made, [key], error, using, careful)
            else:
                if record is not None:
                    made.records[key] = record
        # Once for all rows: without a savepoint nothing mends a spoiled transaction.
        if not careful and spoiled(using):
            raise SpoiledTransactionError(f"a query that failed in {made.meter.spoiler or 'a hook'}")
    return made


def describe(error: BaseException, hook: str = "") -> str:
    """The error as it is kept on an object, with the hook that raised it; any text that Postgres can store."""
    try:
        said = str(error)
    except Exception as fault:  # noqa: BLE001 - the error's own __str__ may be broken
        said = f"its text cannot be made, {type(fault).__name__}"
    said = said.strip()[:LONGEST_ERROR]
    if not isinstance(error, RenderError):
        said = f"{type(error).__name__}: {said}"
        if hook:
            said += f" (in {hook})"
        if getattr(error.__cause__, "sqlstate", None) == READ_ONLY_STATE:
            said += "; hooks only read: write elsewhere, such as in a receiver of external_data_synced."
    return said.replace("\x00", "").encode("utf-8", "replace").decode()


def _load(source: Source, keys: Sequence[str], using: str, careful: bool, made: Rendering) -> dict[str, SourceRow]:
    """The rows of ``keys`` that exist, by the model's ``get_external_queryset``; if that raises, all have failed."""
    try:
        with _guard(using, careful, made.meter), made.meter:
            made.meter.enter("get_external_queryset")
            return _rows(source, parse_keys(source.model, keys), using)
    except Exception as error:  # noqa: BLE001 - a user's queryset may raise anything; other models go on
        _fail(made, keys, error, using, careful)
        return {}


def _rows(source: Source, pks: Sequence[Any], using: str) -> dict[str, SourceRow]:
    found = source.model.get_external_queryset()
    if not isinstance(found, QuerySet) or not issubclass(found.model, source.model):
        returned = found.model._meta.label if isinstance(found, QuerySet) else type(found).__name__
        raise RenderError(f"get_external_queryset() returned {returned!r}: return a queryset of {source.label!r}.")
    return {row.external_source_id: row for row in found.using(using).filter(pk__in=pks)}


def _fail(made: Rendering, keys: Sequence[str], error: Exception, using: str, careful: bool) -> None:
    if not careful and spoiled(using):
        raise SpoiledTransactionError(describe(error)) from error
    made.failures += [(key, describe(error, made.meter.hook)) for key in keys]


def _guard(using: str, careful: bool, meter: Meter) -> AbstractContextManager[None]:
    return _savepoint(using, meter) if careful else NO_GUARD


@contextmanager
def _savepoint(using: str, meter: Meter) -> Iterator[None]:
    """Around hooks. A failed query of theirs, even one whose error they caught, has spoiled the transaction."""
    with transaction.atomic(using=using):
        meter.spoiler = ""
        yield
        if spoiled(using):
            raise RenderError(
                f"{meter.spoiler or 'a hook'}() caught the error of a failed query, after which Postgres answers no"
                " other: put the query into 'with transaction.atomic()'."
            )
