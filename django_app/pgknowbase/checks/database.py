"""Checks of the database; they run in ``migrate`` and with ``manage.py check --database default``."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections
from django.db.utils import Error as DatabaseFault

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.database_errors import explain
from pgknowbase.errors import PgKnowbaseError, SpaceMismatchError
from pgknowbase.migration_operations import MINIMUM_PGVECTOR, MINIMUM_POSTGRES
from pgknowbase.vectorizer.spaces import active_space, described_space


@register("pgknowbase", Tags.database)
def check_database(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """E020 embedding space, E021 connection, E022 pgvector, E023 Postgres version."""
    try:
        using = get_settings().database
    except PgKnowbaseError:
        return []
    if not databases or using not in databases or connections[using].vendor != "postgresql":
        return []
    try:
        return _check_server(using) or _check_space(using)
    except DatabaseFault as error:
        explained = explain(error, using)
        if explained is None:
            raise
        return [Error(explained[0], hint=explained[1], id="pgknowbase.E021")]


def _check_server(using: str) -> list[CheckMessage]:
    ((version, installed, available),) = gateway.fetch(using, gateway.SERVER)
    if version < MINIMUM_POSTGRES:
        return [
            Error(
                f"Database {using!r} is Postgres {version // 10000}, which is too old.",
                hint=f"Use Postgres {MINIMUM_POSTGRES // 10000} or newer.",
                id="pgknowbase.E023",
            )
        ]
    found = installed or available
    wanted = ".".join(map(str, MINIMUM_PGVECTOR))
    if found is None:
        return [
            Error(
                f"The server of database {using!r} has no pgvector.",
                hint=f"Install pgvector {wanted} or newer on the server, such as the package"
                f" postgresql-{version // 10000}-pgvector, or the image pgvector/pgvector.",
                id="pgknowbase.E022",
            )
        ]
    if tuple(int(part) for part in found.split(".")[:2]) < MINIMUM_PGVECTOR:
        return [
            Error(
                f"pgvector {found} in database {using!r} is too old.",
                hint=f"Install pgvector {wanted} or newer on the server and run ALTER EXTENSION vector UPDATE there.",
                id="pgknowbase.E022",
            )
        ]
    return []


def _check_space(using: str) -> list[CheckMessage]:
    if not gateway.fetch_value(using, gateway.LISTED_TABLES) or active_space(using) is None:
        return []
    try:
        described_space(using)
    except SpaceMismatchError as error:
        return [Error(str(error), hint="Run 'manage.py pgknowbase_space list' to compare.", id="pgknowbase.E020")]
    return []
