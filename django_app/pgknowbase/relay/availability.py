"""Availability: whether the code of this process and the database are of the same version of a source model.

During a deployment two versions of a project run side by side. A worker of the old code would render what the new
triggers report without the new fields, and drop the event; one of the new code reads columns that are not there yet.
Such a model's changes wait, and those of all others are indexed.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connections

from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.errors import ConfigurationError, SourceUnavailableError
from pgknowbase.sources.registry import Source

logger = logging.getLogger("pgknowbase.relay")

LOOK_SECONDS = 1.0
# Seconds for which a model is left alone whose columns are missing.
RETRY_SECONDS = 5.0
# undefined_column and undefined_table
UNDEFINED = {"42703", "42P01"}


class Availability:
    """Which of ``sources`` a relay serves. It looks at most once a second, and names each model that it leaves once.

    Args:
        sources: by label.
        using: the alias of the database.

    Attributes:
        looks: how often it has looked.
    """

    def __init__(self, sources: Mapping[str, Source], using: str) -> None:
        self.sources = sources
        self.using = using
        self.labels: list[str] = []
        self.looks = 0
        self._left_until: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self._look_at = 0.0

    def refresh(self) -> list[str]:
        """The labels of the models that this process can serve now."""
        now = time.monotonic()
        if now >= self._look_at:
            self._left_until = {label: until for label, until in self._left_until.items() if until > now}
            found = unavailable(self.sources, self.using)
            for label, reason in found.items():
                self._warn(label, reason)
            for label in self._reasons.keys() - found.keys() - self._left_until.keys():
                del self._reasons[label]
            self.labels = [label for label in self.sources if label not in found and label not in self._left_until]
            self._look_at = now + LOOK_SECONDS
            self.looks += 1
        return self.labels

    def leave(self, error: SourceUnavailableError) -> None:
        """Leave a model alone for some seconds."""
        self._left_until[error.label] = time.monotonic() + RETRY_SECONDS
        self.labels = [label for label in self.labels if label != error.label]
        self._warn(error.label, str(error))

    def _warn(self, label: str, reason: str) -> None:
        if self._reasons.get(label) != reason:
            self._reasons[label] = reason
            logger.warning("changes of %s wait: %s", label, reason)


def unavailable(sources: Mapping[str, Source], using: str) -> dict[str, str]:
    """The models of another version than the database, by label, each with what is different and what to do."""
    migrated: dict[str, list[str] | None] = dict(gateway.fetch(using, "migrated_sources"))
    found = {}
    for label, source in sources.items():
        try:
            source.content_type_id(using)
        except ConfigurationError:
            found[label] = f"{label!r} has no content type in the database {using!r}: {advice(using)}."
            continue
        paths = migrated.get(label)
        if paths is not None and tuple(paths) != source.paths:
            found[label] = (
                f"the triggers of {label!r} watch {', '.join(paths)}, but this process declares"
                f" {', '.join(source.paths)}: {advice(using)}."
            )
    return found


def advice(using: str) -> str:
    """What to do about a model of another version, for the end of a sentence."""
    return (
        f"run {command_line('migrate', using)!r} if this process has the newer version of the project, else stop it and"
        " start the newer one"
    )


def lock_current_objects(source: Source, keys: Sequence[str], using: str) -> bool:
    """Lock the objects; returns whether the triggers of the model are those that this process declares.

    A ``migrate`` that ends later has every row rendered again, which waits for these locks.
    """
    content_type_id, paths = source.content_type_id(using), list(source.paths)
    return bool(
        gateway.fetch_value(
            using,
            "lock_current_objects",
            source=content_type_id,
            object_keys=list(keys),
            label=source.label,
            paths=paths,
        )
    )


def check_columns(source: Source, error: BaseException, using: str) -> None:
    """After an error of the database: raise if columns are missing, instead of a hook being at fault.

    Raises:
        SourceUnavailableError: a table that the model or its watched paths lead through has other columns.
    """
    if not is_undefined(error):
        return
    quote: Any = connections[using].ops.quote_name
    fields = {
        (field.model._meta.db_table, field.column)
        for watch in source.watches
        for field in watch.model._meta.concrete_fields
        if field.column  # a composite primary key has none
    }
    tables, columns = [quote(table) for table, _ in sorted(fields)], [column for _, column in sorted(fields)]
    if missing := [row[0] for row in gateway.fetch(using, "missing_columns", tables=tables, columns=columns)]:
        raise SourceUnavailableError(
            f"the database {using!r} has no {', '.join(missing)}, which {source.label!r} reads: {advice(using)}.",
            label=source.label,
        ) from error


def is_undefined(error: BaseException) -> bool:
    """Whether a statement named a column or table that is not there."""
    return any(getattr(each, "sqlstate", None) in UNDEFINED for each in (error, error.__cause__))
