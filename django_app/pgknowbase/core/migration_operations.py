"""Operations of pgknowbase's own migrations."""

from typing import Any, Literal

from django.db import connections, router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.utils import DatabaseError
from psycopg import conninfo, pq

from pgknowbase.conf import get_settings
from pgknowbase.core.queries import find_query
from pgknowbase.core.repeatable import CannotMigrateError, drop_objects, function_path, replace_objects
from pgknowbase.core.routing import is_same_database
from pgknowbase.core.sql_files import read_repeatable_files, read_sql

MINIMUM_POSTGRES = 150000
MINIMUM_PGVECTOR = (0, 8)
MARK = "installed by pgknowbase"


class DatabaseOperation(Operation):
    """Changes the database alone: Django's models do not know what it makes. Either way does nothing by default.

    Only the database of ``PGKNOWBASE["DATABASE"]`` is changed, and that only where the project's routers allow it.
    """

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
        if _is_home(app_label, schema_editor):
            self.forwards(schema_editor)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        if _is_home(app_label, schema_editor):
            self.backwards(schema_editor)


def _is_home(app_label: str, schema_editor: BaseDatabaseSchemaEditor) -> bool:
    alias = schema_editor.connection.alias
    return is_same_database(alias, get_settings().database) and bool(router.allow_migrate(alias, app_label))


class RunSQLFile(DatabaseOperation):
    """Runs one file of ``pgknowbase.sql`` that creates something once and for all; the way back is to drop that object.

    ``on``: the table of a trigger. ``undo``: a file that is the way back, where no single object is to be dropped.
    """

    reduces_to_sql = True

    def __init__(
        self, path: str, kind: Literal["TABLE", "TRIGGER", "TYPE", "COLUMNS"], *, on: str = "", undo: str = ""
    ) -> None:
        self.path = path
        self.kind = kind
        self.on = on
        self.undo = undo

    def forwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        schema_editor.execute(read_sql(self.path), params=None)

    def backwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        if self.undo:
            schema_editor.execute(read_sql(self.undo), params=None)
            return
        name = self.path.rpartition("/")[2].removesuffix(".sql")
        on = f" ON {schema_editor.quote_name(self.on)}" if self.on else ""
        schema_editor.execute(f"DROP {self.kind} IF EXISTS {schema_editor.quote_name(name)}{on}", params=None)

    def describe(self) -> str:
        return f"Run {self.path}"


class ReplaceFunctions(DatabaseOperation):
    """Brings the functions and views of an app up to their files: see ``pgknowbase.core.repeatable``.

    It stands where a migration needs them, such as before a trigger is created. Every ``migrate`` does the same at its
    end, so a release that only changes functions has no migration. The way back drops them.
    """

    def __init__(self, app: str) -> None:
        self.app = app

    def forwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        if not schema_editor.collect_sql:
            replace_objects(schema_editor.connection.alias, app=self.app)
            return
        path = function_path(schema_editor.connection.alias)
        schema_editor.execute(f"SET LOCAL search_path = {path}", params=None)
        for file in read_repeatable_files().values():
            if file.app == self.app:
                schema_editor.execute(file.text, params=None)
        schema_editor.execute("SET LOCAL search_path TO DEFAULT", params=None)

    def backwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        if not schema_editor.collect_sql:
            drop_objects(schema_editor.connection.alias, app=self.app)

    def describe(self) -> str:
        return f"Bring the functions and views of {self.app} up to date"


class CreateVectorExtension(DatabaseOperation):
    """Creates the extension ``vector`` where it is missing. The way back leaves it: others may use it."""

    def forwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        connection: Any = schema_editor.connection
        if connection.vendor != "postgresql" or connection.pg_version < MINIMUM_POSTGRES:
            raise CannotMigrateError(
                f"Database {connection.alias!r} is not Postgres 15 or newer: point DATABASES at one that is."
            )
        try:
            schema_editor.execute(read_sql("00_extensions/vector.sql"), params=None)
        except DatabaseError as error:
            reason = str(error).strip().splitlines()[0]
            raise CannotMigrateError(
                f"The extension 'vector' cannot be created in database {connection.alias!r} ({reason}):"
                " install pgvector 0.8 or newer on the server, or let a superuser run CREATE EXTENSION vector there."
            ) from error
        with connection.cursor() as cursor:
            cursor.execute(find_query("vector_extension").sql)
            version, schema, is_visible = cursor.fetchone()
        if not is_visible:
            raise CannotMigrateError(
                f"The extension 'vector' is in the schema {schema!r}, which the search_path of {connection.alias!r}"
                " lacks: add it there, or keep the extension in a schema of its own (docs/tenants.md)."
            )
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
        from pgknowbase.core.pgai import install_catalog

        alias = schema_editor.connection.alias
        fresh = not _has_schema(alias)
        target = _conninfo(alias)
        with connections[alias].cursor() as cursor:
            cursor.execute(find_query("citus_refuses_extensions").sql)
            if cursor.fetchone()[0]:
                # pgai says CREATE EXTENSION where it is there already, too. Its catalog is needed here alone.
                options = conninfo.conninfo_to_dict(target).get("options", "")
                target = conninfo.make_conninfo(target, options=f"{options} -c citus.enable_ddl_propagation=off")
        install_catalog(target)
        if fresh:
            schema_editor.execute(f"COMMENT ON SCHEMA ai IS '{MARK}'", params=None)

    def backwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        schema_editor.execute(read_sql("00_extensions/pgai_drop_v1.sql"), params=None)

    def describe(self) -> str:
        return "Install pgai's catalog"


class DropSpaces(DatabaseOperation):
    """On the way back, drops every embedding space with its vectorizer and chunks; forwards it does nothing.

    Spaces are created from the settings after migrate, so no other operation knows of them, nor of words and
    texts that were distributed over a cluster, which it brings back.
    """

    def backwards(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        schema_editor.execute("SELECT pgknowbase_space_drop_v1(id) FROM pgknowbase_space", params=None)
        schema_editor.execute("SELECT pgknowbase_keywords_distribute_v1(false)", params=None)
        schema_editor.execute("SELECT pgknowbase_documents_distribute_v1(false)", params=None)

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


__all__ = ["CreateVectorExtension", "DropSpaces", "InstallPgai", "ReplaceFunctions", "RunSQLFile"]
