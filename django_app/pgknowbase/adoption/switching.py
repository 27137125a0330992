"""The switch from pgai to the index, the way back, and the end of what pgai has left."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DatabaseError, transaction

from pgknowbase.adoption.copying import AdoptionReport, Copier
from pgknowbase.adoption.mapping import differences, is_same_model, map_vectorizer
from pgknowbase.adoption.vectorizers import PgaiVectorizer, check_adoptable, check_model, find_vectorizer
from pgknowbase.capture.triggers import capture_triggers
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.short_locks import with_short_locks
from pgknowbase.errors import AdoptionError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.sources.registry import Source, source_by_label
from pgknowbase.spaces.specification import SpaceSpec, find_space, matching_space

FIRES = ("O", "A")  # pg_trigger.tgenabled
DEPENDENT_OBJECTS = "2BP01"

Done = TypeVar("Done")


def adopt(
    using: str,
    name: str,
    model: str,
    *,
    space: str | None = None,
    trust: bool = False,
    reembed: bool = False,
    dry_run: bool = False,
    progress: Callable[[int], object] = lambda rows: None,
) -> AdoptionReport:
    """Take over a vectorizer: index its table's rows, keep its vectors, then retire pgai's triggers and worker of it.

    Rows are copied in batches, beside pgai at work; what is written meanwhile both notice. The switch is one short
    transaction. If anything fails before it, pgai goes on as before, and another attempt begins where this one ended.

    Args:
        name: of the vectorizer.
        model: the source model of its table, such as ``'blog.Article'``.
        space: the embedding space that gets the vectors, by default the active one.
        trust: keep vectors also where their texts or models cannot be shown to be the same.
        reembed: accept a space that makes other texts, or has another model: what differs is embedded again.
        dry_run: do it all, roll it back, and do not switch.

    Raises:
        AdoptionError: the vectorizer, the model or the space does not allow it; nothing was changed.
        PgKnowbaseError: the model or the space is unknown.

    >>> adopt("default", "blog_embeddings", "blog.Article", dry_run=True).to_embed
    Counter()
    """
    vectorizer = find_vectorizer(using, name)
    check_adoptable(vectorizer)
    source = source_by_label(model)
    check_model(using, vectorizer, source.model)
    _check_captured(using, source)
    found = find_space(using, space) if space else matching_space(using)
    with_vectors = _check_space(using, vectorizer, found, trust=trust, reembed=reembed)
    copier = Copier(using, vectorizer, source, found, trust=trust, with_vectors=with_vectors)

    def check(report: AdoptionReport) -> None:
        if with_vectors and not (reembed or dry_run) and report.differs:
            raise AdoptionError(_told_difference(name, model, report))

    report = copier.run(dry_run=dry_run, check=check, progress=progress)
    if not dry_run:
        by = json.dumps({"model": source.label, "space": found.name})
        retired = _switch(
            using, vectorizer, lambda: gateway.fetch_value(using, "pgai_retire", vectorizer=vectorizer.id, adopted=by)
        )
        if not retired:
            raise AdoptionError(f"The vectorizer {name!r} was adopted meanwhile by another process: see the list.")
    return report


def undo(using: str, name: str) -> tuple[int, int]:
    """Give an adopted vectorizer back to pgai. Returns how many rows were queued, and how many chunks removed.

    The triggers are enabled first, in a short transaction; the next one queues what was written since, removes the
    chunks of rows that are gone, and lets pgai's worker begin. Documents and triggers of the index stay.

    Raises:
        AdoptionError: it is not adopted, or its table is in such use that it cannot be locked.
    """
    vectorizer = _adopted(using, name)
    _switch(using, vectorizer, lambda: gateway.fetch(using, "pgai_restore", vectorizer=vectorizer.id))
    with transaction.atomic(using=using):
        ((queued, removed),) = gateway.fetch(using, "pgai_requeue", vectorizer=vectorizer.id)
    return queued, removed


def finish(using: str, name: str, *, with_store: bool = False) -> None:
    """Drop what pgai has left of an adopted vectorizer: triggers, queue and row of the catalog. No way leads back.

    Args:
        with_store: the table of its chunks and its view too. A column of the source table stays.

    Raises:
        AdoptionError: it is not adopted, or other objects use its store.
    """
    vectorizer = _adopted(using, name)
    try:
        _switch(
            using,
            vectorizer,
            lambda: gateway.fetch(using, "pgai_drop", vectorizer=vectorizer.id, with_store=with_store),
        )
    except DatabaseError as error:
        cause: Any = error.__cause__
        if getattr(cause, "sqlstate", None) != DEPENDENT_OBJECTS:
            raise
        raise AdoptionError(
            f"Store and view of {name!r} are used by other objects ({cause.diag.message_detail}): drop these first, or"
            " leave out --drop-store."
        ) from error


def _switch(using: str, vectorizer: PgaiVectorizer, change: Callable[[], Done]) -> Done:
    tables = f"The table {vectorizer.source!r}"
    return with_short_locks(using, change, tables=tables, error=AdoptionError)


def _adopted(using: str, name: str) -> PgaiVectorizer:
    vectorizer = find_vectorizer(using, name)
    if vectorizer.adopted is None:
        raise AdoptionError(f"The vectorizer {name!r} is not adopted: adopt it with --model first.")
    return vectorizer


def _told_difference(name: str, model: str, report: AdoptionReport) -> str:
    key, theirs, ours = report.example or ("", "", "")
    return (
        f"{model!r} makes other texts than {name!r} of most rows, which would all be embedded again. Of row {key!r}"
        f" pgai embedded {theirs[:80]!r}, and the model's text is {ours[:80]!r}: correct the model's hooks as the"
        " command prints them without --model, or pass --reembed."
    )


def _check_captured(using: str, source: Source) -> None:
    """Once pgai's trigger is gone, only ours notice a change."""
    if not source.config.auto_sync:
        raise AdoptionError(
            f"{source.label!r} has auto_sync = False, so its changes would be missed: let it have triggers."
        )
    firing = {row["name"] for row in gateway.fetch_dicts(using, "doctor_triggers") if row["enabled"] in FIRES}
    wanted = [str(trigger.compile(source.model).sql.pgid) for trigger in capture_triggers(source)]
    if missing := [name for name in wanted if name not in firing]:
        app = source.model._meta.app_label
        raise AdoptionError(
            f"{len(missing)} of {len(wanted)} triggers of {source.label!r} are missing or disabled, so changes would be"
            f" missed: run {command_line(f'makemigrations {app}', using)!r} and {command_line('migrate', using)!r}, or"
            f" see {command_line('pgknowbase_doctor', using)!r}."
        )


def _check_space(using: str, vectorizer: PgaiVectorizer, space: EmbeddingSpace, *, trust: bool, reembed: bool) -> bool:
    """Whether the vectors can be kept in the space."""
    same_model = is_same_model(vectorizer.model, space.model) or trust
    if not same_model or vectorizer.dimensions != space.dimensions:
        if reembed:
            return False
        raise AdoptionError(
            f"The vectors of {vectorizer.name!r} are of {vectorizer.model!r} with {vectorizer.dimensions} dimensions,"
            f" and those of the embedding space {space.name!r} of {space.model!r} with {space.dimensions}: name another"
            " space with --space, or pass --reembed to embed all rows again"
            f"{', or --trust if the models are the same' if vectorizer.dimensions == space.dimensions else ''}."
        )
    mapping = map_vectorizer(vectorizer)
    differ = [] if reembed else [*mapping.faults, *differences(mapping, SpaceSpec.of(space))]
    if differ and not trust:
        raise AdoptionError(
            f"The embedding space {space.name!r} makes other texts than {vectorizer.name!r}, whose vectors would not be"
            f" kept: {'; '.join(differ)}. Write the settings that the command prints without --model, then"
            f" {command_line('pgknowbase_space rebuild', using)!r} or 'add'; or pass"
            " --reembed, or --trust to keep vectors of other texts."
        )
    return True
