"""The database router that sends searches to replicas."""

from typing import Any

from django.db import models

from pgknowbase.conf import get_settings


class ReplicaRouter:
    """Sends searches to the replicas of ``PGKNOWBASE["REPLICAS"]``, and everything else to the primary.

    >>> DATABASE_ROUTERS = ["pgknowbase.replicas.ReplicaRouter"]

    A row that a search read from a replica reads its related rows there, and is written to the primary.
    """

    def db_for_read(
        self,
        model: type[models.Model],
        *,
        pgknowbase_search: bool = False,
        instance: models.Model | None = None,
        **hints: Any,
    ) -> str | None:
        """A replica for a search, which says so by the hint; for related rows that of the row, while it answers."""
        from pgknowbase.replicas.servers import is_up, next_replica

        settings = get_settings()
        if pgknowbase_search:
            return next_replica(settings.database)
        alias = None if instance is None else instance._state.db
        primary = settings.primary_of(alias)
        return None if alias is None or primary is None or is_up(alias) else primary

    def db_for_write(
        self, model: type[models.Model], *, instance: models.Model | None = None, **hints: Any
    ) -> str | None:
        """The primary, for a row that was read from one of its replicas."""
        return None if instance is None else get_settings().primary_of(instance._state.db)

    def allow_relation(self, one: models.Model, other: models.Model, **hints: Any) -> bool | None:
        """Rows of a primary and of its replicas are rows of one database."""
        settings = get_settings()
        places = {settings.primary_of(row._state.db) or row._state.db for row in (one, other)}
        return True if len(places) == 1 else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Nothing is migrated on a replica, which cannot be written."""
        return False if get_settings().primary_of(db) else None
