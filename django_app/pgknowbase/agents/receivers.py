"""Signals of the rows of runs. What a project's receivers do can neither change a row nor lose it.

A row says what was run and paid for. So a receiver gets a copy, runs after the row is written, in a savepoint of its
own transaction, and an error in it is logged and noted on the row.
"""

import copy
import logging
from typing import Any

from django.db import DatabaseError, models, router, transaction
from django.db.models.signals import ModelSignal, post_save, pre_save

from pgknowbase.core.text import to_storable

NOTE = "A receiver of "
LONGEST_NOTE = 1000
MOST_NOTES = 5

logger = logging.getLogger("pgknowbase.agents")


class ObservedModel(models.Model):
    """A row whose ``save`` sends Django's signals by ``notify``."""

    class Meta:
        abstract = True

    def save_base(
        self,
        raw: bool = False,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Any = None,
    ) -> None:
        """As Django's, whose signals would let a receiver's error undo what was saved."""
        using = using or router.db_for_write(type(self), instance=self)
        sent = {"raw": raw, "using": using, "update_fields": update_fields}
        notify(pre_save, self, **sent)
        with transaction.mark_for_rollback_on_error(using=using):
            updated = self._save_table(  # type: ignore[attr-defined]
                raw, type(self), bool(force_insert), force_update, using, update_fields
            )
        self._state.db, self._state.adding = using, False
        notify(post_save, self, created=not updated, **sent)


def notify(signal: ModelSignal, row: Any, *, using: str, **sent: Any) -> None:
    """Send ``signal`` to the receivers of the row's model; what fails is logged, and noted in the row's ``error``.

    Receivers get a copy of the row with its relations loaded, so async ones may read ``instance.user`` too.
    """
    model = type(row)
    if not signal.has_listeners(model):
        return
    failures: list[tuple[Any, Exception]] = []
    try:
        with transaction.atomic(using):
            seen = _copied(row, using)
            for receiver, outcome in signal.send_robust(sender=model, instance=seen, using=using, **sent):
                if isinstance(outcome, Exception):
                    failures.append((receiver, outcome))
    except DatabaseError as error:
        # The error of a statement, in a receiver, after which the savepoint can only be rolled back.
        failures = failures or [(None, error)]
    if failures:
        name = "post_save" if signal is post_save else "pre_save"
        _record(row, using, name, failures)


def with_notes(error: str, earlier: str) -> str:
    """``error``, and behind it what receivers have done wrong, from the ``error`` that the row had before."""
    notes = [line for line in earlier.splitlines() if line.startswith(NOTE)]
    return "\n".join(part for part in (error, *notes) if part)


def _copied(row: Any, using: str) -> Any:
    seen = copy.deepcopy(row)
    for field in row._meta.concrete_fields:
        if not field.is_relation or field.is_cached(seen):
            continue
        key = getattr(seen, field.attname)
        related = None
        if key is not None:
            related = field.related_model._base_manager.using(using).filter(pk=key).first()
        if related is not None or field.null:
            field.set_cached_value(seen, related)
    return seen


def _record(row: Any, using: str, signal: str, failures: list[tuple[Any, Exception]]) -> None:
    notes = []
    for receiver, error in failures:
        what = f" ({getattr(receiver, '__qualname__', receiver)})" if receiver else ""
        note = f"{NOTE}{signal}{what} failed: {type(error).__name__}: {error}"
        logger.error("%s %s: %s", type(row).__name__, row.pk, note, exc_info=error)
        notes.append(" ".join(to_storable(note).split())[:LONGEST_NOTE])
    if not hasattr(row, "error"):
        return
    known = row.error.splitlines()
    row.error = "\n".join([*known, *(note for note in notes if note not in known)][: len(known) + MOST_NOTES])
    # Without signals, which would call the receiver again. A row that is not there yet is written with its note.
    type(row)._base_manager.using(using).filter(pk=row.pk).update(error=row.error)
