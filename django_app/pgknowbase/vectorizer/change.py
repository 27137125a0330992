"""Changing the embedding space with no downtime: another one is added, filled, activated; the old one can come back."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from django.db import OperationalError, transaction

from pgknowbase import gateway
from pgknowbase.conf import NAME, SpaceSettings, get_settings
from pgknowbase.errors import SpaceError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.vectorizer.indexes import has_index
from pgknowbase.vectorizer.spaces import create_space, find_space, known_embedding

PAGE = 500
ALWAYS_QUEUED = 100  # and one in a hundred: where rows are written all the time, some always wait
LOCK_TRIES = 20
LOCK_TIMEOUT = "500ms"  # less than deadlock_timeout, so that it is this side that gives way
BUSY = {"55P03", "40P01"}

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far a space covers the documents; see ``pgknowbase_space_coverage_v1``."""

    documents: int
    embedded: int
    queued: int
    dead: int
    chunks: int
    missing: int
    late: int

    @classmethod
    def of(cls, using: str, space: EmbeddingSpace) -> "Coverage":
        """Counted anew: it reads both stores."""
        ((documents, *rest),) = gateway.fetch(using, gateway.SPACE_COVERAGE, space.pk)
        return cls(documents, *rest)


def space_settings(name: str, **options: object) -> SpaceSettings:
    """What ``name`` is in SPACES, else what SPACE says, with ``options`` in the place of their parts.

    Raises:
        SpaceError: an option is out of range, or names no entry of EMBEDDINGS.
    """
    settings = get_settings()
    base = settings.spaces.get(name, settings.space)
    given = {key.upper(): value for key, value in options.items() if value is not None}
    try:
        wanted = SpaceSettings.model_validate({key.upper(): value for key, value in _fields(base).items()} | given)
    except ValueError as error:
        reason = "; ".join(str(fault["msg"]) for fault in error.errors())  # type: ignore[attr-defined]
        raise SpaceError(f"The space {name!r} cannot be as asked: {reason}. Correct the options.") from error
    if wanted.embedding not in settings.embeddings:
        raise SpaceError(
            f"The embedding {wanted.embedding!r} is unknown: use one of {sorted(settings.embeddings)!r}, or add it to"
            " EMBEDDINGS."
        )
    return wanted


def _fields(space: SpaceSettings) -> dict[str, object]:
    return {name: getattr(space, name) for name in SpaceSettings.model_fields}


def add_space(using: str, name: str, wanted: SpaceSettings) -> EmbeddingSpace:
    """Create a space beside the active one. From now on each document is queued for both.

    Raises:
        SpaceError: the name is taken or no name; or the documents are in such use that they cannot be locked.
    """
    if not NAME.fullmatch(name):
        raise SpaceError(f"{name!r} is no name of a space: use up to 40 lowercase letters, digits, '_' and '-'.")
    if EmbeddingSpace.objects.using(using).filter(name=name).exists():
        raise SpaceError(f"There is an embedding space {name!r} already: drop it first, or use another name.")
    return _locking(using, lambda: create_space(using, name, wanted, indexed=False))


def left(using: str, space: EmbeddingSpace, until: datetime) -> int:
    """How many documents still wait for ``space`` that were queued until then."""
    waiting: int = gateway.fetch_value(using, gateway.SPACE_LEFT, space.pk, until)
    return waiting


def activate_space(using: str, name: str, *, force: bool = False) -> EmbeddingSpace:
    """Let searches read this space from the next statement on; then status and counts of external data follow.

    Raises:
        SpaceError: it is not complete, or has no vector index though it is large, and ``force`` is not given.
        SpaceMismatchError: the settings have no embedder for it.
    """
    space = find_space(using, name)
    known_embedding(space)
    if not space.is_active:
        if not force:
            _check_complete(using, space)
        _locking(using, lambda: gateway.fetch(using, gateway.SPACE_ACTIVATE, space.pk))
    recount(using)
    space.refresh_from_db(using=using)
    return space


def rollback_space(using: str, *, force: bool = False) -> EmbeddingSpace:
    """Activate the space that served before the active one.

    Raises:
        SpaceError: there is none, or it was not kept up to date; see ``activate_space``.
    """
    served = EmbeddingSpace.objects.using(using).filter(is_active=False, served_until__isnull=False)
    before = served.order_by("-served_until").first()
    if before is None:
        raise SpaceError("No other embedding space has served before: nothing to go back to; see 'list'.")
    return activate_space(using, before.name, force=force)


def drop_space(using: str, name: str) -> None:
    """Drop a space that does not serve, with its chunks.

    Raises:
        SpaceError: it serves; or the documents are in such use that they cannot be locked.
    """

    def drop() -> None:
        # Locks the row, so no activation comes between the look and the drop.
        space = EmbeddingSpace.objects.using(using).select_for_update().filter(name=name).first()
        if space is not None and space.is_active:
            raise SpaceError(f"The embedding space {name!r} serves the searches: activate another one first.")
        gateway.fetch(using, gateway.SPACE_DROP, find_space(using, name).pk)

    _locking(using, drop)


def recount(using: str, progress: Callable[[int], object] = lambda rows: None) -> None:
    """Let status and counts of all external data tell how they stand in the active space, page by page."""
    source, key = -1, ""
    # A relay locks external data in key order within each of its steps, but not over all of them.
    while page := _locking(using, partial(gateway.fetch, using, gateway.SPACE_RECOUNT, source, key, PAGE)):
        ((source, key),) = page
        progress(PAGE)


def _check_complete(using: str, space: EmbeddingSpace) -> None:
    coverage = Coverage.of(using, space)
    behind = coverage.queued > ALWAYS_QUEUED + coverage.documents // 100
    if coverage.missing or coverage.late or behind:
        raise SpaceError(
            f"The embedding space {space.name!r} is not complete: {coverage.missing} documents that can be found now"
            f" have no chunks in it ({coverage.dead} were refused by its provider), {coverage.queued} wait,"
            f" {coverage.late} of them for more than a minute. Run 'manage.py pgknowbase_space fill {space.name}', or"
            " pass --force."
        )
    if coverage.chunks > get_settings().search.exact_below and not has_index(using, space):
        raise SpaceError(
            f"The embedding space {space.name!r} has {coverage.chunks} chunks and no valid vector index: run 'manage.py"
            f" pgknowbase_index build --space {space.name}', or pass --force."
        )


def _locking(using: str, change: Callable[[], Done]) -> Done:
    """Run ``change`` in a transaction that waits for locks but shortly, so that nobody queues up behind it."""
    for attempt in range(LOCK_TRIES):
        try:
            with transaction.atomic(using=using):
                gateway.fetch(using, gateway.LOCK_TIMEOUT, LOCK_TIMEOUT)
                return change()
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in BUSY:
                raise
            reason = error
            time.sleep(min(0.05 * 2**attempt, 2.0))
    raise SpaceError(
        f"The tables of the index cannot be locked ({str(reason).splitlines()[0]}): end long transactions that use"
        " them, and try again."
    ) from reason
