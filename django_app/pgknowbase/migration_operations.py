"""Operations of pgknowbase's own migrations."""

from typing import Any, Literal

from django.core.management.base import CommandError
from django.db import connections
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.utils import DatabaseError
from psycopg import conninfo, pq

from pgknowbase.errors import ConfigurationError
from pgknowbase.sql_files import read_sql

MINIMUM_POSTGRES = 150000
MINIMUM_PGVECTOR = (0, 8)
MARK = "installed by pgknowbase"


class CannotMigrateError(ConfigurationError, CommandError):
    """The database is not fit for pgknowbase. As a ``CommandError``, ``migrate`` shows it without a traceback."""


class DatabaseOperation(Operation):
    """Changes the database alone: Django's models do not know what it makes. Either way does nothing by default."""

    reversible = True

    def forwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Change the database."""

    def backwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Change it back."""

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Nothing."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self.forwards(schema_editor)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self.backwards(schema_editor)


class RunSQLFile(DatabaseOperation):
    """Runs one file of ``pgknowbase.sql``; its name is the object's, so the way back is to drop that object.

    ``on``: the table of a trigger.
    """

    reduces_to_sql = True

    def __init__(self, path: str, kind: Literal["FUNCTION", "TABLE", "TRIGGER", "VIEW"], *, on: str = "") -> None:
        self.path = path
        self.kind = kind
        self.on = on

    def forwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        schema_editor.execute(read_sql(self.path), params=None)

    def backwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        name = self.path.rpartition("/")[2].removesuffix(".sql")
        on = f" ON {schema_editor.quote_name(self.on)}" if self.on else ""
        schema_editor.execute(f"DROP {self.kind} IF EXISTS {schema_editor.quote_name(name)}{on}", params=None)

    def describe(self) -> str:
        return f"Run {self.path}"


class CreateVectorExtension(DatabaseOperation):
    """Creates the extension ``vector`` where it is missing. The way back leaves it: others may use it."""

    def forwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        connection: Any = schema_editor.connection
        if connection.vendor != "postgresql" or connection.pg_version < MINIMUM_POSTGRES:
            raise CannotMigrateError(
                f"Database {connection.alias!r} is not Postgres 15 or newer: point DATABASES at one that is."
            )
        try:
            schema_editor.execute(read_sql("0_extension/vector.sql"), params=None)
        except DatabaseError as error:
            reason = str(error).strip().splitlines()[0]
            raise CannotMigrateError(
                f"The extension 'vector' cannot be created in database {connection.alias!r} ({reason}):"
                " install pgvector 0.8 or newer on the server, or let a superuser run CREATE EXTENSION vector there."
            ) from error
        with connection.cursor() as cursor:
            cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
            (version,) = cursor.fetchone()
        if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_PGVECTOR:
            raise CannotMigrateError(
                f"pgvector {version!r} in database {connection.alias!r} is too old: install 0.8 or newer and run"
                " ALTER EXTENSION vector UPDATE there."
            )

    def describe(self) -> str:
        return "Create the extension vector"


class InstallPgai(DatabaseOperation):
    """Installs pgai's catalog (schema ``ai``) where it is missing; needs a migration that is not atomic.

    The way back drops it only if this operation brought it and nobody else has a vectorizer there.
    """

    def forwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        from pgknowbase.vectorizer.pgai import install

        alias = schema_editor.connection.alias
        fresh = not _has_schema(alias)
        install(_conninfo(alias))
        if fresh:
            schema_editor.execute(f"COMMENT ON SCHEMA ai IS '{MARK}'", params=None)

    def backwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        schema_editor.execute(read_sql("0_extension/pgai_drop_v1.sql"), params=None)

    def describe(self) -> str:
        return "Install pgai's catalog"


class DropSpaces(DatabaseOperation):
    """On the way back, drops every embedding space with its vectorizer and chunks; forwards it does nothing.

    Spaces are created from the settings after migrate, so no other operation knows of them.
    """

    def backwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        schema_editor.execute("SELECT pgknowbase_space_drop_v1(id) FROM pgknowbase_space", params=None)

    def describe(self) -> str:
        return "Drop the embedding spaces on the way back"


def _has_schema(alias: str) -> bool:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('ai') IS NOT NULL")
        row = cursor.fetchone()
    return bool(row and row[0])


def _conninfo(alias: str) -> str:
    """A libpq connection string to the database that Django calls ``alias``."""
    params = connections[alias].get_connection_params()
    names = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    return conninfo.make_conninfo(**{key: value for key, value in params.items() if key in names and value is not None})


__all__ = ["CreateVectorExtension", "DropSpaces", "InstallPgai", "RunSQLFile"]
