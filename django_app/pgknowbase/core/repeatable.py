"""Bringing the functions and views of a database up to the files of ``sql/``: the repeatable part of migrations.

Each object carries the digest of its file in its comment, so one query tells which files are new or have changed.
Tables, types and triggers have no part in this: migrations create them once.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.core.management.base import CommandError
from django.db import DatabaseError, transaction

from pgknowbase.core import gateway
from pgknowbase.core.sql_files import RepeatableFile, read_repeatable_files
from pgknowbase.errors import ConfigurationError

MARK = "pgknowbase "
LOCK = "pgknowbase functions and views"
# invalid_function_definition and invalid_table_definition: what CREATE OR REPLACE cannot turn an old object into.
CANNOT_REPLACE = {"42P13", "42P16"}
DEPENDENTS = "2BP01"
APP = "pgknowbase"
# In the order in which they are dropped: views stand on functions. What is said of functions holds for procedures.
KINDS = ("VIEW", "PROCEDURE", "FUNCTION")


class CannotMigrateError(ConfigurationError, CommandError):
    """The database is not fit for pgknowbase. As a ``CommandError``, ``migrate`` shows it without a traceback."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A function or view that this module has created.

    Args:
        identity: as Postgres writes it in DROP and COMMENT: a function's with the types of its arguments.
    """

    name: str
    kind: str
    identity: str
    digest: str


def installed_objects(using: str, names: Iterable[str] = ()) -> list[Installed]:
    """What this module has created in the current schema of a database; of ``names`` also what lost its comment."""
    path = f"pg_catalog, {function_path(using)}"
    rows = gateway.fetch(using, "repeatable_objects", mark=MARK, path=path, names=list(names))
    return [Installed(name, kind, identity, comment.removeprefix(MARK)) for name, kind, identity, comment in rows]


def function_path(using: str) -> str:
    """The search path of the functions of the current schema, behind pg_catalog; each tenant's has its own."""
    path: str = gateway.fetch_value(using, "function_path")
    return path


@contextmanager
def creating_functions(using: str) -> Iterator[str]:
    """Inside a transaction: the session has the search path of the functions, by which those are resolved that are
    created in the block. Yields that path.
    """
    path = function_path(using)
    # Without pg_catalog, which is searched first all the same: the first schema is that in which objects are created.
    before = gateway.fetch_value(using, "exchange_search_path", path=path)
    yield path
    gateway.fetch(using, "exchange_search_path", path=before)


def replace_objects(using: str, *, app: str = APP, directory: str | None = None) -> list[str]:
    """Create, replace and drop functions and views until they are those of the files.

    Returns the names of those that it has touched. All of it happens in one transaction; where nothing has changed, one
    query is all.

    Args:
        app: label of the app whose objects these are.
        directory: another folder than that of the installed package.

    Raises:
        CannotMigrateError: the signature of a numbered function has changed, or an object of somebody else's stands in
            the way.
        ValueError: the ``-- requires:`` lines name something unknown, or form a circle.
    """
    files = read_repeatable_files(directory)
    if not _Replacement(using, app, files).is_due:
        return []
    with transaction.atomic(using=using):
        # Two migrate commands at once: the second one waits, looks again, and finds nothing left to do.
        gateway.fetch(using, "lock_name", name=LOCK)
        with creating_functions(using) as path:
            return _Replacement(using, app, files).run(path)


def replace_installed_objects(using: str, *, app: str = APP, directory: str | None = None) -> list[str]:
    """As ``replace_objects``, unless the app's migrations have not created any object yet, or no longer."""
    files = read_repeatable_files(directory)
    known = {name for name, file in files.items() if file.app == app}
    if not any(one.name in known for one in installed_objects(using, known)):
        return []
    return replace_objects(using, app=app, directory=directory)


def drop_objects(using: str, *, app: str = APP) -> None:
    """Drop what ``replace_objects`` has created for an app."""
    files = read_repeatable_files()
    mine = [
        one for one in installed_objects(using, files) if (files[one.name].app if one.name in files else APP) == app
    ]
    for kind in KINDS:
        if identities := [one.identity for one in mine if one.kind == kind]:
            gateway.drop_objects(using, kind, identities)


@dataclass
class _Replacement:
    """One run over the files of an app, in their order."""

    using: str
    app: str
    files: dict[str, RepeatableFile]
    installed: dict[str, list[Installed]] = field(init=False, default_factory=dict)
    changed: set[str] = field(init=False)
    stale: list[Installed] = field(init=False)
    touched: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for one in installed_objects(self.using, self.files):
            self.installed.setdefault(one.name, []).append(one)
        self.changed = {
            name
            for name, file in self.files.items()
            if file.app == self.app and [one.digest for one in self.installed.get(name, ())] != [file.digest]
        }
        gone = self.installed.keys() - self.files.keys() if self.app == APP else ()
        self.stale = [one for name in sorted(gone) for one in self.installed[name]]
        self.changed -= self._deferred()

    def _deferred(self) -> set[str]:
        """The files whose tables a migration is yet to create, and those that require them."""
        tables = sorted({name for file in self.files.values() for name in file.requires} - self.files.keys())
        missing = {row[0] for row in gateway.fetch(self.using, "missing_tables", names=tables)} if tables else set()
        for name, file in self.files.items():
            if missing & set(file.requires):
                missing.add(name)
        return missing

    @property
    def is_due(self) -> bool:
        return bool(self.changed or self.stale)

    def run(self, path: str) -> list[str]:
        for name, file in self.files.items():
            if name in self.changed:
                self._apply(file, path)
        for kind in KINDS:
            if stale := [one for one in self.stale if one.kind == kind]:
                self._drop(stale, "no file creates it any more")
        return self.touched

    def _apply(self, file: RepeatableFile, path: str) -> None:
        old = {one.identity for one in self.installed.get(file.name, ())}
        identity = self._replaced(file, old)
        if identity is None:
            if file.is_contract:
                raise CannotMigrateError(
                    f"sql/{file.path} changes the signature of {file.name!r}, which client code calls: give the new"
                    " function the next number, and leave this one as it was."
                )
            self._drop_with_dependents(file)
            identity = self._created(file)
        if file.is_pinned:
            gateway.pin_search_path(self.using, identity, f"pg_catalog, {path}")
        gateway.comment_object(self.using, file.kind, identity, MARK + file.digest)
        self.touched.append(file.name)

    def _replaced(self, file: RepeatableFile, old: set[str]) -> str | None:
        """The identity of the object after running its file; None, with nothing done, where it would be another."""
        try:
            with transaction.atomic(using=self.using):
                identity = self._created(file)
                if old and old != {identity}:
                    transaction.set_rollback(True, using=self.using)
                    return None
                return identity
        except DatabaseError as error:
            if old and getattr(error.__cause__, "sqlstate", None) in CANNOT_REPLACE:
                return None
            raise

    def _created(self, file: RepeatableFile) -> str:
        gateway.run_script(self.using, file.text)
        if file.kind == "VIEW":
            return file.name
        # The newest of the name: an older one with other arguments stands beside it.
        identity: str = gateway.fetch_value(self.using, "function_identity", name=file.name)
        return identity

    def _drop_with_dependents(self, file: RepeatableFile) -> None:
        """Drop an object and those that require it, which are created again when their turn comes."""
        dependents = {file.name}
        for name, other in self.files.items():
            if dependents & set(other.requires):
                dependents.add(name)
        for name in [name for name in reversed(self.files) if name in dependents]:
            if old := self.installed.pop(name, None):
                self._drop(old, f"the signature of {file.name!r} has changed")
            if name != file.name:
                self.changed.add(name)

    def _drop(self, objects: list[Installed], reason: str) -> None:
        identities = [one.identity for one in objects]
        try:
            with transaction.atomic(using=self.using):
                gateway.drop_objects(self.using, objects[0].kind, identities)
        except DatabaseError as error:
            if getattr(error.__cause__, "sqlstate", None) != DEPENDENTS:
                raise
            raise CannotMigrateError(
                f"The {objects[0].kind.lower()} {', '.join(identities)} has to go, because {reason}, but objects that"
                f" are not pgknowbase's depend on it: drop those first. {error}"
            ) from error
        self.touched += [one.name for one in objects]
