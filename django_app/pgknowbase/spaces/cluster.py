"""Distributing the store of a space, and the words of documents, over a Citus cluster, and bringing them back."""

from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError

from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.short_locks import with_short_locks
from pgknowbase.errors import SpaceError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.spaces.specification import find_space

Moved = TypeVar("Moved")


def distribute_space(using: str, name: str, *, shards: int | None = None, words: bool = True) -> EmbeddingSpace:
    """Spread the store of a space over the servers of the cluster, and the words of documents with it.

    An object's chunks and words lie on one server. What is distributed already stays as it is. See
    ``pgknowbase_space_distribute_v1`` and ``pgknowbase_keywords_distribute_v1``.

    Args:
        shards: in how many parts; None: as ``citus.shard_count`` says.
        words: whether the words, which all spaces have in common, are distributed too.

    Raises:
        SpaceError: there is no such space, nothing is left to be distributed, or the cluster cannot take it.

    >>> distribute_space("default", "default", shards=32)
    """
    space = find_space(using, name)
    is_done = space.distributed
    if not is_done:
        _move_store(using, space, distributed=True, shards=shards)
    if not (words and _move_words(using, space, distributed=True)) and is_done:
        raise _nothing_to_do(using, space)
    if words:
        with_short_locks(using, lambda: gateway.fetch(using, "keywords_shrink"))
    return space


def undistribute_space(using: str, name: str) -> EmbeddingSpace:
    """Bring the store of a space back into one table, and with the last such store the words of documents.

    Raises:
        SpaceError: as in ``distribute_space``.
    """
    space = find_space(using, name)
    is_done = not space.distributed
    if not is_done:
        _move_store(using, space, distributed=False)
    is_last = not EmbeddingSpace.objects.using(using).filter(distributed=True).exists()
    if not (is_last and _move_words(using, space, distributed=False)) and is_done:
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


def _move_words(using: str, space: EmbeddingSpace, *, distributed: bool) -> bool:
    """Whether there was anything to be moved."""
    return _moved(
        "The words of documents stay where they are",
        lambda: with_short_locks(
            using,
            lambda: bool(gateway.fetch_value(using, "keywords_distribute", distributed=distributed, beside=space.pk)),
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
