"""Distributing the chunk store of a space over the servers of a Citus cluster, and bringing it back."""

from django.db import DatabaseError

from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.short_locks import with_short_locks
from pgknowbase.errors import SpaceError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.spaces.specification import find_space


def distribute_space(using: str, name: str, *, shards: int | None = None) -> EmbeddingSpace:
    """Spread the store of a space over the servers of the cluster; see ``pgknowbase_space_distribute_v1``.

    Args:
        shards: in how many parts; None: as ``citus.shard_count`` says.

    Raises:
        SpaceError: there is no such space, it is distributed already, or the cluster cannot take it. Then nothing was
            changed.

    >>> distribute_space("default", "default", shards=32)
    """
    return _move(using, name, distributed=True, shards=shards)


def undistribute_space(using: str, name: str) -> EmbeddingSpace:
    """Bring the store of a space back into one table.

    Raises:
        SpaceError: as in ``distribute_space``.
    """
    return _move(using, name, distributed=False)


def _move(using: str, name: str, *, distributed: bool, shards: int | None = None) -> EmbeddingSpace:
    space = find_space(using, name)
    if space.distributed == distributed:
        raise SpaceError(
            f"The store of the embedding space {name!r} is {'distributed already' if distributed else 'one table'}: see"
            f" {command_line('pgknowbase_space list', using)!r}."
        )
    try:
        with_short_locks(
            using,
            lambda: gateway.fetch(using, "space_distribute", space=space.pk, distributed=distributed, shards=shards),
        )
    except DatabaseError as error:
        told = getattr(error.__cause__, "diag", None)
        reason = getattr(told, "message_primary", None) or str(error)
        hint = getattr(told, "message_hint", None) or "correct that, and try again."
        raise SpaceError(
            f"The store of the embedding space {name!r} stays where it is, and nothing was changed: {reason}. {hint}"
        ) from error
    space.refresh_from_db(using=using)
    return space
