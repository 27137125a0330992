"""Changing the embedding space without downtime: another one is added, filled and activated, and can be rolled back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pgknowbase.conf import SPACE_NAME, SpaceSettings, get_settings
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.short_locks import with_short_locks
from pgknowbase.errors import SpaceError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.spaces.indexes import has_index
from pgknowbase.spaces.specification import create_space, find_space, keep_vectors, known_embedding

PAGE = 500
# Documents, besides one in a hundred, that may wait: where rows are written all the time, some always do.
ALWAYS_QUEUED = 100


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
        """Counted now, from both chunk stores: seconds on a large index."""
        ((documents, *rest),) = gateway.fetch(using, "space_coverage", space=space.pk)
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
    if not SPACE_NAME.fullmatch(name):
        raise SpaceError(f"{name!r} is not a name of a space: use up to 40 lowercase letters, digits, '_' and '-'.")
    if EmbeddingSpace.objects.using(using).filter(name=name).exists():
        raise SpaceError(f"There is an embedding space {name!r} already: drop it first, or use another name.")
    return with_short_locks(using, lambda: create_space(using, name, wanted, indexed=False))


def queued_before(using: str, space: EmbeddingSpace, moment: datetime) -> int:
    """How many documents still wait for ``space`` that were queued before ``moment``."""
    waiting: int = gateway.fetch_value(using, "space_queued_before", space=space.pk, until=moment)
    return waiting


def activate_space(using: str, name: str, *, force: bool = False) -> EmbeddingSpace:
    """Make this the space that searches read, from their next statement on; then update status and counts.

    Raises:
        SpaceError: it is not complete, or has no vector index though it is large, and ``force`` is not given.
        SpaceMismatchError: the settings have no embedder for it.
    """
    space = find_space(using, name)
    known_embedding(space)  # refused before the searches of this project could no longer embed their queries
    if not space.is_active:
        if not force:
            _check_complete(using, space)
        with_short_locks(using, lambda: gateway.fetch(using, "space_activate", space=space.pk))
    recount(using)
    space.refresh_from_db(using=using)
    return space


def rollback_space(using: str, *, force: bool = False) -> EmbeddingSpace:
    """Activate the space that was active before the active one.

    Raises:
        SpaceError: there is none, or it was not kept up to date; see ``activate_space``.
    """
    served = EmbeddingSpace.objects.using(using).filter(is_active=False, served_until__isnull=False)
    before = served.order_by("-served_until").first()
    if before is None:
        raise SpaceError("No other embedding space has served before: nothing to go back to; see 'list'.")
    return activate_space(using, before.name, force=force)


def drop_space(using: str, name: str, *, discard: bool = False) -> int:
    """Drop a space that is not active, with its chunks; returns how many of its vectors are kept for another one.

    Args:
        discard: keep none.

    Raises:
        SpaceError: it is active, or the documents are in such use that they cannot be locked.
    """

    def drop() -> None:
        # Locks the row, so no activation comes between the look and the drop.
        space = EmbeddingSpace.objects.using(using).select_for_update().filter(name=name).first()
        if space is not None and space.is_active:
            raise SpaceError(f"The embedding space {name!r} serves the searches: activate another one first.")
        gateway.fetch(using, "space_drop", space=find_space(using, name).pk)

    # Before the locks, because it may take seconds; what is kept of a space that is not dropped after all does no harm.
    kept = 0 if discard else keep_vectors(using, find_space(using, name))
    with_short_locks(using, drop)
    return kept


def recount(using: str, progress: Callable[[int], object] = lambda rows: None) -> None:
    """Update status and counts of all external data to those of the active space, page by page."""
    source, key = -1, ""
    # A relay locks external data in key order within each of its steps, but not over all of them.
    while page := with_short_locks(
        using, partial(gateway.fetch, using, "space_recount", after_source=source, after_key=key, max_rows=PAGE)
    ):
        ((source, key),) = page
        progress(PAGE)


def _check_complete(using: str, space: EmbeddingSpace) -> None:
    coverage = Coverage.of(using, space)
    behind = coverage.queued > ALWAYS_QUEUED + coverage.documents // 100
    if coverage.missing or coverage.late or behind:
        raise SpaceError(
            f"The embedding space {space.name!r} is not complete: {coverage.missing} documents that can be found now"
            f" have no chunks in it ({coverage.dead} were refused by its provider), {coverage.queued} wait,"
            f" {coverage.late} of them for more than a minute. Run"
            f" {command_line(f'pgknowbase_space fill {space.name}', using)!r}, or pass --force."
        )
    if coverage.chunks > get_settings().search.exact_search_max_chunks and not has_index(using, space):
        raise SpaceError(
            f"The embedding space {space.name!r} has {coverage.chunks} chunks and no valid vector index: run"
            f" {command_line(f'pgknowbase_space index {space.name}', using)!r}, or pass --force."
        )
