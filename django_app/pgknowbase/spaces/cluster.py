"""Distributing the store of a space, and words and texts of documents, over a Citus cluster; bringing them back."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from django.db import DatabaseError

from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.short_locks import with_short_locks
from pgknowbase.errors import SpaceError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.spaces.specification import find_space

Moved = TypeVar("Moved")


# Of documents, which all spaces have in common.
PARTS = ("words", "texts")


def distribute_space(
    using: str, name: str, *, shards: int | None = None, words: bool = True, texts: bool = True
) -> EmbeddingSpace:
    """Spread the store of a space over the servers of the cluster, and the words and texts of documents with it.

    An object's chunks, words and text lie on one server. What is distributed already stays as it is. See
    ``pgknowbase_space_distribute_v1``, ``pgknowbase_keywords_distribute_v1``, ``pgknowbase_documents_distribute_v1``.

    Args:
        shards: in how many parts; None: as ``citus.shard_count`` says.
        words: whether the words, which all spaces have in common, are distributed too.
        texts: whether the texts of documents, which all spaces have in common, are distributed too.

    Raises:
        SpaceError: there is no such space, nothing is left to be distributed, or the cluster cannot take it.

    >>> distribute_space("default", "default", shards=32)
    """
    space = find_space(using, name)
    is_done = space.distributed
    if not is_done:
        _move_store(using, space, distributed=True, shards=shards)
    chosen = [part for part, is_chosen in zip(PARTS, (words, texts), strict=True) if is_chosen]
    moved = [part for part in chosen if _move_part(using, part, space, distributed=True)]
    for part in chosen:  # also where nothing was left to be moved: an attempt may have ended before it freed the room
        with_short_locks(using, partial(gateway.fetch, using, "part_shrink", part=part))
    if is_done and not moved:
        raise _nothing_to_do(using, space)
    return space


def undistribute_space(using: str, name: str) -> EmbeddingSpace:
    """Bring the store of a space back into one table, and with the last such store the words and texts of documents.

    Raises:
        SpaceError: as in ``distribute_space``.
    """
    space = find_space(using, name)
    is_done = not space.distributed
    if not is_done:
        _move_store(using, space, distributed=False)
    is_last = not EmbeddingSpace.objects.using(using).filter(distributed=True).exists()
    moved = [part for part in PARTS if is_last and _move_part(using, part, space, distributed=False)]
    if is_done and not moved:
        raise _nothing_to_do(using, space)
    return space


def _move_store(using: str, space: EmbeddingSpace, *, distributed: bool, shards: int | None = None) -> None:
    _moved(
        f"The store of the embedding space {space.name!r} stays where it is",
        lambda: with_short_locks(
            using,
            lambda: gateway.fetch(using, "space_distribute", space=space.pk, distributed=distributed, shards=shards),
        ),
    )
    space.refresh_from_db(using=using)


def _move_part(using: str, part: str, space: EmbeddingSpace, *, distributed: bool) -> bool:
    """Whether there was anything to be moved."""
    return _moved(
        f"The {part} of documents stay where they are",
        lambda: with_short_locks(
            using,
            lambda: bool(
                gateway.fetch_value(using, "part_distribute", part=part, distributed=distributed, beside=space.pk)
            ),
        ),
    )


def _moved(stays: str, move: Callable[[], Moved]) -> Moved:
    try:
        return move()
    except DatabaseError as error:
        told = getattr(error.__cause__, "diag", None)
        reason = getattr(told, "message_primary", None) or str(error)
        hint = getattr(told, "message_hint", None) or "correct that, and try again."
        raise SpaceError(f"{stays}, and nothing was changed: {reason}. {hint}") from error


def _nothing_to_do(using: str, space: EmbeddingSpace) -> SpaceError:
    state = "distributed already" if space.distributed else "one table"
    return SpaceError(
        f"The store of the embedding space {space.name!r} is {state}: see"
        f" {command_line('pgknowbase_space list', using)!r}."
    )
